"""The stage that computes the missing graphs, and what it leaves behind of those that failed."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.extract.plan import ScanPlan
from cluster.pool.context import ScanContext
from cluster.pool.loop import WorkerPool
from cluster.pool.progress import show_units
from cluster.pool.units import GroupResult
from depara.errors import DamagedCanvasesError, FailureKind, ModelError
from depara.store.graphs import committed_keys
from depara.store.storage import Storage
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
    results = pool.run(groups, show_units(context.reporter, len(groups)))
    for result in results:
        failure = result.failure
        if failure is not None and failure.kind is FailureKind.DAMAGED_CANVASES:
            raise DamagedCanvasesError(failure.message)
    return {result.name: result for result in results}


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
