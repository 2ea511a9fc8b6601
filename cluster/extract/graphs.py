"""The stage that computes the missing graphs, and what it leaves behind of those that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.extract.gpu_shares import (
    gpu_shares,
    num_workers,
    share_text,
    shares_text,
    sharing_groups,
)
from cluster.extract.plan import ScanPlan
from cluster.pool.context import ScanContext
from cluster.pool.events import Event, OnEvent
from cluster.pool.loop import WorkerPool
from cluster.pool.progress import show_units
from cluster.pool.units import Group, GroupResult
from depara.errors import DamagedCanvasesError, FailureKind, ModelError
from depara.store.graphs import committed_keys
from depara.store.storage import Storage
from depara.texts import bytes_text
from depara.types import Failure


def extract_graphs(
    plan: ScanPlan, pool: WorkerPool, context: ScanContext, rank: int = 0
) -> dict[str, GroupResult]:
    """Computes and commits the missing graphs; returns how each model with some ended.

    Args:
        plan: the scan.
        pool: does the work.
        context: shows it.
        rank: see `ScanPlan.groups`.

    Raises:
        DamagedCanvasesError: decoded probes in the storage are damaged.
        ClusterError: the cluster cannot run the work.
        StorageUnavailableError: the storage does not answer.
        ScanInterruptedError: a stop was requested.
    """
    context.phases.enter("graphs")
    groups = plan.groups(rank)
    num_units = sum(len(group.units) for group in groups)
    if plan.num_missing < plan.num_graphs:
        done = plan.num_graphs - plan.num_missing
        context.reporter.note(
            f"{done} of {plan.num_graphs} graphs are committed already and are reused"
        )
    context.reporter.phase("graphs", num_units, "units")
    show = show_units(context.reporter, len(groups))
    gpu_bytes = _gpu_bytes(plan, context) if groups else None
    if gpu_bytes is None:
        results = pool.run(groups, show)
    else:
        results = _run_shared(plan, gpu_bytes, groups, pool, context, show)
    for result in results:
        failure = result.failure
        if failure is not None and failure.kind is FailureKind.DAMAGED_CANVASES:
            raise DamagedCanvasesError(failure.message)
    return {result.name: result for result in results}


def _gpu_bytes(plan: ScanPlan, context: ScanContext) -> int | None:
    """The memory of a GPU where models ask for what they need of one."""
    if plan.config.compute.num_gpus != "auto":
        return None
    found = context.launcher.gpu_bytes()
    if found is None:
        context.reporter.note("compute.num_gpus is auto and there is no GPU: CPUs compute")
    return found


def _run_shared(
    plan: ScanPlan,
    gpu_bytes: int,
    groups: Sequence[Group],
    pool: WorkerPool,
    context: ScanContext,
    show: OnEvent,
) -> list[GroupResult]:
    """Runs the groups by the share of a GPU that they need, one share after the other.

    What runs out of memory on a share runs again, at the end, on a whole one.
    """
    shares = gpu_shares(plan, gpu_bytes)
    context.reporter.note(f"{bytes_text(gpu_bytes)} of GPU memory: {shares_text(shares)}")
    results: dict[str, GroupResult] = {}
    short: list[Group] = []

    def ask(gpus: float) -> None:
        context.launcher.ask_for(gpus)
        pool.restart(num_workers(plan.config, context.launcher))

    def show_but_short(event: Event) -> None:
        is_short = event.failure is not None and event.failure.kind is FailureKind.NO_MEMORY
        show(Event("tick") if is_short else event)

    for gpus, asking in sharing_groups(groups, shares):
        ask(gpus)
        done = pool.run(asking, show if gpus >= 1 else show_but_short)
        results |= {result.name: result for result in done}
        if gpus < 1:
            short += [group for group in asking if _is_short(results[group.name], gpus, context)]
    if short:
        ask(1.0)
        num_units = sum(len(group.units) for group in short)
        context.reporter.phase("graphs", num_units, "units")
        again = pool.run(short, show_units(context.reporter, len(short)))
        results |= {result.name: result for result in again}
    context.launcher.ask_for(0.0)  # what comes after the graphs runs on CPUs
    return [results[group.name] for group in groups]


def _is_short(result: GroupResult, gpus: float, context: ScanContext) -> bool:
    failure = result.failure
    if failure is None or failure.kind is not FailureKind.NO_MEMORY:
        return False
    context.reporter.note(
        f"{result.name}: out of memory on {share_text(gpus)}, computed again on a whole one: "
        f"{failure.message}"
    )
    return True


def extraction_failures(
    plan: ScanPlan, results: Mapping[str, GroupResult], storage: Storage
) -> list[Failure]:
    """Returns the failures of the extraction; a model is good when all its graphs are committed."""
    failures = [result.failure for result in results.values() if result.failure is not None]
    failed_keys = {
        graph.key
        for model in plan.models
        if (result := results.get(model.card.model_id)) is not None and result.failure
        for graph in model.missing
    }
    if failed_keys:
        failed_keys -= committed_keys(storage, failed_keys)
    known = {failure.model_id for failure in failures}
    for model in plan.models:
        lacking = [graph for graph in model.missing if graph.key in failed_keys]
        if lacking and model.card.model_id not in known:
            failures.append(
                Failure(
                    model_id=model.card.model_id,
                    stage="extract",
                    layer=lacking[0].layer.name,
                    error_type=ModelError.__name__,
                    message="a model with the same weights failed, and with it their graphs",
                )
            )
    return failures
