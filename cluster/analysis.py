"""What a scan says beside the scores: how sure the rankings are, and the scores with labels.

Both are stateless tasks over committed graphs, like the tiles; one last task writes the tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from cluster.blocks import GraphRef, StoredBlock, feature_grams, open_graphs
from cluster.launcher import Launcher
from cluster.progress import Reporter
from cluster.reduce import Reduction
from cluster.tasks import collect_facts, follow
from depara.errors import DeparaError, StoreError
from depara.labelled import label_score_table, label_scores, undefined_scores
from depara.labelled.scores import LABEL_SCORES, ScoreValue
from depara.store.scans import write_table
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


def analyse(
    reduction: Reduction,
    labels: Sequence[str | None],
    spent_s: float,
    scan_id: str,
    output: str,
    launcher: Launcher,
    reporter: Reporter,
) -> dict[str, Any]:
    """Computes and writes the tables of uncertainty and of label scores; returns their facts.

    Args:
        reduction: the graphs compared.
        labels: of the probes, in index order.
        spent_s: time of the scan so far, which bounds the number of resamples.
        scan_id: the scan.
        output: location of the store.
        launcher: runs the tasks.
        reporter: shows them.

    Raises:
        StoreError: a graph cannot be read, or a table not be written.
        ClusterError: tasks keep dying.
    """
    threads = max(1, int(reduction.config.compute.num_cpus))
    calls = _uncertainty_calls(reduction, spent_s, output, threads, launcher, reporter)
    num_blocks = len(calls)
    calls += _label_calls(reduction, labels, output, threads)
    reporter.phase("analysis", len(calls), "tasks")
    refs = [launcher.submit(task, *arguments) for task, arguments in calls]
    follow(refs, launcher, reporter)
    last = launcher.submit(write_analysis_tables, output, scan_id, num_blocks, *refs)
    return collect_facts(last, launcher, "the rankings could not be analysed")


def resample_block(
    output: str,
    threads: int,
    task: UncertaintyTask,
    reduction: Reduction,
    settings: UncertaintySettings,
) -> BlockUncertainty | str:
    """Returns the uncertainty of one block of pairs, or the message of an error."""
    import threadpoolctl

    candidates = _candidates(reduction)
    sources = [candidates[place] for place in task.sources]
    targets = [reduction.outputs[place] for place in task.targets]
    storage = Storage(output)
    try:
        with threadpoolctl.threadpool_limits(threads):
            return block_uncertainty(
                StoredBlock(open_graphs(storage, sources)),
                StoredBlock(open_graphs(storage, targets)),
                sources=sources,
                targets=targets,
                num_probes=reduction.num_probes,
                lambda_=reduction.config.similarity.lambda_,
                memory_bytes=int(reduction.config.compute.memory),
                settings=settings,
                rankings=task.rankings,
            )
    except DeparaError as error:
        return str(error)


def score_labels(
    output: str, threads: int, graphs: Sequence[GraphRef], labels: Sequence[str | None]
) -> list[LabelRow] | str:
    """Returns the label scores of some graphs, or the message of an error."""
    import threadpoolctl

    try:
        with threadpoolctl.threadpool_limits(threads):
            return [
                (ref.model_id, ref.layer, label_scores(feature_grams(graph), labels))
                for ref, graph in zip(graphs, open_graphs(Storage(output), graphs), strict=True)
            ]
    except DeparaError as error:
        return str(error)


def write_analysis_tables(
    output: str, scan_id: str, num_blocks: int, *results: Any
) -> dict[str, Any] | str:
    """Writes the analysis tables, empty where nothing was asked for; returns their facts."""
    errors = [result for result in results if isinstance(result, str)]
    if errors:
        return errors[0]
    blocks: list[BlockUncertainty] = list(results[:num_blocks])
    rows: list[LabelRow] = [row for part in results[num_blocks:] for row in part]
    if blocks:
        tables = uncertainty_tables(blocks)
    else:
        tables = {name: TABLES[name].empty_table() for name in UNCERTAINTY_TABLES}
    tables["label_scores"] = label_score_table(rows)
    storage = Storage(output)
    try:
        return {name: write_table(storage, scan_id, name, t) for name, t in tables.items()}
    except StoreError as error:
        return str(error)


def _uncertainty_calls(
    reduction: Reduction,
    spent_s: float,
    output: str,
    threads: int,
    launcher: Launcher,
    reporter: Reporter,
) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
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
        reporter.note(
            f"intervals from {taken} resamples instead of {plan.requested_resamples}, to stay "
            f"within {config.time_share:.0%} of the scan's time (uncertainty.time_share)"
        )
    return [
        (resample_block, (output, threads, task, reduction, plan.settings)) for task in plan.tasks
    ]


def _label_calls(
    reduction: Reduction, labels: Sequence[str | None], output: str, threads: int
) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    wanted = reduction.config.similarity.label_scores
    if not wanted or len(undefined_scores(labels)) == len(LABEL_SCORES):
        return []
    graphs = _candidates(reduction)
    pieces = [
        graphs[start : start + _GRAPHS_PER_LABEL_TASK]
        for start in range(0, len(graphs), _GRAPHS_PER_LABEL_TASK)
    ]
    return [(score_labels, (output, threads, piece, list(labels))) for piece in pieces]


def _candidates(reduction: Reduction) -> tuple[GraphRef, ...]:
    """All graphs but those of random-weights twins."""
    return tuple(graph for graph in reduction.sources if not graph.null_of)
