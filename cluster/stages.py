"""The stages of a scan, each from frozen values to frozen values: prepare, extract, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.compare.analysis import analyse
from cluster.compare.centre import measure_centre
from cluster.compare.choosing import choose_models, wants_choice, write_choice
from cluster.compare.pairs import Reduction, make_reduction
from cluster.compare.tiles import reduce_graphs
from cluster.extract.cards import forget_changed, prepare_inputs
from cluster.extract.gpu_shares import num_workers
from cluster.extract.graphs import extract_graphs, extraction_failures
from cluster.extract.plan import ScanPlan, make_plan
from cluster.pool.context import ScanContext
from cluster.pool.loop import WorkerPool
from cluster.pool.units import GroupResult
from cluster.record.history import (
    PreviousScan,
    known_analysis,
    known_candidates,
    known_centre,
    known_pairs,
    read_history,
)
from cluster.record.manifest import PreparedScan
from depara.config import ScanConfig, ScanFile
from depara.locations import is_remote
from depara.objects import ProbeObjects
from depara.retries import patience_s
from depara.store.graphs import committed_keys
from depara.store.keys import comparison_settings
from depara.store.layout import objects_file
from depara.types import Failure, Probe


@dataclass(frozen=True)
class Extraction:
    """How far the graphs of a scan are, and what was mended on the way.

    ``todo`` is the plan of what is to be computed now, None when all is done, and ``rank`` its
    place among scans at the same work; ``results`` say how the models computed so far ended.
    ``previous`` is the earlier scan to take pairs from. ``healed`` are the graphs found damaged and
    computed anew, ``left_out`` the models of those that stay unusable, ``num_mends`` how often
    something was found damaged.
    """

    prepared: PreparedScan
    todo: ScanPlan | None
    rank: int
    previous: PreviousScan | None
    results: Mapping[str, GroupResult] = field(default_factory=dict)
    healed: frozenset[str] = frozenset()
    left_out: tuple[Failure, ...] = ()
    num_mends: int = 0


@dataclass(frozen=True)
class Comparison:
    """What was compared; ``failures`` are all of the scan, ``facts`` those of the tables.

    ``expected_missed``: of each target's nearest models, where they were chosen by sketches.
    """

    reduction: Reduction
    failures: tuple[Failure, ...]
    num_reused_pairs: int
    facts: dict[str, Any]
    expected_missed: float | None = None


def prepare_scan(
    file: ScanFile,
    pool: WorkerPool,
    context: ScanContext,
    *,
    fresh: bool = False,
    keep: bool = True,
) -> PreparedScan:
    """Returns the plan of a scan: every probe and model known or opened, its layers chosen.

    Args:
        file: the scan.
        pool: opens what is not known.
        context: where to look and to show.
        fresh: take nothing from the storage.
        keep: write canvases and what is learned to the storage.

    Raises:
        ProbeError: too few usable probes.
        ModelError: no model of the zoo can be used.
    """
    inputs = prepare_inputs(file, pool, context, fresh=fresh, keep=keep)
    probes = inputs.probes
    objects = ProbeObjects.of(probes.probes)
    beside = objects_file(objects.key) if objects else None
    incomplete: dict[str, str] = {}

    def committed(keys: Sequence[str]) -> set[str]:
        return committed_keys(context.storage, keys, incomplete, beside)

    plan = make_plan(
        file.config,
        inputs.cards,
        probes.key,
        len(probes.probes),
        committed,
        fresh=fresh,
        is_labelled=any(probe.label is not None for probe in probes.probes),
        objects=objects or None,
    )
    for model in plan.models:
        for graph in model.graphs:
            if graph.key in incomplete:
                name, layer = model.card.model_id, graph.layer.name
                context.reporter.note(
                    f"damaged: {incomplete[graph.key]} is missing or empty (model {name!r}, layer "
                    f"{layer!r}): the graph is computed anew"
                )
    if objects is not None:
        _note_objects(objects, probes.probes, context)
    settings = comparison_settings(file.config, probes.key, plan.num_probes)
    ids = [model.id for model in file.config.models]
    history = read_history(context.storage, settings, ids)
    if fresh:
        history = replace(history, previous=None, reasons=("--fresh takes nothing from it",))
    for reason in history.reasons:
        context.reporter.note(f"nothing is taken from the latest scan: {reason}")
    return PreparedScan(
        plan,
        probes.probes,
        (*probes.failures, *inputs.failures),
        inputs.fingerprinted,
        history,
        settings,
        probes.left_out,
    )


def _note_objects(objects: ProbeObjects, probes: Sequence[Probe], context: ScanContext) -> None:
    unknown = sum(probe.boxes is None for probe in probes)
    dropped = objects.num_dropped
    context.reporter.note(
        f"{len(objects)} objects of {len(set(objects.labels))} classes are on the canvases"
        + (f"; {dropped} more lie outside by over half of their area" if dropped else "")
        + (f"; of {unknown} of {len(probes)} probes none are known" if unknown else "")
    )


def extract(graphs: Extraction, pool: WorkerPool, context: ScanContext) -> Extraction:
    """Computes the graphs that are to be computed, and ends the workers.

    Raises:
        DamagedCanvasesError: decoded probes in the storage are damaged; the workers live on.
        DeparaError: the cluster or the storage fails, or a stop was requested.
    """
    if graphs.todo is None:
        return graphs
    new = extract_graphs(graphs.todo, pool, context, graphs.rank)
    prepared = graphs.prepared
    cards = forget_changed(prepared.fingerprinted, new, context.storage)
    pool.close()  # frees the CPUs for the tile tasks
    return replace(
        graphs,
        prepared=replace(prepared, fingerprinted=cards),
        todo=None,
        results={**graphs.results, **new},
    )


def compare(graphs: Extraction, scan_id: str, context: ScanContext) -> Comparison:
    """Compares and analyses the graphs, and writes the tables of the scores.

    Raises:
        ModelError: every model failed.
        UnusableGraphError: graphs cannot be compared.
        DamagedGraphError: graphs are not what was committed.
        UnreadableScanError: the earlier scan's tables cannot be reused.
        DeparaError: the cluster or the storage fails, or a stop was requested.
    """
    prepared, plan = graphs.prepared, graphs.prepared.plan
    new = extraction_failures(plan, graphs.results, context.storage)
    failures = (*prepared.failures, *new, *graphs.left_out)
    reduction = make_reduction(plan, failures)
    labels = [probe.label for probe in prepared.probes]
    context.phases.enter("comparison")
    choice = candidates = None
    if wants_choice(reduction):
        candidates = known_candidates(reduction, graphs.previous, context.storage)
        choice = choose_models(reduction, plan.probe_set_key, candidates, context)
        reduction = replace(reduction, chosen=choice.chosen)
    known = known_pairs(reduction, graphs.previous, candidates)
    analysed = known_analysis(reduction, labels, graphs.previous)
    centre = measure_centre(reduction, known_centre(reduction, graphs.previous), context)
    facts = reduce_graphs(reduction, known, centre, scan_id, context)
    spent_s = context.phases.spent().seconds
    facts |= analyse(reduction, labels, analysed, centre, spent_s, scan_id, context)
    num_known = known.count if known else 0
    facts |= write_choice(choice, reduction, scan_id, context.storage)
    missed = None if choice is None else choice.expected_missed
    return Comparison(reduction, failures, num_known, facts, missed)


def make_pool(config: ScanConfig, context: ScanContext) -> WorkerPool:
    """Returns a pool of the size that the config asks for, or of what the cluster has."""
    compute = config.compute
    return WorkerPool(
        context.launcher,
        num_workers(config, context.launcher),
        compute.ready_timeout_s,
        compute.unit_timeout_s,
        patience_s() if _reads_from_afar(config) else 0.0,
        stop=context.stop,
        phases=context.phases,
        metrics=context.metrics,
    )


def _reads_from_afar(config: ScanConfig) -> bool:
    """Whether units wait for a storage that may not answer for a while."""
    sources = config.probes.source
    places = [config.output, *([sources] if isinstance(sources, str) else sources)]
    return any(map(is_remote, [*places, *(model.weights or "" for model in config.models)]))
