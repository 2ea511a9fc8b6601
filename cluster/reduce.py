"""The reducer: tiles of the similarity matrix as tasks, then one task that writes the tables.

The driver only passes references: it never holds maps, edges, or the similarity matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.launcher import Launcher, WorkerLostError
from cluster.progress import Reporter
from depara.config import ScanConfig
from depara.errors import ClusterError, DeparaError, StoreError
from depara.similarity import (
    Tile,
    TileScores,
    combine,
    layer_ranking,
    model_ranking,
    plan_tiles,
    similarity_tile,
)
from depara.store.graphs import CommittedGraph, open_graph
from depara.store.scans import write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import Float16, Float32, Float64, ProbeRange

_READS_AT_ONCE = 4
"""Hides the latency of an object store; decoding itself is bound by the CPU."""


@dataclass(frozen=True)
class GraphRef:
    """One graph as the reducer knows it."""

    model_id: str
    layer: str
    depth: int
    key: str
    is_output: bool


@dataclass(frozen=True)
class Reduction:
    """What is compared: every source graph with every target graph."""

    sources: tuple[GraphRef, ...]
    targets: tuple[GraphRef, ...]
    num_probes: int
    num_pixels: int
    config: ScanConfig

    @property
    def is_square(self) -> bool:
        """Whether sources and targets are the same graphs, so that half the tiles suffice."""
        return self.sources == self.targets


class StoredBlock:
    """Some committed graphs, read range by range for `similarity_tile`."""

    def __init__(self, graphs: Sequence[CommittedGraph]) -> None:
        self._graphs = list(graphs)

    @property
    def num_graphs(self) -> int:
        """Number of graphs in the block."""
        return len(self._graphs)

    @property
    def num_pixels(self) -> int:
        """Pixels of one map."""
        return self._graphs[0].marker.num_pixels

    def ranges(self) -> Sequence[ProbeRange]:
        """Probe ranges of the node files, those of the graph with the fewest files."""
        return min((graph.marker.ranges for graph in self._graphs), key=len)

    def read_maps(self, probes: ProbeRange, graphs: slice) -> list[Float16]:
        """Returns one (n, P) float16 array per graph of the slice, read side by side."""
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            return list(pool.map(lambda graph: read_range(graph, probes), self._graphs[graphs]))

    def read_edges(self, graph: int) -> Float32:
        """Returns the cosines (E,) of one graph."""
        return self._graphs[graph].read_edges()


def read_range(graph: CommittedGraph, probes: ProbeRange) -> Float16:
    """Returns the maps of any probe range, whatever ranges the graph's files have."""
    if probes in graph.marker.ranges:
        return graph.read_maps(probes)
    parts = []  # copies, so that a slice does not keep the whole range alive
    for stored in graph.marker.ranges:
        start, stop = max(stored.start, probes.start), min(stored.stop, probes.stop)
        if start < stop:
            parts.append(graph.read_maps(stored)[start - stored.start : stop - stored.start])
    return np.concatenate(parts)


def compute_tile(output: str, threads: int, tile: Tile, reduction: Reduction) -> TileScores | str:
    """Returns the scores of one tile, or the message of an error: errors travel as data."""
    import threadpoolctl

    storage = Storage(output)
    try:
        sources = reduction.sources[tile.source_start : tile.source_stop]
        targets = reduction.targets[tile.target_start : tile.target_stop]
        source = StoredBlock([open_graph(storage, graph.key) for graph in sources])
        target = source
        if not tile.symmetric:
            target = StoredBlock([open_graph(storage, graph.key) for graph in targets])
        with threadpoolctl.threadpool_limits(threads):
            return similarity_tile(
                source,
                target,
                num_probes=reduction.num_probes,
                memory_bytes=int(reduction.config.compute.memory),
            )
    except DeparaError as error:
        return str(error)


def write_result_tables(
    output: str,
    scan_id: str,
    tiles: Sequence[Tile],
    reduction: Reduction,
    *scores: TileScores | str,
) -> dict[str, Any] | str:
    """Writes the similarity and ranking tables; returns their facts, or an error's message."""
    errors = [score for score in scores if isinstance(score, str)]
    if errors:
        return errors[0]
    shape = (len(reduction.sources), len(reduction.targets))
    node_AB, edge_AB = np.zeros(shape), np.zeros(shape)
    for tile, score in zip(tiles, scores, strict=True):
        assert isinstance(score, TileScores)
        rows = slice(tile.source_start, tile.source_stop)
        columns = slice(tile.target_start, tile.target_stop)
        node_AB[rows, columns], edge_AB[rows, columns] = score.node_AB, score.edge_AB
        if reduction.is_square:  # only tiles on and above the diagonal were computed
            node_AB[columns, rows], edge_AB[columns, rows] = score.node_AB.T, score.edge_AB.T
    similarity = similarity_table(reduction, node_AB, edge_AB)
    graphs = reduction.sources
    outputs = {graph.model_id: graph.layer for graph in graphs if graph.is_output}
    depths = {(graph.model_id, graph.layer): graph.depth for graph in graphs}
    tables = {
        "similarity": similarity,
        "model_ranking": model_ranking(similarity, outputs),
        "layer_ranking": layer_ranking(similarity, outputs, depths),
    }
    storage = Storage(output)
    try:
        return {name: write_table(storage, scan_id, name, t) for name, t in tables.items()}
    except StoreError as error:
        return str(error)


def similarity_table(reduction: Reduction, node_AB: Float64, edge_AB: Float64) -> pa.Table:
    """Returns the long similarity table of all (source graph, target graph) pairs."""
    num_sources, num_targets = node_AB.shape
    rows = np.repeat(np.arange(num_sources), num_targets)
    columns = np.tile(np.arange(num_targets), num_sources)

    def names(graphs: Sequence[GraphRef], field: str, index: Any) -> pa.Array:
        return pa.array([getattr(graph, field) for graph in graphs]).take(pa.array(index))

    scores = combine(node_AB, edge_AB, reduction.config.similarity.lambda_)
    return pa.table(
        [
            names(reduction.sources, "model_id", rows),
            names(reduction.sources, "layer", rows),
            names(reduction.targets, "model_id", columns),
            names(reduction.targets, "layer", columns),
            node_AB.ravel(),
            edge_AB.ravel(),
            scores.ravel(),
            np.full(node_AB.size, reduction.num_probes, dtype=np.int32),
        ],
        schema=TABLES["similarity"],
    )


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
    pending = set(refs)
    while pending:
        done = launcher.wait(list(pending), 1.0)
        pending.difference_update(done)
        reporter.step(len(done))
    table_ref = launcher.submit(write_result_tables, output, scan_id, tiles, reduction, *refs)
    try:
        facts = launcher.collect(table_ref)
    except WorkerLostError as error:
        raise ClusterError(f"the similarity tables could not be computed: {error}") from error
    if isinstance(facts, str):
        raise StoreError(facts)
    return dict(facts)
