"""What a scan says beside the scores: how sure the rankings are, and the scores with labels.

Both are stateless tasks over committed graphs, like the tiles; one last task writes the tables.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from cluster.compare.blocks import GraphRef, StoredBlock, open_graphs
from cluster.compare.pairs import Reduction
from cluster.compare.unusable import NUMERIC_ERRORS, check_graph, failure_of_graphs
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Launcher
from cluster.pool.tasks import TaskFailure, collect_facts, failure_of, follow, merge_failures
from depara.catalog import LABEL_SCORES
from depara.errors import StoreError
from depara.labelled import label_score_table, label_scores, undefined_scores
from depara.labelled.scores import ScoreValue
from depara.store.graphs import CommittedGraph
from depara.store.scans import read_table, write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.uncertainty import TABLES as UNCERTAINTY_TABLES
from depara.uncertainty import (
    BlockUncertainty,
    UncertaintySettings,
    UncertaintyTask,
    block_uncertainty,
    plan_uncertainty,
    uncertainty_tables,
)

_GRAPHS_PER_LABEL_TASK = 64
_MIN_RESAMPLES = 100

LabelRow = tuple[str, str, dict[str, ScoreValue]]
Call = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass(frozen=True)
class KnownAnalysis:
    """What an earlier scan has analysed already.

    ``has_rankings`` says that its tables of uncertainty are of the very same graphs and settings;
    ``labelled`` gives, for each graph whose label scores it holds, the model and layer there.
    ``facts`` are those of its tables.
    """

    scan_id: str
    facts: dict[str, Any]
    has_rankings: bool
    labelled: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Resampling:
    """What all resample tasks of a scan have in common: it travels once."""

    output: str
    threads: int
    candidates: tuple[GraphRef, ...]
    targets: tuple[GraphRef, ...]
    num_probes: int
    lambda_: float
    memory_bytes: int
    settings: UncertaintySettings


def analyse(
    reduction: Reduction,
    labels: Sequence[str | None],
    known: KnownAnalysis | None,
    spent_s: float,
    scan_id: str,
    context: ScanContext,
) -> dict[str, Any]:
    """Computes and writes the tables of uncertainty and of label scores; returns their facts.

    Args:
        reduction: the graphs compared.
        labels: of the probes, in index order.
        known: what an earlier scan has analysed, or None.
        spent_s: time of the scan so far, which bounds the number of resamples.
        scan_id: the scan.
        context: runs the tasks.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        StoreError: a graph cannot be read, or a table not be written.
        ClusterError: tasks keep dying.
        ScanInterruptedError: a stop was requested.
    """
    context.phases.enter("analysis")
    output = context.storage.root
    threads = max(1, int(reduction.config.compute.num_cpus))
    calls: list[Call] = []
    if known is None or not known.has_rankings:
        calls = _uncertainty_calls(reduction, spent_s, output, threads, context)
    num_blocks = len(calls)
    calls += _label_calls(reduction, labels, known, output, threads, context.launcher)
    context.reporter.phase("analysis", len(calls), "tasks")
    refs = [context.launcher.submit(task, *arguments) for task, arguments in calls]
    follow(refs, context)
    context.phases.enter("tables")
    order = tuple((graph.model_id, graph.layer, graph.key) for graph in _candidates(reduction))
    last = context.launcher.submit(
        write_analysis_tables, output, scan_id, order, known, num_blocks, *refs
    )
    return collect_facts(last, context, "the rankings could not be analysed")


def resample_block(shared: Resampling, task: UncertaintyTask) -> BlockUncertainty | TaskFailure:
    """Returns the uncertainty of one block of pairs, or the error as data."""
    import threadpoolctl

    sources = [shared.candidates[place] for place in task.sources]
    targets = [shared.targets[place] for place in task.targets]
    storage = Storage(shared.output)
    try:
        with threadpoolctl.threadpool_limits(shared.threads):
            return block_uncertainty(
                StoredBlock(open_graphs(storage, sources)),
                StoredBlock(open_graphs(storage, targets)),
                sources=sources,
                targets=targets,
                num_probes=shared.num_probes,
                lambda_=shared.lambda_,
                memory_bytes=shared.memory_bytes,
                settings=shared.settings,
                rankings=task.rankings,
            )
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(
            error, storage, (*sources, *targets), lambda graph: check_graph(graph, ())
        )


def score_labels(
    output: str, threads: int, graphs: Sequence[GraphRef], labels: Sequence[str | None]
) -> list[LabelRow] | TaskFailure:
    """Returns the label scores of some graphs, or the error as data."""
    import threadpoolctl

    storage = Storage(output)

    def scored(graph: CommittedGraph) -> dict[str, ScoreValue]:
        return label_scores(graph.read_grams(), labels)

    try:
        with threadpoolctl.threadpool_limits(threads):
            return [
                (ref.model_id, ref.layer, scored(graph))
                for ref, graph in zip(graphs, open_graphs(storage, graphs), strict=True)
            ]
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(error, storage, graphs, scored)


def write_analysis_tables(
    output: str,
    scan_id: str,
    order: Sequence[tuple[str, str, str]],
    known: KnownAnalysis | None,
    num_blocks: int,
    *results: Any,
) -> dict[str, Any] | TaskFailure:
    """Writes the analysis tables, empty where nothing was asked for; returns their facts.

    ``order`` is model, layer and key of the graphs, in the order of the label scores.
    """
    failure = merge_failures(results)
    if failure is not None:
        return failure
    blocks: list[BlockUncertainty] = list(results[:num_blocks])
    rows: list[LabelRow] = [row for part in results[num_blocks:] for row in part]
    storage = Storage(output)
    tables = {name: TABLES[name].empty_table() for name in UNCERTAINTY_TABLES}
    if blocks:
        tables = uncertainty_tables(blocks)
    try:
        if known is not None and known.has_rankings:
            tables = {name: _read_known(storage, known, name) for name in UNCERTAINTY_TABLES}
        if known is not None and known.labelled:
            rows += _known_label_rows(storage, known, order)
    except StoreError as error:
        return TaskFailure(str(error), unreadable_scan=known.scan_id if known else None)
    place = {(model, layer): index for index, (model, layer, _) in enumerate(order)}
    rows.sort(key=lambda row: place[row[:2]])
    tables["label_scores"] = label_score_table(rows)
    try:
        return {name: write_table(storage, scan_id, name, t) for name, t in tables.items()}
    except StoreError as error:
        return failure_of(error)


def _read_known(storage: Storage, known: KnownAnalysis, name: str) -> pa.Table:
    return read_table(storage, known.scan_id, name, known.facts[name])


def _known_label_rows(
    storage: Storage, known: KnownAnalysis, order: Sequence[tuple[str, str, str]]
) -> list[LabelRow]:
    """The label scores that an earlier scan has of some graphs, under their present names."""
    scores: dict[tuple[str, str], dict[str, ScoreValue]] = {}
    for row in _read_known(storage, known, "label_scores").to_pylist():
        value = math.nan if row["value"] is None else row["value"]
        graph = scores.setdefault((row["model_id"], row["layer"]), {})
        graph[row["score"]] = ScoreValue(value, row["reason"])
    return [
        (model, layer, scores[known.labelled[key]])
        for model, layer, key in order
        if key in known.labelled
    ]


def _uncertainty_calls(
    reduction: Reduction,
    spent_s: float,
    output: str,
    threads: int,
    context: ScanContext,
) -> list[Call]:
    launcher = context.launcher
    config = reduction.config.uncertainty
    if not config.resamples or len(reduction.outputs) < 2:
        return []
    cores = launcher.capacity() * threads
    plan = plan_uncertainty(
        _candidates(reduction),
        reduction.outputs,
        num_probes=reduction.num_probes,
        num_pixels=reduction.num_pixels,
        memory_bytes=int(reduction.config.compute.memory),
        settings=UncertaintySettings(num_resamples=config.resamples, seed=config.seed),
        budget_s=config.time_share * spent_s * min(cores, os.cpu_count() or 1),
        min_resamples=min(_MIN_RESAMPLES, config.resamples),
        workers=launcher.capacity(),
    )
    taken = plan.settings.num_resamples
    if taken < plan.requested_resamples:
        context.reporter.note(
            f"intervals from {taken} resamples instead of {plan.requested_resamples}, to stay "
            f"within {config.time_share:.0%} of the scan's time (uncertainty.time_share)"
        )
    shared = launcher.share(
        Resampling(
            output=output,
            threads=threads,
            candidates=_candidates(reduction),
            targets=reduction.outputs,
            num_probes=reduction.num_probes,
            lambda_=reduction.config.similarity.lambda_,
            memory_bytes=int(reduction.config.compute.memory),
            settings=plan.settings,
        )
    )
    return [(resample_block, (shared, task)) for task in plan.tasks]


def wants_label_scores(reduction: Reduction, labels: Sequence[str | None]) -> bool:
    """Whether label scores are asked for, and the labels suffice for one at least."""
    wanted = reduction.config.similarity.label_scores
    return wanted and len(undefined_scores(labels)) < len(LABEL_SCORES)


def _label_calls(
    reduction: Reduction,
    labels: Sequence[str | None],
    known: KnownAnalysis | None,
    output: str,
    threads: int,
    launcher: Launcher,
) -> list[Call]:
    if not wants_label_scores(reduction, labels):
        return []
    done = known.labelled if known is not None else {}
    graphs = [graph for graph in _candidates(reduction) if graph.key not in done]
    pieces = [
        graphs[start : start + _GRAPHS_PER_LABEL_TASK]
        for start in range(0, len(graphs), _GRAPHS_PER_LABEL_TASK)
    ]
    shared = launcher.share(list(labels))
    return [(score_labels, (output, threads, piece, shared)) for piece in pieces]


def _candidates(reduction: Reduction) -> tuple[GraphRef, ...]:
    """All graphs but those of random-weights twins."""
    return tuple(graph for graph in reduction.sources if not graph.null_of)
