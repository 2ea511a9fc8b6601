"""The loop that keeps workers busy and outlives their deaths. Knows neither Ray nor models.

A worker is *starting* until it says it is ready, then *idle* or *in flight* with exactly one unit,
so that a crash names its unit. A group's units run in order on one worker; when that worker is
lost, the whole group starts again elsewhere, because the worker's state is gone with it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cluster.pool.deadlines import DEFAULT_LIMIT_S, Deadlines
from cluster.pool.launcher import Handle, Launcher, Ref, WorkerLostError
from cluster.pool.phases import PhaseClock
from cluster.pool.stopping import StopSignal
from cluster.pool.units import FlushUnit, Group, GroupResult, Outcome, Unit
from depara.errors import ClusterError, StorageUnavailableError
from depara.types import Failure

MAX_DEATHS_PER_GROUP = 3
MAX_HANGS_PER_GROUP = 2
"""Once may be the machine's fault; what hangs twice hangs always, and each time costs minutes."""
MAX_NODE_LOSSES_PER_GROUP = 20
MAX_DEATHS_PER_SLOT = 8
"""Of workers that die before they have work: what a group's unit kills, `MAX_DEATHS_PER_GROUP`
bounds, however many such groups there are."""
MAX_TRIES_PER_GROUP = 3
"""Of a group whose unit fails by a passing fault, such as a storage that does not answer."""

_STOP_WAIT_S = 10.0
_FLUSH_WAIT_S = 4.0


@dataclass(frozen=True)
class Event:
    """Something to show: kind is ready, started, unit (done), group, lost, requeued or tick."""

    kind: str
    group: str = ""
    detail: str = ""
    unit: str = ""


@dataclass
class _Running:
    """A group on its way: which unit is next, how often its worker died."""

    group: Group
    result: GroupResult
    next_unit: int = 0
    node_losses: int = 0
    passing_failures: int = 0
    hangs: int = 0
    is_suspect: bool = False
    """Lost for want of memory beside others: it runs again when it is alone."""

    def restart(self) -> None:
        self.next_unit = 0
        self.result.values.clear()


@dataclass
class _Slot:
    """One place for a worker; the worker in it may be replaced."""

    handle: Handle
    ref: Ref | None
    since_s: float
    is_ready: bool = False
    running: _Running | None = None
    reserved: _Running | None = None
    deaths: int = 0

    @property
    def state(self) -> str:
        """What its time counts as."""
        if not self.is_ready:
            return "starting"
        return "idle" if self.ref is None else "busy"


