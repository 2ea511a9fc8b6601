"""What the user sees while a scan runs: a live display on a terminal, else a line every 30 s."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from cluster.pool.events import Event, OnEvent
from depara.texts import shown, shown_line

PLAIN_EVERY_S = 30.0


class Reporter:
    """Counts units and groups of the present phase, and shows them.

    Phases follow one another: probes, models, graphs, similarity. `note` prints a line at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._detail = ""
        self.failures = 0
        self.verbose = False
        self._over: list[dict[str, Any]] = []
        self._phase = ""
        self._begin("", 0, "")

    def phase(self, name: str, total: int, what: str) -> None:
        """Starts a phase of `total` steps, called `what` in the display."""
        self._begin(name, total, what)

    def step(self, count: int = 1, detail: str = "") -> None:
        """Counts finished steps."""
        self._done += count
        self._detail = shown_line(detail) or self._detail
        self.refresh()

    def fail(self, message: str) -> None:
        """Counts and prints a failure."""
        self.failures += 1
        self.note(f"failed: {shown_line(message)}")

    def note(self, message: str) -> None:
        """Prints one line."""

    def trace(self, message: str) -> None:
        """Prints one line in a verbose display."""
        if self.verbose:
            self.note(message)

    def refresh(self) -> None:
        """Shows the present state where that is due; called often, also when nothing happened."""

    def close(self) -> None:
        """Ends the display."""

    @property
    def steps(self) -> tuple[int, int]:
        """Done of the present phase, and in all."""
        return self._done, self._total

    def snapshot(self) -> dict[str, Any]:
        """Returns what it shows as data: for the sign of life, by which others follow a scan.

        ``phases`` are those that are over and the present one, with steps done and in all, what a
        step is, and seconds; ``rate`` is in steps per second, ``left_s`` None where it cannot be
        told.
        """
        rate, left_s = self._rate()
        present = [self._present()] if self._phase else []
        return {
            "phases": [*self._over, *present],
            "rate": rate,
            "left_s": left_s,
            "failures": self.failures,
            "detail": self._detail,
        }

    def _present(self) -> dict[str, Any]:
        return {
            "phase": self._phase,
            "done": self._done,
            "total": self._total,
            "what": self._what,
            "seconds": round(self._clock() - self._started_s, 3),
        }

    def _begin(self, name: str, total: int, what: str) -> None:
        if self._phase:
            self._over.append(self._present())
        self._phase, self._total, self._what = name, total, what
        self._done, self._detail, self._started_s = 0, "", self._clock()

    def _rate(self) -> tuple[float, float | None]:
        """Steps per second, and the seconds that are left where they can be told."""
        elapsed_s = max(self._clock() - self._started_s, 1e-9)
        rate = self._done / elapsed_s
        return rate, (self._total - self._done) / rate if self._done else None

    def _line(self) -> str:
        rate, left_s = self._rate()
        eta = f", about {_duration(left_s)} left" if left_s is not None else ""
        detail = f", {self._detail}" if self._detail else ""
        failed = f", {self.failures} failed" if self.failures else ""
        return (
            f"{self._phase}: {self._done}/{self._total} {self._what}"
            f", {rate:.2g}/s{eta}{failed}{detail}"
        )


class PlainReporter(Reporter):
    """One plain line at most every 30 s, for logs."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self._stream = stream or sys.stdout
        self._shown_s = clock()

    def phase(self, name: str, total: int, what: str) -> None:
        """Starts a phase, and says so."""
        super().phase(name, total, what)
        self._shown_s = self._clock()
        self.note(f"{name}: {total} {what}")

    def note(self, message: str) -> None:
        """Prints one line at once."""
        print(shown(message), file=self._stream, flush=True)

    def refresh(self) -> None:
        """Prints the state when the last line is 30 s old."""
        if self._clock() - self._shown_s >= PLAIN_EVERY_S:
            self._shown_s = self._clock()
            self.note(self._line())


class LiveReporter(Reporter):
    """A bar per phase on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._progress.start()

    def phase(self, name: str, total: int, what: str) -> None:
        """Starts a new bar; the bars before it stay."""
        self._finish_bar()
        super().phase(name, total, what)
        self._task = self._progress.add_task(name, total=total, state=what)

    def note(self, message: str) -> None:
        """Prints one line above the bars."""
        self._progress.console.print(shown(message), markup=False, highlight=False)

    def refresh(self) -> None:
        """Moves the bar."""
        if self._task is not None:
            rate, left_s = self._rate()
            eta = f" · {_duration(left_s)} left" if left_s is not None else ""
            failed = f" · {self.failures} failed" if self.failures else ""
            detail = f" · {self._detail}" if self._detail else ""
            state = f"{self._what} · {rate:.2g}/s{eta}{failed}{detail}"
            self._progress.update(self._task, completed=self._done, state=state)

    def close(self) -> None:
        """Leaves the finished bars on the screen."""
        self._finish_bar()
        self._progress.stop()

    def _finish_bar(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=self._done, state=self._what)
            self._progress.stop_task(self._task)


def make_reporter(*, verbose: bool = False) -> Reporter:
    """Returns the live display on a terminal, plain lines elsewhere.

    Args:
        verbose: print a line for every unit of work as well.
    """
    console = Console()
    reporter = LiveReporter(console) if console.is_terminal else PlainReporter()
    reporter.verbose = verbose
    return reporter


def show_groups(reporter: Reporter, sizes: Mapping[str, int] | None = None) -> OnEvent:
    """Returns what counts finished groups as steps, one each or as many as `sizes` says."""

    def show(event: Event) -> None:
        show_incident(reporter, event)
        if event.kind == "group":
            reporter.step(sizes[event.group] if sizes else 1)
        reporter.refresh()

    return show


def show_units(reporter: Reporter, num_groups: int) -> OnEvent:
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


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
