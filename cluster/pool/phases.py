"""Where the time of a scan goes: seconds of each phase, worker-seconds, bytes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from depara.traffic import NO_TRAFFIC, Traffic, total_traffic

PHASES = ("probes", "models", "graphs", "comparison", "analysis", "tables")
"""In order; recomputing what is damaged goes back to `graphs`. Planning counts with the models."""

STATES = ("starting", "busy", "idle", "tasks")
"""Of worker-seconds: until ready, with a unit, without one; and those of tiles and other tasks."""


@dataclass(frozen=True)
class TaskCost:
    """What one task or unit took of the process that it ran in."""

    seconds: float = 0.0
    traffic: Traffic = NO_TRAFFIC


@dataclass(frozen=True)
class Spent:
    """What a scan has spent: seconds by phase, worker-seconds by state, bytes.

    The phases follow one another without a gap: their sum is the time of the scan.
    """

    phases: dict[str, float]
    workers: dict[str, float]
    driver: Traffic
    others: Traffic

    @property
    def seconds(self) -> float:
        """Of the whole scan."""
        return sum(self.phases.values())

    @property
    def traffic(self) -> Traffic:
        """Of all processes."""
        return self.driver + self.others

    @property
    def busy_share(self) -> float | None:
        """Share of the time of ready workers in which they had a unit; None without workers."""
        ready = self.workers["busy"] + self.workers["idle"]
        return self.workers["busy"] / ready if ready else None

    def to_manifest(self) -> dict[str, Any]:
        """Returns the part of the manifest."""
        return {
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "workers": {name: round(seconds, 3) for name, seconds in self.workers.items()},
            "bytes": {
                name: {
                    field.name.removesuffix("_bytes"): getattr(traffic, field.name)
                    for field in fields(Traffic)
                    if field.name.endswith("_bytes")
                }
                for name, traffic in (("driver", self.driver), ("workers", self.others))
            },
            "requests": {"driver": self.driver.requests, "workers": self.others.requests},
        }


class PhaseClock:
    """Measures the phases of one scan; exactly one runs at any moment, the first from the start.

    What was spent may be asked for in any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._phase = PHASES[0]
        self._since_s = clock()
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._workers: Counter[str] = Counter()
        self._before = total_traffic()
        self._others = NO_TRAFFIC

    def enter(self, phase: str) -> None:
        """Ends the present phase and goes on with another one, or with one that was before."""
        assert phase in PHASES
        with self._lock:
            now_s = self._clock()
            self._seconds[self._phase] += now_s - self._since_s
            self._phase, self._since_s = phase, now_s

    def add_worker(self, state: str, seconds: float) -> None:
        """Counts the time of one worker in one of the `STATES`."""
        with self._lock:
            self._workers[state] += seconds  # type: ignore[assignment]

    def add_traffic(self, traffic: Traffic) -> None:
        """Counts bytes of another process than the driver's."""
        self._others += traffic

    def add_tasks(self, costs: Sequence[TaskCost]) -> None:
        """Counts what tasks took."""
        for cost in costs:
            self.add_worker("tasks", cost.seconds)
            self.add_traffic(cost.traffic)

    def spent(self) -> Spent:
        """Returns all that was spent until now."""
        with self._lock:
            self.enter(self._phase)
            return Spent(
                dict(self._seconds),
                {state: float(self._workers[state]) for state in STATES},
                total_traffic() - self._before,
                self._others,
            )


class Meter:
    """What a process has read and written since it was last asked."""

    def __init__(self) -> None:
        self._told = total_traffic()

    def take(self) -> Traffic:
        """Returns the bytes since the call before, or since the start."""
        now = total_traffic()
        taken, self._told = now - self._told, now
        return taken


def measured(task: Callable[..., Any], *args: Any) -> tuple[Any, TaskCost]:
    """Returns a task's value, and what it took of the process that it has to itself."""
    meter, started_s = Meter(), time.perf_counter()
    value = task(*args)
    return value, TaskCost(time.perf_counter() - started_s, meter.take())
