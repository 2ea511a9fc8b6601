"""Stateless tasks: waited for with progress, and their last one's facts with clear errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluster.launcher import Launcher, Ref, WorkerLostError
from cluster.progress import Reporter
from depara.errors import ClusterError, StoreError

_POLL_S = 1.0


def follow(refs: Sequence[Ref], launcher: Launcher, reporter: Reporter) -> None:
    """Waits until all tasks are done, and counts them as steps of the present phase."""
    pending = set(refs)
    while pending:
        done = launcher.wait(list(pending), _POLL_S)
        pending.difference_update(done)
        reporter.step(len(done))


def collect_facts(ref: Ref, launcher: Launcher, failed: str) -> dict[str, Any]:
    """Returns what a table-writing task says of its tables.

    Args:
        ref: the task; it returns facts by table, or an error's message.
        launcher: runs it.
        failed: how a message begins when the task is lost.

    Raises:
        StoreError: the task returned a message.
        ClusterError: the task died more often than is retried.
    """
    try:
        facts = launcher.collect(ref)
    except WorkerLostError as error:
        raise ClusterError(f"{failed}: {error}") from error
    if isinstance(facts, str):
        raise StoreError(facts)
    return dict(facts)
