"""The reducer: tiles of the similarity matrix as tasks, then tasks that write the tables.

A task writes the rows of a block of targets as soon as the tiles with these are there, and frees
them. The driver only passes references: it never holds maps, edges, or a part of the matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cluster.compare.chosen import ChosenModels
from cluster.compare.pairs import Known, Reduction, TileJob, missing_regions, tile_jobs
from cluster.compare.parts import TablePart, known_part, table_parts, tiles_of
from cluster.compare.tables import link_result_part, write_result_tables
from cluster.compare.tile_results import PairsResult, TileResult, pairs_of_tile, slice_tile
from cluster.compare.unusable import failure_of_graphs
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Ref
from cluster.pool.tasks import TaskFailure, collect_facts, follow
from depara.catalog import z_column
from depara.similarity import find_vectors, score_tile, similarity_tile
from depara.similarity.stored import NUMERIC_ERRORS, StoredBlock, check_graph, open_graphs
from depara.store.graphs import CommittedGraph
from depara.store.parts import joined_fact
from depara.store.storage import Storage
from depara.types import Float32, Float64

_NOT_COMPUTED = "the similarity tables could not be computed"


@dataclass(frozen=True)
class TileSettings:
    """What all tiles of a scan have in common."""

    output: str
    threads: int
    num_probes: int
    memory_bytes: int
    scores: tuple[str, ...]


def compute_tile(
    settings: TileSettings, job: TileJob, chosen: ChosenModels | None = None
) -> TileResult | PairsResult | TaskFailure:
    """Returns the scores of one tile, or of its chosen pairs alone, or the error as data."""
    import threadpoolctl

    storage = Storage(settings.output)
    try:
        sources = open_graphs(storage, job.sources)
        targets = sources if job.is_diagonal else open_graphs(storage, job.targets)
        source = StoredBlock(sources)
        target = source if job.is_diagonal else StoredBlock(targets)
        with threadpoolctl.threadpool_limits(settings.threads):
            own = similarity_tile(
                source,
                target,
                num_probes=settings.num_probes,
                memory_bytes=settings.memory_bytes,
            )
            neighbours = _neighbours(settings, settings.scores, sources, targets)
            mirrored: dict[str, Float64 | Float32] = {}
            if job.mirrored:
                directed = [name for name in settings.scores if not find_vectors(name).symmetric]
                mirrored = _neighbours(settings, directed, targets, sources)
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(
            error,
            storage,
            (*job.sources, *job.targets),
            lambda graph: check_graph(graph, settings.scores),
        )
    scores = {
        "node_similarity": own.node_AB,
        "edge_similarity": own.edge_AB,
        z_column("edge_similarity"): own.edge_z_AB,
        **neighbours,
    }
    tile = TileResult(job.rows, job.columns, scores, mirrored if job.mirrored else None)
    return tile if chosen is None else pairs_of_tile(tile, chosen)


def _neighbours(
    settings: TileSettings,
    names: Sequence[str],
    sources: Sequence[CommittedGraph],
    targets: Sequence[CommittedGraph],
) -> dict[str, Float64 | Float32]:
    return score_tile(
        list(names),
        lambda graph: sources[graph].read_grams(),
        len(sources),
        lambda graph: targets[graph].read_grams(),
        len(targets),
        num_probes=settings.num_probes,
        memory_bytes=settings.memory_bytes,
    )


def reduce_graphs(
    reduction: Reduction, known: Known | None, centre: Ref, scan_id: str, context: ScanContext
) -> dict[str, Any]:
    """Computes all pairs that are not known and writes the result tables; returns their facts.

    ``centre`` is what `measure_centre` returns.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        StoreError: a graph cannot be read, or a table not be written.
        ClusterError: tasks keep dying.
        ScanInterruptedError: a stop was requested.
    """
    launcher, compute = context.launcher, reduction.config.compute
    settings = TileSettings(
        output=context.storage.root,
        threads=max(1, int(compute.num_cpus)),
        num_probes=reduction.num_probes,
        memory_bytes=int(compute.memory),
        scores=tuple(reduction.config.similarity.computed_scores),
    )
    chosen = None if reduction.chosen is None else launcher.share(reduction.chosen)
    jobs = tile_jobs(reduction, missing_regions(reduction, known), launcher.capacity())
    if known is not None:
        context.reporter.note(
            f"{known.count} of {reduction.num_pairs} pairs are taken from scan {known.scan_id}"
        )
    parts = table_parts(reduction)
    if len(parts) == 1:
        context.reporter.phase("similarity", len(jobs), "tiles")
        refs = [launcher.submit(compute_tile, settings, job, chosen) for job in jobs]
        follow(refs, context)
        context.phases.enter("tables")
        table_ref = launcher.submit(
            write_result_tables, settings.output, scan_id, reduction, known, parts[0], centre, *refs
        )
        return collect_facts(table_ref, context, _NOT_COMPUTED)
    context.reporter.phase("similarity", len(jobs) + len(parts), "tiles and parts of tables")
    tiles = [launcher.submit(compute_tile, settings, job, chosen) for job in jobs]
    shared = launcher.share(reduction), launcher.share(known)
    written = [
        _write_part(
            part,
            shared,
            known,
            [tiles[index] for index in tiles_of(part, jobs)],
            centre,
            scan_id,
            context,
        )
        for part in parts
    ]
    # Nobody but the tasks that need it keeps a tile.
    follow((tiles.pop() for _ in range(len(tiles))), context)
    context.phases.enter("tables")
    follow(written, context)
    return _joined([collect_facts(ref, context, _NOT_COMPUTED) for ref in written])


def _joined(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The facts of all tables from those of each part; the first alone has what is not in parts."""
    return {
        name: joined_fact([fact[name] for fact in facts]) if name in facts[-1] else first
        for name, first in facts[0].items()
    }


def _write_part(
    part: TablePart,
    shared: tuple[Ref, Ref],
    known: Known | None,
    tiles: Sequence[Ref],
    centre: Ref,
    scan_id: str,
    context: ScanContext,
) -> Ref:
    """Submits the task that writes a part of the tables, or takes it from an earlier scan."""
    launcher, output = context.launcher, context.storage.root
    same = known_part(part, known)
    if same is not None and not tiles:
        return launcher.submit(link_result_part, output, scan_id, shared[0], same, part, centre)
    # A part takes a narrow slice of each tile: its task never has whole tiles, which are wide.
    slices = [launcher.submit(slice_tile, part.targets, tile) for tile in tiles]
    return launcher.submit(write_result_tables, output, scan_id, *shared, part, centre, *slices)
