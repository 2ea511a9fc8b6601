"""The reducer: tiles of the similarity matrix as tasks, then one task that writes the tables.

The driver only passes references: it never holds maps, edges, or the similarity matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.blocks import GraphRef, StoredBlock, feature_grams, open_graphs
from cluster.launcher import Launcher
from cluster.progress import Reporter
from cluster.tasks import collect_facts, follow
from depara.config import ScanConfig
from depara.errors import DeparaError, StoreError
from depara.similarity import (
    SCORES,
    Tile,
    combine,
    layer_ranking,
    model_ranking,
    plan_tiles,
    score_tile,
    similarity_tile,
)
from depara.similarity.nulls import null_similarity, without_sources
from depara.store.graphs import CommittedGraph
from depara.store.scans import write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import Float64


@dataclass(frozen=True)
class Reduction:
    """What is compared: every source graph with every target graph."""

    sources: tuple[GraphRef, ...]
    targets: tuple[GraphRef, ...]
    num_probes: int
    num_pixels: int
    config: ScanConfig

    @property
    def outputs(self) -> tuple[GraphRef, ...]:
        """The output graphs of all models but random-weights twins."""
        return tuple(g for g in self.sources if g.is_output and not g.null_of)

    @property
    def is_square(self) -> bool:
        """Whether sources and targets are the same graphs, so that half the tiles suffice."""
        return self.sources == self.targets


@dataclass(frozen=True)
class TileResult:
    """All scores of one tile by column name: float64 ``(A, B)`` each.

    ``mirrored`` holds those of a square's off-diagonal tile that are not symmetric, with the roles
    exchanged: ``(B, A)``. The others are transposed.
    """

    scores: dict[str, Float64]
    mirrored: dict[str, Float64]


def compute_tile(output: str, threads: int, tile: Tile, reduction: Reduction) -> TileResult | str:
    """Returns the scores of one tile, or the message of an error: errors travel as data."""
    import threadpoolctl

    storage = Storage(output)
    memory_bytes = int(reduction.config.compute.memory)
    try:
        sources = open_graphs(storage, reduction.sources[tile.source_start : tile.source_stop])
        targets = sources
        if not tile.symmetric:
            targets = open_graphs(storage, reduction.targets[tile.target_start : tile.target_stop])
        source = StoredBlock(sources)
        target = source if tile.symmetric else StoredBlock(targets)
        with threadpoolctl.threadpool_limits(threads):
            own = similarity_tile(
                source, target, num_probes=reduction.num_probes, memory_bytes=memory_bytes
            )
            names = reduction.config.similarity.scores
            neighbours = _neighbours(names, sources, targets, reduction)
            mirrored: dict[str, Float64] = {}
            if reduction.is_square and not tile.symmetric:
                directed = [name for name in names if not SCORES[name].symmetric]
                mirrored = _neighbours(directed, targets, sources, reduction)
    except DeparaError as error:
        return str(error)
    scores = {"node_similarity": own.node_AB, "edge_similarity": own.edge_AB, **neighbours}
    return TileResult(scores, mirrored)


def _neighbours(
    names: Sequence[str],
    sources: Sequence[CommittedGraph],
    targets: Sequence[CommittedGraph],
    reduction: Reduction,
) -> dict[str, Float64]:
    return score_tile(
        names,
        lambda graph: feature_grams(sources[graph]),
        len(sources),
        lambda graph: feature_grams(targets[graph]),
        len(targets),
        num_probes=reduction.num_probes,
        memory_bytes=int(reduction.config.compute.memory),
    )


def write_result_tables(
    output: str,
    scan_id: str,
    tiles: Sequence[Tile],
    reduction: Reduction,
    *results: TileResult | str,
) -> dict[str, Any] | str:
    """Writes the similarity and ranking tables; returns their facts, or an error's message."""
    errors = [result for result in results if isinstance(result, str)]
    if errors:
        return errors[0]
    shape = (len(reduction.sources), len(reduction.targets))
    names = ["node_similarity", "edge_similarity", *reduction.config.similarity.scores]
    matrices = {name: np.full(shape, np.nan) for name in names}
    for tile, result in zip(tiles, results, strict=True):
        assert isinstance(result, TileResult)
        rows = slice(tile.source_start, tile.source_stop)
        columns = slice(tile.target_start, tile.target_stop)
        for name, score_AB in result.scores.items():
            matrices[name][rows, columns] = score_AB
            if reduction.is_square and not tile.symmetric:
                matrices[name][columns, rows] = result.mirrored.get(name, score_AB.T)
    similarity = similarity_table(reduction, matrices)
    graphs = reduction.sources
    null_of = {graph.model_id: graph.null_of for graph in graphs if graph.null_of}
    ranked = without_sources(similarity, null_of)
    outputs = {graph.model_id: graph.layer for graph in reduction.outputs}
    depths = {(graph.model_id, graph.layer): graph.depth for graph in graphs}
    ranking = model_ranking(ranked, outputs)
    floor = null_similarity(ranking, similarity, null_of)
    tables = {
        "similarity": similarity,
        "model_ranking": ranking.append_column("null_similarity", floor),
        "layer_ranking": layer_ranking(ranked, outputs, depths),
    }
    storage = Storage(output)
    try:
        return {name: write_table(storage, scan_id, name, t) for name, t in tables.items()}
    except StoreError as error:
        return str(error)


