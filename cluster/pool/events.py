"""What the pool's events become on the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cluster.pool.loop import Event
from cluster.pool.progress import Reporter


def show_groups(
    reporter: Reporter, sizes: Mapping[str, int] | None = None
) -> Callable[[Event], None]:
    """Returns what counts finished groups as steps, one each or as many as `sizes` says."""

    def show(event: Event) -> None:
        show_incident(reporter, event)
        if event.kind == "group":
            reporter.step(sizes[event.group] if sizes else 1)
        reporter.refresh()

    return show


def show_units(reporter: Reporter, num_groups: int) -> Callable[[Event], None]:
    """Returns what counts finished units as steps, and finished groups beside them."""
    groups_done = 0

    def show(event: Event) -> None:
        nonlocal groups_done
        show_incident(reporter, event)
        groups_done += event.kind == "group"
        state = f"{groups_done}/{num_groups} models"
        reporter.step(1 if event.kind == "unit" else 0, state)

    return show


def show_incident(reporter: Reporter, event: Event) -> None:
    """Shows failures and losses; in a verbose display every unit as well."""
    group = event.group or "idle"
    if event.kind == "group" and event.detail:
        reporter.fail(f"{event.group}: {event.detail}")
    elif event.kind == "lost":
        reporter.note(f"worker lost: {group}: {event.detail}")
    elif event.kind == "requeued":
        reporter.note(f"unit requeued: {group}: {event.detail}")
    elif event.kind == "started":
        reporter.trace(f"unit started: {group} {event.unit}")
    elif event.kind == "unit":
        reporter.trace(f"unit done: {group} {event.unit}")
