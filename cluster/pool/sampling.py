"""Totals of a running scan as metrics: read every few seconds, whatever the driver waits for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.pool.context import ScanContext
from cluster.pool.loop import WorkerPool
from cluster.pool.phases import Spent
from cluster.pool.slots import SLOT_STATES
from depara.traffic import Traffic

SAMPLE_EVERY_S = 5.0
"""Half of the time after which Ray hands metrics on."""

_JOIN_S = 5.0


class Sampler:
    """Tells the metrics of a scan what was spent since it told them last, and what is now."""

    def __init__(self, pool: WorkerPool, context: ScanContext) -> None:
        self._pool = pool
        self._context = context
        self._told: Counter[tuple[str, ...]] = Counter()

    def sample(self) -> None:
        """Tells them."""
        states = Counter(slot.state for slot in self._pool.slots)
        self._tell_spent(self._context.phases.spent())
        self._tell_present(True, states, self._pool.num_waiting, self._context.reporter.steps)

    def end(self) -> None:
        """Tells the last totals; what is now has gone with the scan."""
        self._tell_spent(self._context.phases.spent())
        self._tell_present(False, Counter(), 0, (0, 0))

    def _tell_present(
        self, is_running: bool, states: Counter[str], num_waiting: int, steps: tuple[int, int]
    ) -> None:
        """Sets all gauges every time: Ray forgets those that nobody sets."""
        metrics = self._context.metrics
        for state in SLOT_STATES:
            metrics.set("depara_workers", states[state], state=state)
        metrics.set("depara_groups_waiting", num_waiting)
        metrics.set("depara_steps_done", steps[0])
        metrics.set("depara_steps", steps[1])
        metrics.set("depara_scan_running", int(is_running))

    def _tell_spent(self, spent: Spent) -> None:
        for phase, seconds in spent.phases.items():
            self._raise("depara_phase_seconds", seconds, phase=phase)
        for state, seconds in spent.workers.items():
            self._raise("depara_worker_seconds", seconds, state=state)
        self._tell_traffic(spent.driver, "driver")
        self._tell_traffic(spent.others, "workers")

    def _tell_traffic(self, traffic: Traffic, process: str) -> None:
        for direction in ("read", "written", "to_device", "from_device"):
            total = getattr(traffic, f"{direction}_bytes")
            self._raise("depara_moved_bytes", total, direction=direction, process=process)
        self._raise("depara_requests", traffic.requests, process=process)
        self._raise("depara_retries", traffic.retries, process=process)

    def _raise(self, name: str, total: float, **labels: str) -> None:
        """Adds to a counter what is missing to a total."""
        key = (name, *labels.values())
        self._context.metrics.add(name, total - self._told[key], **labels)
        self._told[key] = total  # type: ignore[assignment]


@contextmanager
def sampled(pool: WorkerPool, context: ScanContext) -> Iterator[None]:
    """Samples a scan in the background until the block is left, however that ends."""
    sampler, stop = Sampler(pool, context), threading.Event()

    def sample_on() -> None:
        while not stop.wait(SAMPLE_EVERY_S):
            sampler.sample()

    sampler.sample()
    thread = threading.Thread(target=sample_on, daemon=True, name="depara-metrics")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_JOIN_S)
        sampler.end()