@dataclass
class WorkerPool:
    """A pool of workers that runs groups of units, several calls long.

    ``size`` workers are kept alive; ``ready_timeout_s`` bounds the wait for the first of them and
    ``unit_timeout_s`` the time of one unit, which most reach long before (`Deadlines`);
    ``patience_s`` is how long their storage may not answer. ``counts`` says how many units were
    started and done, workers lost and groups requeued. ``phases`` is told of the workers' time and
    bytes. ``stop`` ends it in good order.
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
    _metered_s: float = 0.0
    _slots: list[_Slot] = field(default_factory=list)
    _someone_was_ready: bool = False
    _suspects: deque[_Running] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._deadlines = Deadlines(self.unit_timeout_s, self.patience_s)

    def run(
        self, groups: Sequence[Group], on_event: Callable[[Event], None] = lambda event: None
    ) -> list[GroupResult]:
        """Runs all groups, longest first; returns their results in the order given.

        Raises:
            ClusterError: no worker becomes ready in time, or every slot keeps dying.
            StorageUnavailableError: the storage did not answer in several tries of one group.
            ScanInterruptedError: a stop was requested; units that ran have ended, as far as they
                could within seconds.
        """
        order = sorted(groups, key=lambda group: (-group.seconds, group.name))
        waiting = deque(_Running(group, GroupResult(group.name)) for group in order)
        results = {id(running.group): running.result for running in waiting}
        unfinished = len(waiting)
        self._meter()
        while unfinished:
            if self.stop.requested:
                self._wind_down(on_event)
            if unfinished == len(self._suspects):
                self._try_suspect(waiting)
            self._fill(min(self.size, max(1, unfinished - len(self._suspects))))
            self._dispatch(waiting, on_event)
            unfinished -= self._gather(waiting, on_event)
            on_event(Event("tick"))
        return [results[id(group)] for group in groups]

    def close(self) -> None:
        """Ends all workers."""
        self._meter()
        for slot in self._slots:
            self.launcher.kill(slot.handle)
        self._slots.clear()

    def _meter(self) -> None:
        """Counts the time since the last call by what each worker was doing."""
        now_s = self.clock()
        for slot in self._slots:
            self.phases.add_worker(slot.state, now_s - self._metered_s)
        self._metered_s = now_s

    def _fill(self, wanted: int) -> None:
        while len(self._slots) < wanted:
            handle, ref = self.launcher.start_worker()
            self._slots.append(_Slot(handle, ref, self.clock()))

    def _try_suspect(self, waiting: deque[_Running]) -> None:
        """Lets one suspect run, alone: the other workers are idle and give their memory back."""
        waiting.append(self._suspects.popleft())
        for slot in self._slots[1:]:
            self.launcher.kill(slot.handle)
        del self._slots[1:]

    def _wind_down(self, on_event: Callable[[Event], None]) -> None:
        """Lets units in flight end and last units run, has the others' writes finished; raises."""
        nothing: deque[_Running] = deque()
        deadline_s = self.clock() + _STOP_WAIT_S
        while self.clock() < deadline_s:
            for slot in self._slots:
                running = slot.running
                idle = slot.is_ready and slot.ref is None
                if idle and running and running.next_unit == len(running.group.units) - 1:
                    self._hand_over(slot, running, nothing, on_event)
            if not any(slot.is_ready and slot.ref is not None for slot in self._slots):
                break
            self._gather(nothing, on_event)
        refs = [
            self.launcher.run(slot.handle, FlushUnit(), 0, None)
            for slot in self._slots
            if slot.is_ready and slot.ref is None and slot.running is not None
        ]
        deadline_s = self.clock() + _FLUSH_WAIT_S
        while refs and self.clock() < deadline_s:
            done = self.launcher.wait(refs, self.poll_s)
            refs = [ref for ref in refs if ref not in done]
        self.stop.check()

    def _dispatch(self, waiting: deque[_Running], on_event: Callable[[Event], None]) -> None:
        for slot in list(self._slots):
            if not slot.is_ready or slot.ref is not None:
                continue
            if slot.running is None:
                if self.launcher.draining(slot.handle):
                    if slot.reserved is not None:
                        waiting.appendleft(slot.reserved)
                    self._replace(slot, slot.deaths)
                    continue
                slot.running = self._next_group(slot, waiting)
            if slot.running is not None:
                self._hand_over(slot, slot.running, waiting, on_event)

    def _next_group(self, slot: _Slot, waiting: deque[_Running]) -> _Running | None:
        """The slot's own reservation, else the longest that waits, else another's reservation."""
        if slot.reserved is not None:
            reserved, slot.reserved = slot.reserved, None
            return reserved
        if waiting:
            return waiting.popleft()
        for other in self._slots:
            if other.reserved is not None:
                reserved, other.reserved = other.reserved, None
                return reserved
        return None

    def _hand_over(
        self,
        slot: _Slot,
        running: _Running,
        waiting: deque[_Running],
        on_event: Callable[[Event], None],
    ) -> None:
        units = running.group.units
        unit = units[running.next_unit]
        upcoming: Unit | None = None
        if running.next_unit + 1 < len(units):
            upcoming = units[running.next_unit + 1]
        else:  # the last unit: let the worker prepare the next group meanwhile
            if slot.reserved is None and waiting:
                slot.reserved = waiting.popleft()
            if slot.reserved is not None:
                upcoming = slot.reserved.group.units[0]
        slot.since_s = self.clock()
        slot.ref = self.launcher.run(slot.handle, unit, running.result.deaths, upcoming)
        self.counts["units_started"] += 1
        on_event(Event("started", running.group.name, unit=unit.label))

    def _gather(self, waiting: deque[_Running], on_event: Callable[[Event], None]) -> int:
        """Waits for something to end and acts on it; returns how many groups ended."""
        by_ref = {slot.ref: slot for slot in self._slots if slot.ref is not None}
        refs = list(by_ref)
        done = self.launcher.wait(refs, self.poll_s) if refs else self._rest()
        self._meter()
        ended = 0
        for ref in done:
            slot = by_ref[ref]
            try:
                outcome = self.launcher.fetch(ref)
            except WorkerLostError as loss:
                ended += self._bury(slot, loss, waiting, on_event)
                continue
            slot.ref = None
            self.phases.add_traffic(outcome.traffic)
            if not slot.is_ready:
                slot.is_ready = self._someone_was_ready = True
                on_event(Event("ready", detail=str(outcome.value or "")))
            elif slot.running is not None:
                ended += self._advance(slot, slot.running, outcome, waiting, on_event)
        return ended + self._check_deadlines(waiting, on_event)

    def _rest(self) -> list[Ref]:
        time.sleep(self.poll_s)
        return []

    def _advance(
        self,
        slot: _Slot,
        running: _Running,
        outcome: Outcome,
        waiting: deque[_Running],
        on_event: Callable[[Event], None],
    ) -> int:
        failure = outcome.failure
        if failure is not None and outcome.is_passing:
            self._requeue(slot, running, failure, waiting, on_event)
            return 0
        done = running.group.units[running.next_unit]
        if failure is None:
            self._deadlines.learn(done, self.clock() - slot.since_s)
        running.result.values.append(outcome.value)
        running.next_unit += 1
        self.counts["units_done"] += 1
        on_event(Event("unit", running.group.name, unit=done.label))
        if failure is None and running.next_unit < len(running.group.units):
            return 0
        running.result.failure = failure
        slot.running = None
        detail = f"{failure.error_type}: {failure.message}" if failure else ""
        on_event(Event("group", running.group.name, detail))
        return 1

    def _requeue(
        self,
        slot: _Slot,
        running: _Running,
        failure: Failure,
        waiting: deque[_Running],
        on_event: Callable[[Event], None],
    ) -> None:
        """Puts a group back that failed by nobody's fault; too often, and the whole scan ends."""
        running.passing_failures += 1
        if running.passing_failures >= MAX_TRIES_PER_GROUP:
            raise StorageUnavailableError(
                f"{running.group.name}: {failure.message}; given up after "
                f"{running.passing_failures} tries of this unit: run the same command again later "
                "and it goes on from what is committed"
            )
        running.restart()
        slot.running = None
        waiting.append(running)
        self.counts["requeued"] += 1
        on_event(Event("requeued", running.group.name, failure.message))

    def _bury(
        self,
        slot: _Slot,
        loss: WorkerLostError,
        waiting: deque[_Running],
        on_event: Callable[[Event], None],
    ) -> int:
        """Replaces a lost worker; its group is tried again, or given up after several deaths."""
        reason = str(loss)
        running, reserved = slot.running, slot.reserved
        if reserved is not None:
            waiting.appendleft(reserved)
        # Not alone: whose memory it was is not known yet.
        is_victim = loss.is_memory_loss and running is not None and not running.is_suspect
        deaths = slot.deaths + (running is None and not loss.is_node_loss)
        ended = 0
        self.counts["workers_lost"] += 1
        on_event(Event("lost", running.group.name if running else "", reason))
        if running is not None:
            running.result.deaths += not loss.is_node_loss and not is_victim
            running.node_losses += loss.is_node_loss
            running.hangs += loss.is_hang
            if (
                running.result.deaths >= MAX_DEATHS_PER_GROUP
                or running.hangs >= MAX_HANGS_PER_GROUP
                or running.node_losses >= MAX_NODE_LOSSES_PER_GROUP
            ):
                running.result.failure = _death_failure(running, reason)
                on_event(Event("group", running.group.name, running.result.failure.message))
                ended = 1
            else:
                running.restart()
                running.is_suspect |= loss.is_memory_loss
                (self._suspects if running.is_suspect else waiting).appendleft(running)
        if deaths > MAX_DEATHS_PER_SLOT:
            raise ClusterError(
                f"workers keep dying ({deaths} in one place), last: {reason}; "
                f"each asks for {self.launcher.request()}"
            )
        self._replace(slot, deaths)
        return ended

    def _replace(self, slot: _Slot, deaths: int) -> None:
        self.launcher.kill(slot.handle)
        self._slots.remove(slot)
        handle, ref = self.launcher.start_worker()
        self._slots.append(_Slot(handle, ref, self.clock(), deaths=deaths))

    def _check_deadlines(self, waiting: deque[_Running], on_event: Callable[[Event], None]) -> int:
        now, ended = self.clock(), 0
        for slot in list(self._slots):
            if not slot.is_ready or slot.ref is None or slot.running is None:
                continue
            waited_s, running = now - slot.since_s, slot.running
            if waited_s > self._deadlines.of(running.group.units[running.next_unit]):
                silence = (
                    f"no answer for {waited_s:.0f} s: it hangs, or is far slower than measured; "
                    "if it is only slow, raise compute.unit_timeout_s above "
                    f"{max(DEFAULT_LIMIT_S, self.unit_timeout_s):g}: deadlines rise with it"
                )
                loss = WorkerLostError(silence, is_hang=True)
                ended += self._bury(slot, loss, waiting, on_event)
        if self._slots and not self._someone_was_ready:
            waited_s = now - min(slot.since_s for slot in self._slots)
            if waited_s > self.ready_timeout_s:
                raise ClusterError(
                    f"no worker became ready within {self.ready_timeout_s:g} s: "
                    f"each asks for {self.launcher.request()}; lower compute.num_cpus or "
                    "compute.num_gpus, or give the cluster such nodes"
                )
        return ended


def _death_failure(running: _Running, reason: str) -> Failure:
    unit = running.group.units[running.next_unit]
    return Failure(
        model_id=running.group.name,
        stage=unit.name,
        error_type="WorkerDied",
        message=f"its worker died {running.result.deaths + running.node_losses} times, "
        f"last: {reason}",
    )
