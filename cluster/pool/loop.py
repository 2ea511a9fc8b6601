"""The loop that keeps workers busy and outlives their deaths. Knows neither Ray nor models.

A worker is *starting* until it says it is ready, then *idle* or *in flight* with exactly one unit,
so that a crash names its unit. A group's units run in order on one worker; when that worker is
lost, the whole group starts again elsewhere, because the worker's state is gone with it.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cluster.pool.deadlines import DEFAULT_LIMIT_S, Deadlines
from cluster.pool.events import Event, OnEvent
from cluster.pool.launcher import Launcher, Ref, WorkerLostError
from cluster.pool.metrics import NO_METRICS, Metrics
from cluster.pool.phases import PhaseClock
from cluster.pool.slots import Running, Slot, Slots
from cluster.pool.stopping import StopSignal
from cluster.pool.units import FlushUnit, Group, GroupResult, Outcome, Unit
from depara.errors import ClusterError, StorageUnavailableError
from depara.types import Failure

MAX_DEATHS_PER_SLOT = 8
"""Of workers that die before they have work: what a group's unit kills, `MAX_DEATHS_PER_GROUP`
bounds, however many such groups there are."""
MAX_TRIES_PER_GROUP = 3
"""Of a group whose unit fails by a passing fault, such as a storage that does not answer."""

_PLENTY = 4
"""Groups that wait for each worker while one may be bound to it early: then it costs no time that
it is not the first free worker that takes it."""

_STOP_WAIT_S = 10.0
_FLUSH_WAIT_S = 4.0


@dataclass
class WorkerPool:
    """A pool of workers that runs groups of units, several calls long.

    ``size`` workers are kept alive; ``ready_timeout_s`` bounds the wait for the first of them and
    ``unit_timeout_s`` the time of one unit, which most reach long before (`Deadlines`);
    ``patience_s`` is how long their storage may not answer. ``counts`` says how many units were
    started and done, workers lost and groups requeued. ``phases`` is told of the workers' time and
    bytes, ``metrics`` of what becomes of units and workers. ``stop`` ends it in good order.
    """

    launcher: Launcher
    size: int
    ready_timeout_s: float = 600.0
    unit_timeout_s: float = 1800.0
    patience_s: float = 0.0
    poll_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    stop: StopSignal = field(default_factory=StopSignal)
    counts: Counter[str] = field(default_factory=Counter)
    phases: PhaseClock = field(default_factory=PhaseClock)
    metrics: Metrics = NO_METRICS
    slots: Slots = field(init=False)
    deadlines: Deadlines = field(init=False)
    someone_was_ready: bool = field(default=False, init=False)
    _current: _PoolRun | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.slots = Slots(self.launcher, self.clock, self.phases)
        self.deadlines = Deadlines(self.unit_timeout_s, self.patience_s)

    def run(
        self, groups: Sequence[Group], on_event: OnEvent = lambda event: None
    ) -> list[GroupResult]:
        """Runs all groups, longest first; returns their results in the order given.

        Raises:
            ClusterError: no worker becomes ready in time, or every slot keeps dying.
            StorageUnavailableError: the storage did not answer in several tries of one group.
            ScanInterruptedError: a stop was requested; units that ran have ended, as far as they
                could within seconds.
        """
        order = sorted(groups, key=lambda group: (-group.seconds, group.name))
        waiting = deque(Running(group, GroupResult(group.name)) for group in order)
        results = {id(running.group): running.result for running in waiting}
        self._current = _PoolRun(self, on_event, waiting, len(waiting))
        self._current.run()
        return [results[id(group)] for group in groups]

    def restart(self, size: int) -> None:
        """Ends all workers; those that are started from now on are at most so many."""
        self.close()
        self.size, self.someone_was_ready = size, False

    @property
    def num_waiting(self) -> int:
        """Groups that have not ended and that no worker has begun; may be asked in any thread."""
        if self._current is None:
            return 0
        begun = sum(slot.running is not None for slot in self.slots)
        return max(0, self._current.unfinished - begun)

    def close(self) -> None:
        """Ends all workers."""
        self.slots.meter()
        self.slots.shrink(0)


@dataclass
class _PoolRun:
    """Some groups on their way through a pool: who waits, and how many have not ended."""

    pool: WorkerPool
    on_event: OnEvent
    waiting: deque[Running]
    unfinished: int
    suspects: deque[Running] = field(default_factory=deque)
    next_check_s: float = -math.inf
    """Of the deadlines: all workers' are looked at once per `poll_s`, not with every event."""

    def run(self) -> None:
        """Runs until all groups have ended; raises what `WorkerPool.run` does."""
        slots = self.pool.slots
        slots.meter()
        while self.unfinished:
            if self.pool.stop.requested:
                self._wind_down()
            if self.unfinished == len(self.suspects):
                # One suspect runs, alone: the other workers are idle and give their memory back.
                self.waiting.append(self.suspects.popleft())
                slots.shrink(1)
            slots.fill(min(self.pool.size, max(1, self.unfinished - len(self.suspects))))
            self._dispatch()
            self._gather()
            self.on_event(Event("tick"))

    def _wind_down(self) -> None:
        """Lets units in flight end and last units run, has the others' writes finished; raises."""
        pool, launcher = self.pool, self.pool.launcher
        self.waiting.clear()  # nothing else begins
        deadline_s = pool.clock() + _STOP_WAIT_S
        while pool.clock() < deadline_s:
            for slot in pool.slots:
                if slot.is_free and slot.running and slot.running.is_at_last_unit:
                    self._hand_over(slot, slot.running)
            if not any(slot.state == "busy" for slot in pool.slots):
                break
            self._gather()
        refs = [
            launcher.run(slot.handle, FlushUnit(), 0, None)
            for slot in pool.slots
            if slot.is_free and slot.running is not None
        ]
        deadline_s = pool.clock() + _FLUSH_WAIT_S
        while refs and pool.clock() < deadline_s:
            done = launcher.wait(refs, pool.poll_s)
            refs = [ref for ref in refs if ref not in done]
        pool.stop.check()

    def _dispatch(self) -> None:
        something_waits = True
        for slot in self.pool.slots:
            if not slot.is_free:
                continue
            if slot.running is None:
                if self.pool.launcher.draining(slot.handle):
                    self._replace(slot, slot.deaths)
                    continue
                # Asked once in vain: at the end of a night most of a thousand workers are idle.
                slot.running = self._next_group(slot) if something_waits else None
                something_waits = slot.running is not None
            if slot.running is not None:
                self._hand_over(slot, slot.running)

    def _next_group(self, slot: Slot) -> Running | None:
        """The slot's own reservation, else the longest that waits, else another's reservation."""
        if slot.reserved is None and self.waiting:
            return self.waiting.popleft()
        holder: Slot
        for holder in (slot, *self.pool.slots):
            if holder.reserved is not None:
                found, holder.reserved = holder.reserved, None
                return found
        return None

    def _hand_over(self, slot: Slot, running: Running) -> None:
        upcoming: Unit | None = None
        if not running.is_at_last_unit:
            upcoming = running.group.units[running.next_unit + 1]
        # Let the worker prepare the next group meanwhile, from early on while there are plenty.
        is_early = running.is_near_its_end and len(self.waiting) > _PLENTY * self.pool.size
        if slot.reserved is None and self.waiting and (running.is_at_last_unit or is_early):
            slot.reserved = self.waiting.popleft()
        if slot.reserved is not None:
            upcoming = slot.reserved.group.units[0]
        unit, launcher = running.unit, self.pool.launcher
        slot.since_s = self.pool.clock()
        slot.ref = launcher.run(slot.handle, unit, running.result.deaths, upcoming)
        self.pool.counts["units_started"] += 1
        self.on_event(Event("started", running.group.name, unit=unit.label))

    def _gather(self) -> None:
        """Waits for something to end and acts on it."""
        pool = self.pool
        by_ref = {slot.ref: slot for slot in pool.slots if slot.ref is not None}
        done: list[Ref] = []
        if by_ref:
            done = pool.launcher.wait(list(by_ref), pool.poll_s)
        else:
            time.sleep(pool.poll_s)
        pool.slots.meter()
        for ref in done:
            slot = by_ref[ref]
            try:
                outcome = pool.launcher.fetch(ref)
            except WorkerLostError as loss:
                self._bury(slot, loss)
                continue
            slot.ref = None
            pool.phases.add_traffic(outcome.traffic)
            if not slot.is_ready:
                slot.is_ready = pool.someone_was_ready = True
                self.on_event(Event("ready", detail=str(outcome.value or "")))
            elif slot.running is not None:
                self._advance(slot, slot.running, outcome)
        self._check_deadlines()

    def _advance(self, slot: Slot, running: Running, outcome: Outcome) -> None:
        """Takes what a unit has come to, and the group to its next unit or its end."""
        failure = outcome.failure
        done, seconds = running.unit, self.pool.clock() - slot.since_s
        self.pool.metrics.observe("depara_unit_seconds", seconds, kind=done.name)
        if failure is not None and failure.is_passing:
            slot.running = None
            self._requeue(running, failure)
            return
        if failure is None:
            self.pool.deadlines.learn(done, seconds)
            self.pool.metrics.add("depara_graphs", done.num_graphs)
        running.result.values.append(outcome.value)
        self.pool.counts["units_done"] += 1
        self.on_event(Event("unit", running.group.name, unit=done.label))
        if failure is None and not running.is_at_last_unit:
            running.next_unit += 1
            return
        slot.running = None
        self._end(running, failure, f"{failure.error_type}: {failure.message}" if failure else "")

    def _end(self, running: Running, failure: Failure | None, detail: str) -> None:
        running.result.failure = failure
        if failure is not None:
            self.pool.metrics.add("depara_failures", stage=failure.stage)
        self.unfinished -= 1
        self.on_event(Event("group", running.group.name, detail, failure=failure))

    def _requeue(self, running: Running, failure: Failure) -> None:
        """Puts a group back that failed by nobody's fault; too often, and the whole scan ends."""
        running.passing_failures += 1
        if running.passing_failures >= MAX_TRIES_PER_GROUP:
            raise StorageUnavailableError(
                f"{running.group.name}: {failure.message}; given up after "
                f"{running.passing_failures} tries of this unit: run the same command again later "
                "and it goes on from what is committed"
            )
        running.restart()
        self.waiting.append(running)
        self.pool.counts["requeued"] += 1
        self.pool.metrics.add("depara_requeued", reason="storage")
        self.on_event(Event("requeued", running.group.name, failure.message))

    def _bury(self, slot: Slot, loss: WorkerLostError) -> None:
        """Replaces a lost worker; its group is tried again, or given up after several losses."""
        running = slot.running
        deaths = slot.deaths + (running is None and not loss.is_node_loss)
        self.pool.counts["workers_lost"] += 1
        self.pool.metrics.add("depara_workers_lost", reason=loss.kind)
        self.on_event(Event("lost", running.group.name if running else "", str(loss)))
        if deaths > MAX_DEATHS_PER_SLOT:
            raise ClusterError(
                f"workers keep dying ({deaths} in one place), last: {loss}; "
                f"each asks for {self.pool.launcher.request()}"
            )
        self._replace(slot, deaths)
        if running is None:
            return
        failure = running.lose(loss)
        if failure is not None:
            self._end(running, failure, failure.message)
            return
        running.restart()
        self.pool.metrics.add("depara_requeued", reason="worker")
        (self.suspects if running.is_suspect else self.waiting).appendleft(running)

    def _replace(self, slot: Slot, deaths: int) -> None:
        """Starts another worker in a slot, and gives back what the slot has reserved."""
        if slot.reserved is not None:
            self.waiting.appendleft(slot.reserved)
        self.pool.slots.replace(slot, deaths)

    def _check_deadlines(self) -> None:
        pool = self.pool
        now_s = pool.clock()
        if now_s < self.next_check_s:
            return
        self.next_check_s = now_s + pool.poll_s
        for slot in pool.slots:
            if slot.state != "busy" or slot.running is None:
                continue
            waited_s = now_s - slot.since_s
            if waited_s > pool.deadlines.of(slot.running.unit):
                silence = (
                    f"no answer for {waited_s:.0f} s: it hangs, or is far slower than measured; "
                    "if it is only slow, raise compute.unit_timeout_s above "
                    f"{max(DEFAULT_LIMIT_S, pool.unit_timeout_s):g}: deadlines rise with it"
                )
                self._bury(slot, WorkerLostError(silence, is_hang=True))
        first_s = min((slot.since_s for slot in pool.slots), default=now_s)
        if not pool.someone_was_ready and now_s - first_s > pool.ready_timeout_s:
            raise ClusterError(
                f"no worker became ready within {pool.ready_timeout_s:g} s: "
                f"each asks for {pool.launcher.request()}; lower compute.num_cpus or "
                "compute.num_gpus, or give the cluster such nodes"
            )
