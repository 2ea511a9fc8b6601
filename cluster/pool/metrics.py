"""Numbers for a monitoring system: which there are, and what they are recorded with.

Every label has few values, whatever the zoo: no model, layer or scan is ever one. What a metric
counts begins at nothing with each scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

_UNIT_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


@dataclass(frozen=True)
class Metric:
    """One metric: ``name`` ends with its unit, ``boundaries`` are the upper ones of buckets."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()

    @property
    def exported(self) -> tuple[str, ...]:
        """The names that Prometheus reads: Ray puts its own before them, and ends counters."""
        ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
        return tuple(f"ray_{self.name}{end}" for end in ends[self.kind])


METRICS = (
    Metric("depara_scan_running", "gauge", "1 while a scan runs, 0 when it has ended."),
    Metric("depara_phase_seconds", "counter", "Seconds that a scan was in a phase.", ("phase",)),
    Metric("depara_steps_done", "gauge", "Steps done of what the progress display shows."),
    Metric("depara_steps", "gauge", "Steps in all of what the progress display shows."),
    Metric(
        "depara_worker_seconds",
        "counter",
        "Worker-seconds: until ready, with a unit, without one; and those of tasks.",
        ("state",),
    ),
    Metric("depara_workers", "gauge", "Workers that are starting, busy or idle now.", ("state",)),
    Metric("depara_groups_waiting", "gauge", "Models, or pieces of probes, that no worker has."),
    Metric(
        "depara_unit_seconds",
        "histogram",
        "Seconds of units that ended, failed ones too, as the driver sees them.",
        ("kind",),
        _UNIT_SECONDS,
    ),
    Metric("depara_graphs", "counter", "Graphs committed."),
    Metric(
        "depara_requeued",
        "counter",
        "Groups of units begun again: their worker was lost, or the storage did not answer.",
        ("reason",),
    ),
    Metric(
        "depara_workers_lost",
        "counter",
        "Workers lost: with their node, for want of memory, by hanging, or else.",
        ("reason",),
    ),
    Metric("depara_failures", "counter", "Models given up, by the stage that failed.", ("stage",)),
    Metric(
        "depara_moved_bytes",
        "counter",
        "Bytes read and written of files, and moved to and from devices.",
        ("direction", "process"),
    ),
    Metric("depara_requests", "counter", "Requests to the output.", ("process",)),
    Metric(
        "depara_retries",
        "counter",
        "Requests tried again because the storage did not answer well.",
        ("process",),
    ),
)
"""All of them; docs/operations.md says what to watch."""


class Metrics(Protocol):
    """Where numbers go; a name and its labels are those of one of `METRICS`."""

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Adds to a counter; nothing is added where the amount is 0."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Counts a value in a histogram."""


class NoMetrics:
    """Nobody watches: dry runs, tests, programs without Ray."""

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Does nothing."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Does nothing."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Does nothing."""


NO_METRICS = NoMetrics()


class LibraryMetrics:
    """Metrics of a library with the classes Counter, Gauge and Histogram of `ray.util.metrics`.

    The library is handed in, because only the launcher knows Ray.
    """

    def __init__(self, library: Any, metrics: Sequence[Metric] = METRICS) -> None:
        """Makes all of them; one that has no value yet is not exported."""
        self._labels = {one.name: set(one.labels) for one in metrics}
        self._made: dict[str, Any] = {}
        for one in metrics:
            options: dict[str, Any] = {"description": one.help, "tag_keys": one.labels}
            if one.boundaries:
                options["boundaries"] = list(one.boundaries)
            self._made[one.name] = getattr(library, one.kind.capitalize())(one.name, **options)

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Adds to a counter."""
        if amount > 0:
            self._find(name, labels).inc(amount, labels)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge."""
        self._find(name, labels).set(value, labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Counts a value in a histogram."""
        self._find(name, labels).observe(value, labels)

    def _find(self, name: str, labels: Mapping[str, str]) -> Any:
        """The metric of a name; Ray itself would take labels that it was not told of."""
        if set(labels) != self._labels[name]:
            raise ValueError(f"{name} has the labels {self._labels[name]}, got {set(labels)}")
        return self._made[name]
