"""The places for workers, which outlive them, and the groups on their way through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cluster.pool.launcher import Handle, Launcher, Ref, WorkerLostError
from cluster.pool.phases import PhaseClock
from cluster.pool.units import Group, GroupResult, Unit
from depara.types import Failure

MAX_DEATHS_PER_GROUP = 3
MAX_HANGS_PER_GROUP = 2
"""Once may be the machine's fault; what hangs twice hangs always, and each time costs minutes."""
MAX_NODE_LOSSES_PER_GROUP = 20

SLOT_STATES = ("starting", "busy", "idle")
"""Of a slot."""


@dataclass
class Running:
    """A group on its way: which unit is next, how often its worker was lost, and to what."""

    group: Group
    result: GroupResult
    next_unit: int = 0
    node_losses: int = 0
    passing_failures: int = 0
    hangs: int = 0
    is_suspect: bool = False
    """Lost for want of memory beside others: it runs again when it is alone."""

    @property
    def unit(self) -> Unit:
        """The next one, or the one in flight."""
        return self.group.units[self.next_unit]

    @property
    def is_at_last_unit(self) -> bool:
        """Whether no unit comes after the next one."""
        return self.next_unit == len(self.group.units) - 1

    @property
    def is_near_its_end(self) -> bool:
        """Whether at most one unit comes after the next one."""
        return self.next_unit >= len(self.group.units) - 2

    def restart(self) -> None:
        """Goes back to the first unit: the state of its worker is gone."""
        self.next_unit = 0
        self.result.values.clear()

    def lose(self, loss: WorkerLostError) -> Failure | None:
        """Counts the loss of its worker; returns the failure when it was one too many."""
        # Not alone: whose memory it was is not known yet.
        is_victim = loss.is_memory_loss and not self.is_suspect
        self.result.deaths += not loss.is_node_loss and not is_victim
        self.node_losses += loss.is_node_loss
        self.hangs += loss.is_hang
        self.is_suspect |= loss.is_memory_loss
        deaths = self.result.deaths
        if (
            deaths < MAX_DEATHS_PER_GROUP
            and self.hangs < MAX_HANGS_PER_GROUP
            and self.node_losses < MAX_NODE_LOSSES_PER_GROUP
        ):
            return None
        return Failure(
            model_id=self.group.name,
            stage=self.unit.name,
            error_type="WorkerDied",
            message=f"its worker died {deaths + self.node_losses} times, last: {loss}",
        )


@dataclass
class Slot:
    """One place for a worker; the worker in it may be replaced."""

    handle: Handle
    ref: Ref | None
    since_s: float
    is_ready: bool = False
    running: Running | None = None
    reserved: Running | None = None
    deaths: int = 0

    @property
    def is_free(self) -> bool:
        """Whether its worker can be handed a unit."""
        return self.is_ready and self.ref is None

    @property
    def state(self) -> str:
        """What its time counts as."""
        if not self.is_ready:
            return "starting"
        return "idle" if self.ref is None else "busy"


@dataclass
class Slots:
    """All places of a pool: starts, replaces and ends their workers, and counts their time."""

    launcher: Launcher
    clock: Callable[[], float]
    phases: PhaseClock
    _all: list[Slot] = field(default_factory=list)
    _metered_s: float = 0.0

    def __iter__(self) -> Iterator[Slot]:
        """Walks the slots as they are now, whichever are replaced on the way."""
        return iter(tuple(self._all))

    def fill(self, wanted: int) -> None:
        """Starts workers until there are as many as are wanted."""
        while len(self._all) < wanted:
            self._start()

    def replace(self, slot: Slot, deaths: int) -> None:
        """Ends a slot's worker and starts another one; `deaths` is what its place has seen."""
        self.launcher.kill(slot.handle)
        self._all.remove(slot)
        self._start(deaths)

    def shrink(self, size: int) -> None:
        """Ends the workers of all but the first slots."""
        for slot in self._all[size:]:
            self.launcher.kill(slot.handle)
        del self._all[size:]

    def meter(self) -> None:
        """Counts the time since the last call by what each worker was doing."""
        now_s = self.clock()
        for state, count in Counter(slot.state for slot in self._all).items():
            self.phases.add_worker(state, count * (now_s - self._metered_s))
        self._metered_s = now_s

    def _start(self, deaths: int = 0) -> None:
        handle, ref = self.launcher.start_worker()
        self._all.append(Slot(handle, ref, self.clock(), deaths=deaths))
