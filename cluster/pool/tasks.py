"""Stateless tasks: waited for with progress, their errors as data, their last one's facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.pool.context import ScanContext
from cluster.pool.launcher import Ref, WorkerLostError
from depara.errors import (
    ClusterError,
    DamagedGraphError,
    DeparaError,
    StorageUnavailableError,
    StoreError,
    UnreadableScanError,
    UnusableGraphError,
)

_POLL_S = 1.0


@dataclass(frozen=True)
class TaskFailure:
    """Why a task failed, as data: exceptions may not unpickle.

    ``damaged_keys`` are graphs that must be computed anew, ``unreadable_scan`` an earlier scan
    whose tables cannot be reused; the scan mends both by itself. ``unusable`` says of those damaged
    graphs that are whole, by key, why their numbers cannot be compared.
    """

    message: str
    damaged_keys: tuple[str, ...] = ()
    unreadable_scan: str | None = None
    unusable: Mapping[str, str] = field(default_factory=dict)

    def error(self) -> StoreError:
        """Returns it as the error to raise."""
        if self.damaged_keys:
            damaged = DamagedGraphError(self.message)
            if self.unusable:
                damaged = unusable = UnusableGraphError(self.message)
                unusable.reasons = self.unusable
            damaged.graph_keys = self.damaged_keys
            return damaged
        if self.unreadable_scan:
            unreadable = UnreadableScanError(self.message)
            unreadable.scan_id = self.unreadable_scan
            return unreadable
        return StoreError(self.message)


def failure_of(error: DeparaError) -> TaskFailure:
    """Returns an error as data.

    Raises:
        StorageUnavailableError: the error itself, when another try of the task may succeed.
    """
    if isinstance(error, StorageUnavailableError):
        raise error
    keys = error.graph_keys if isinstance(error, DamagedGraphError) else ()
    return TaskFailure(str(error), keys)


def merge_failures(results: Iterable[Any]) -> TaskFailure | None:
    """Returns the first failure among some results, with the damaged graphs of all."""
    failures = [result for result in results if isinstance(result, TaskFailure)]
    if not failures:
        return None
    # An error that recomputing graphs does not mend comes before those that it does.
    first = min(failures, key=lambda failure: bool(failure.damaged_keys))
    keys = {key for failure in failures for key in failure.damaged_keys}
    if not first.damaged_keys:
        return first
    unusable = {key: why for failure in failures for key, why in failure.unusable.items()}
    return TaskFailure(first.message, tuple(sorted(keys)), unusable=unusable)


def follow(refs: Iterable[Ref], context: ScanContext) -> None:
    """Waits until all tasks are done, and counts them as steps of the present phase.

    It keeps no reference to a task that is done: where nobody else does, its value is freed.

    Raises:
        ScanInterruptedError: a stop was requested.
    """
    pending = set(refs)
    while pending:
        context.stop.check()
        done = context.launcher.wait(list(pending), _POLL_S)
        pending.difference_update(done)
        context.reporter.step(len(done))
    context.phases.add_tasks(context.launcher.take_costs())


def collect_facts(ref: Ref, context: ScanContext, failed: str) -> dict[str, Any]:
    """Returns what a table-writing task says of its tables.

    Args:
        ref: the task; it returns facts by table, or a failure.
        context: runs it.
        failed: how a message begins when the task is lost.

    Raises:
        DamagedGraphError: graphs must be computed anew.
        UnusableGraphError: graphs cannot be compared.
        UnreadableScanError: an earlier scan's tables cannot be reused.
        StoreError: the task returned another failure.
        ClusterError: the task died more often than is retried.
        ScanInterruptedError: a stop was requested.
    """
    while not context.launcher.wait([ref], _POLL_S):
        context.stop.check()
    try:
        facts = context.launcher.collect(ref)
    except WorkerLostError as error:
        raise ClusterError(f"{failed}: {error}") from error
    context.phases.add_tasks(context.launcher.take_costs())
    if isinstance(facts, TaskFailure):
        raise facts.error()
    return dict(facts)
