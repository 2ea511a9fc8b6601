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
import pyarrow as pa

from cluster.compare.chosen import ChosenModels, graphs_of_models
from cluster.compare.pairs import Reduction
from cluster.compare.unusable import failure_of_graphs
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Ref, WorkerLostError
from cluster.pool.tasks import TaskFailure, follow, merge_failures
from depara.errors import ClusterError
from depara.nearest.making import ProbeCells, sketch_of
from depara.nearest.pairs import BestSources, best_sources, block_rows
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef, check_graph
from depara.similarity.text_codes import texts_of
from depara.store.canvases import read_probe_set
from depara.store.graphs import open_graph
from depara.store.scans import write_table
from depara.store.sketches import GraphSketch
from depara.store.storage import Storage

_LOOKED_AT = 2
"""As many times the models wanted are kept, to tell how many of the nearest may be missed."""

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


@dataclass(frozen=True)
class Choice:
    """What was chosen, by which estimates, and how many of the nearest are expected to be missed
    by each target."""

    chosen: ChosenModels
    best: BestSources
    expected_missed: float

    def table(self, models: Sequence[GraphRef]) -> pa.Table:
        """Returns the ``nearest`` table, by target and rank."""
        names = [graph.model_id for graph in models]
        by_name = np.argsort(np.array(names))
        places_BK = self.best.places_BK[by_name]
        row, column = np.nonzero(places_BK >= 0)
        return pa.table(
            {
                "target_model": texts_of(by_name[row].astype(np.int32), names),
                "rank": (column + 1).astype(np.int32),
                "source_model": texts_of(places_BK[row, column], names),
                "estimate": self.best.estimates_BK[by_name][row, column],
                "deviation": self.best.deviations_BK[by_name][row, column],
            }
        )


def wants_choice(reduction: Reduction) -> bool:
    """Whether some of all models are to be chosen: where there are more than are wanted."""
    similarity = reduction.config.similarity
    return similarity.pairs == "nearest" and len(reduction.outputs) > similarity.nearest + 1


def choose_models(reduction: Reduction, probe_set: str, context: ScanContext) -> Choice:
    """Returns the nearest models of each target: ``similarity.nearest`` of them, and itself.

    Args:
        reduction: what is compared, all pairs so far.
        probe_set: the key of its probes.
        context: runs the tasks.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        UnusableGraphError: a graph cannot be compared.
        StoreError: a graph cannot be read, or its sketch not be kept.
        ClusterError: tasks keep dying.
        ScanInterruptedError: a stop was requested.
    """
    similarity, compute = reduction.config.similarity, reduction.config.compute
    launcher = context.launcher
    models = reduction.outputs
    settings = ChoiceSettings(
        output=context.storage.root,
        probe_set=probe_set,
        models=models,
        num_probes=reduction.num_probes,
        num_pixels=reduction.num_pixels,
        terms=dict(similarity.terms),
        memory_bytes=int(compute.memory),
        threads=max(1, int(compute.num_cpus)),
        most=_LOOKED_AT * similarity.nearest,
    )
    workers = launcher.capacity()
    rows = block_rows(reduction.num_probes, similarity.terms, settings.memory_bytes)
    shared = launcher.share(settings)
    chunks = _cuts(len(models), workers)
    blocks = _cuts(len(models), max(min(workers, len(models) // _LEAST_TARGETS), 1), rows)
    context.reporter.phase("nearest models", len(chunks) + len(blocks), "tasks")
    made = [launcher.submit(make_sketches, shared, places) for places in chunks]
    follow(made, context)
    _raise_failures(made, context)
    found = [launcher.submit(choose_block, shared, places) for places in blocks]
    follow(found, context)
    results: list[BestSources] = _raise_failures(found, context)
    best = BestSources(
        *(np.concatenate([getattr(one, name) for one in results]) for name in vars(results[0]))
    )
    taken = best.first(similarity.nearest)
    own_B1 = np.arange(len(models), dtype=np.int32)[:, None]
    chosen = ChosenModels(
        np.hstack([own_B1, taken.places_BK]), graphs_of_models(reduction.sources, models)
    )
    missed = float(best.missed(similarity.nearest).mean())
    context.reporter.note(
        f"each target is compared with {similarity.nearest} of {len(models) - 1} models, chosen by "
        f"sketches; {missed:.2g} of its nearest are expected to be missed (nearest.parquet)"
    )
    return Choice(chosen, taken, missed)


def make_sketches(settings: ChoiceSettings, places: Sequence[int]) -> int | TaskFailure:
    """Makes the sketches of some models where they are missing; returns how many, or the error."""
    storage = Storage(settings.output)
    graphs = [settings.models[place] for place in places]
    try:
        cells = _cells(storage, settings)
        return sum(sketch_of(open_graph(storage, one.key), cells).is_new for one in graphs)
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(error, storage, graphs, lambda graph: check_graph(graph, ()))


def choose_block(settings: ChoiceSettings, places: Sequence[int]) -> BestSources | TaskFailure:
    """Returns the nearest models of some targets, or the error as data."""
    import threadpoolctl

    storage = Storage(settings.output)
    try:
        cells = _cells(storage, settings)

        def read(place: int) -> GraphSketch:
            return sketch_of(open_graph(storage, settings.models[place].key), cells).sketch

        with threadpoolctl.threadpool_limits(settings.threads):
            return best_sources(
                read,
                len(settings.models),
                places,
                settings.most,
                num_probes=settings.num_probes,
                terms=settings.terms,
                memory_bytes=settings.memory_bytes,
            )
    except NUMERIC_ERRORS as error:
        graphs = settings.models
        return failure_of_graphs(error, storage, graphs, lambda graph: check_graph(graph, ()))


def write_choice(
    choice: Choice, models: Sequence[GraphRef], scan_id: str, storage: Storage
) -> dict[str, Any]:
    """Writes the ``nearest`` table; returns its facts.

    Raises:
        StoreError: it cannot be written.
    """
    return {"nearest": write_table(storage, scan_id, "nearest", choice.table(models))}


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


def _cuts(count: int, blocks: int, most: int | None = None) -> list[tuple[int, ...]]:
    """Places in near-equal blocks, of at most ``most``."""
    blocks = max(min(blocks, count), -(-count // most) if most else 1)
    ends = [count * block // blocks for block in range(blocks + 1)]
    return [tuple(range(*cut)) for cut in pairwise(ends)]