def similarity_table(reduction: Reduction, matrices: dict[str, Float64]) -> pa.Table:
    """Returns the long similarity table of all (source graph, target graph) pairs."""
    schema = TABLES["similarity"]
    node_AB, edge_AB = matrices["node_similarity"], matrices["edge_similarity"]
    num_sources, num_targets = node_AB.shape
    rows = np.repeat(np.arange(num_sources), num_targets)
    places = np.tile(np.arange(num_targets), num_sources)

    def names(graphs: Sequence[GraphRef], field: str, index: Any) -> pa.Array:
        return pa.array([getattr(graph, field) for graph in graphs]).take(pa.array(index))

    scores = combine(node_AB, edge_AB, reduction.config.similarity.lambda_)
    columns: dict[str, Any] = {
        "source_model": names(reduction.sources, "model_id", rows),
        "source_layer": names(reduction.sources, "layer", rows),
        "target_model": names(reduction.targets, "model_id", places),
        "target_layer": names(reduction.targets, "layer", places),
        "similarity": scores.ravel(),
        "num_probes": np.full(node_AB.size, reduction.num_probes, dtype=np.int32),
    }
    for name, matrix_AB in matrices.items():
        columns[name] = pa.array(matrix_AB.ravel(), from_pandas=True)  # NaN becomes null
    absent = pa.nulls(node_AB.size, pa.float64())
    return pa.table([columns.get(name, absent) for name in schema.names], schema=schema)


def reduce_graphs(
    reduction: Reduction, scan_id: str, output: str, launcher: Launcher, reporter: Reporter
) -> dict[str, Any]:
    """Computes all pairs and writes the result tables; returns the tables' facts.

    Raises:
        StoreError: a graph cannot be read, or a table not be written.
        ClusterError: tasks keep dying.
    """
    compute = reduction.config.compute
    tiles = plan_tiles(
        len(reduction.sources),
        len(reduction.targets),
        num_probes=reduction.num_probes,
        num_pixels=reduction.num_pixels,
        memory_bytes=int(compute.memory),
        symmetric=reduction.is_square,
        min_tiles=launcher.capacity(),
        range_probes=min(compute.unit_probes, reduction.num_probes),
    )
    reporter.phase("similarity", len(tiles), "tiles")
    threads = max(1, int(compute.num_cpus))
    refs = [launcher.submit(compute_tile, output, threads, t, reduction) for t in tiles]
    follow(refs, launcher, reporter)
    table_ref = launcher.submit(write_result_tables, output, scan_id, tiles, reduction, *refs)
    return collect_facts(table_ref, launcher, "the similarity tables could not be computed")
