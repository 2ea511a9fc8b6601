"""The tasks that choose which models each target is compared with, by the graphs' sketches.

Sketches are made where they are missing, and stay beside their graphs; then each task takes a block
of targets and all models. The driver holds what was chosen: some places for each target.

``B`` targets, ``K`` models of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.compare.choice import LOOKED_AT, Choice, KnownCandidates
from cluster.compare.pairs import Reduction
from cluster.compare.unusable import failure_of_graphs
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Ref, WorkerLostError
from cluster.pool.tasks import TaskFailure, follow, merge_failures
from depara.errors import ClusterError
from depara.nearest.making import ProbeCells, sketch_of
from depara.nearest.pairs import BestSources, best_sources, block_rows
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef, check_graph
from depara.store.canvases import read_probe_set
from depara.store.graphs import open_graph
from depara.store.scans import write_table
from depara.store.schemas import TABLES
from depara.store.sketches import GraphSketch
from depara.store.storage import Storage

_LEAST_TARGETS = 16


@dataclass(frozen=True)
class ChoiceSettings:
    """What all tasks of a choice have in common. ``models`` are their output graphs."""

    output: str
    probe_set: str
    models: tuple[GraphRef, ...]
    num_probes: int
    num_pixels: int
    terms: dict[str, float]
    memory_bytes: int
    threads: int
    most: int


def wants_choice(reduction: Reduction) -> bool:
    """Whether some of all models are to be chosen: where there are more than are wanted."""
    similarity = reduction.config.similarity
    return similarity.pairs == "nearest" and len(reduction.outputs) > similarity.nearest + 1


def choose_models(
    reduction: Reduction, probe_set: str, known: KnownCandidates, context: ScanContext
) -> Choice:
    """Returns the nearest models of each target: ``similarity.nearest`` of them, and itself.

    Args:
        reduction: what is compared, all pairs so far.
        probe_set: the key of its probes.
        known: what an earlier scan found of models that are the same; others are looked at anew.
        context: runs the tasks.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        UnusableGraphError: a graph cannot be compared.
        StoreError: a graph cannot be read, or its sketch not be kept.
        ClusterError: tasks keep dying.
        ScanInterruptedError: a stop was requested.
    """
    models, wanted = reduction.outputs, reduction.config.similarity.nearest
    most = LOOKED_AT * wanted
    new = np.flatnonzero(~known.is_same_M)
    is_open_M = ~known.is_enough(wanted)
    best = known.best
    if is_open_M.any() or len(new):
        every = np.arange(len(models))
        work = [(np.flatnonzero(is_open_M), every), (np.flatnonzero(~is_open_M), new)]
        anew, more = _look(reduction, probe_set, most, new, work, context)
        kept = known.best.of(~is_open_M)
        count_B = known.num_sure(most)[~is_open_M]
        kept = kept.merged(more, most).up_to(count_B)
        best = BestSources.none(len(models), most)
        for part, rows in ((anew, is_open_M), (kept, ~is_open_M)):
            for name, values in vars(part).items():
                getattr(best, name)[rows, : values.shape[1]] = values
    choice = Choice.of(best, wanted, reduction.sources, models)
    context.reporter.note(
        f"each target is compared with {wanted} of {len(models) - 1} models, chosen by sketches; "
        f"{choice.expected_missed:.2g} of its nearest are expected to be missed (nearest.parquet)"
    )
    return choice


def _look(
    reduction: Reduction,
    probe_set: str,
    most: int,
    new: NDArray[np.integer],
    work: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]],
    context: ScanContext,
) -> list[BestSources]:
    """The best sources of some targets, among some sources, for each item of the work.

    Sketches of new models are made before, each once; that of another is made by who misses it.
    """
    compute, launcher = reduction.config.compute, context.launcher
    settings = ChoiceSettings(
        output=context.storage.root,
        probe_set=probe_set,
        models=reduction.outputs,
        num_probes=reduction.num_probes,
        num_pixels=reduction.num_pixels,
        terms=dict(reduction.config.similarity.terms),
        memory_bytes=int(compute.memory),
        threads=max(1, int(compute.num_cpus)),
        most=most,
    )
    workers = launcher.capacity()
    rows = block_rows(settings.num_probes, settings.terms, settings.memory_bytes)
    shared = launcher.share(settings)
    chunks = _cuts(new, workers)
    blocks = []
    for targets, sources in work:
        few = max(min(workers, len(targets) // _LEAST_TARGETS), 1)
        blocks.append(_cuts(targets, few, rows) if len(sources) else [])
    context.reporter.phase("nearest models", len(chunks) + sum(map(len, blocks)), "tasks")
    made = [launcher.submit(make_sketches, shared, places) for places in chunks]
    follow(made, context)
    _raise_failures(made, context)
    found = []
    for (targets, sources), cuts in zip(work, blocks, strict=True):
        places = launcher.share(sources.tolist())
        refs = [launcher.submit(choose_block, shared, places, some) for some in cuts]
        follow(refs, context)
        parts: list[BestSources] = _raise_failures(refs, context)
        parts.insert(0, BestSources.none(0 if cuts else len(targets), min(most, len(sources))))
        found.append(
            BestSources(
                *(np.concatenate([getattr(one, name) for one in parts]) for name in vars(parts[0]))
            )
        )
    return found


def make_sketches(settings: ChoiceSettings, places: Sequence[int]) -> int | TaskFailure:
    """Makes the sketches of some models where they are missing; returns how many, or the error."""
    storage = Storage(settings.output)
    graphs = [settings.models[place] for place in places]
    try:
        cells = _cells(storage, settings)
        return sum(sketch_of(open_graph(storage, one.key), cells).is_new for one in graphs)
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(error, storage, graphs, lambda graph: check_graph(graph, ()))


def choose_block(
    settings: ChoiceSettings, sources: Sequence[int], targets: Sequence[int]
) -> BestSources | TaskFailure:
    """Returns the nearest models of some targets among some sources, or the error as data."""
    import threadpoolctl

    storage = Storage(settings.output)
    try:
        cells = _cells(storage, settings)

        def read(place: int) -> GraphSketch:
            return sketch_of(open_graph(storage, settings.models[place].key), cells).sketch

        with threadpoolctl.threadpool_limits(settings.threads):
            return best_sources(
                read,
                sources,
                targets,
                settings.most,
                num_probes=settings.num_probes,
                terms=settings.terms,
                memory_bytes=settings.memory_bytes,
            )
    except NUMERIC_ERRORS as error:
        graphs = settings.models
        return failure_of_graphs(error, storage, graphs, lambda graph: check_graph(graph, ()))


def write_choice(
    choice: Choice | None, reduction: Reduction, scan_id: str, storage: Storage
) -> dict[str, Any]:
    """Writes the ``nearest`` table, empty where nothing was chosen; returns its facts.

    Raises:
        StoreError: it cannot be written.
    """
    table = TABLES["nearest"].empty_table()
    if choice is not None:
        table = choice.table(reduction.outputs, reduction.config.similarity.nearest)
    return {"nearest": write_table(storage, scan_id, "nearest", table)}


def _cells(storage: Storage, settings: ChoiceSettings) -> ProbeCells:
    probe_set = read_probe_set(storage, settings.probe_set)
    return ProbeCells(tuple(probe_set.probe_ids), settings.num_pixels)


def _raise_failures(refs: Sequence[Ref], context: ScanContext) -> list[Any]:
    try:
        results = [context.launcher.collect(ref) for ref in refs]
    except WorkerLostError as error:
        raise ClusterError(f"the nearest models could not be found: {error}") from error
    failure = merge_failures(results)
    if failure is not None:
        raise failure.error()
    return results


def _cuts(places: NDArray[np.integer], blocks: int, most: int | None = None) -> list[list[int]]:
    """Places in near-equal blocks, of at most ``most``."""
    count = len(places)
    blocks = max(min(blocks, count), -(-count // most) if most else 1, 1)
    ends = [count * block // blocks for block in range(blocks + 1)]
    return [places[slice(*cut)].tolist() for cut in pairwise(ends) if cut[0] < cut[1]]
