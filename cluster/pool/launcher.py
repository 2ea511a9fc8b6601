"""The narrow waist between the loop and what runs it: Ray in production, plain calls in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cluster.pool.phases import TaskCost, measured
from cluster.pool.units import Outcome, Unit

Ref = Any
Handle = Any


class WorkerLostError(Exception):
    """A worker died or cannot be reached: the outcome of what it was doing is unknown.

    ``is_node_loss`` says that its whole node went, as spot machines do: then its unit, which may
    run well elsewhere, is not to blame. ``is_memory_loss`` says that it was ended because its node
    ran out of memory: then its unit may be to blame, or one beside it. ``is_hang`` says that its
    unit did not end in time.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_node_loss: bool = False,
        is_memory_loss: bool = False,
        is_hang: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_node_loss = is_node_loss
        self.is_memory_loss = is_memory_loss
        self.is_hang = is_hang

    @property
    def kind(self) -> str:
        """One word for it: node, memory, hang or other."""
        if self.is_node_loss:
            return "node"
        if self.is_memory_loss:
            return "memory"
        return "hang" if self.is_hang else "other"


class Launcher(Protocol):
    """Starts workers, hands them units, and runs stateless tasks."""

    def capacity(self) -> int:
        """Returns how many workers fit the resources that exist now."""

    def request(self) -> str:
        """Returns what one worker asks for and what there is, for messages."""

    def gpu_bytes(self) -> int | None:
        """Returns the memory of the smallest GPU that there is; None without one.

        Raises:
            ClusterError: there are GPUs, and their memory cannot be told.
        """

    def ask_for(self, num_gpus: float) -> None:
        """Sets what workers ask for that are started from now on."""

    def start_worker(self) -> tuple[Handle, Ref]:
        """Starts a worker; the reference is done when it is ready."""

    def run(self, worker: Handle, unit: Unit, attempt: int, upcoming: Unit | None) -> Ref:
        """Hands a unit to a worker; `upcoming` is what it will probably get next."""

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:
        """Returns those references that are done, waiting at most `timeout_s` for the first."""

    def fetch(self, ref: Ref) -> Outcome:
        """Returns the outcome of a done reference.

        Raises:
            WorkerLostError: its worker is gone.
        """

    def draining(self, worker: Handle) -> bool:
        """Whether the worker's node is about to leave and should get no more work."""

    def kill(self, worker: Handle) -> None:
        """Ends a worker; never fails."""

    def submit(self, task: Callable[..., Any], *args: Any) -> Ref:
        """Runs a stateless task; references among the arguments are replaced by their values."""

    def share(self, value: Any) -> Ref:
        """Returns a reference to a value that many tasks take, so that it travels once."""

    def collect(self, ref: Ref) -> Any:
        """Returns the value of a task.

        Raises:
            WorkerLostError: it died more often than is retried.
        """

    def take_costs(self) -> list[TaskCost]:
        """Returns what tasks have cost that are done and were not told of before."""


class InlineLauncher:
    """Runs everything at once in this process: for dry runs, tests and comparison."""

    def __init__(self, make_worker: Callable[[], Any]) -> None:
        self._make_worker = make_worker
        self._costs: list[TaskCost] = []

    def capacity(self) -> int:
        """One process is one worker."""
        return 1

    def request(self) -> str:
        """Nothing is requested."""
        return "this process"

    def gpu_bytes(self) -> int | None:
        """Workers of this process use none."""
        return None

    def ask_for(self, num_gpus: float) -> None:
        """There is nothing to ask for."""

    def start_worker(self) -> tuple[Handle, Ref]:
        """Builds the worker here."""
        worker = self._make_worker()
        return worker, _Boxed(Outcome(worker.ready()))

    def run(self, worker: Handle, unit: Unit, attempt: int, upcoming: Unit | None) -> Ref:
        """Runs the unit now; the reference is its boxed outcome."""
        return _Boxed(worker.run(unit, attempt, upcoming))

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:
        """Everything is done already."""
        return list(refs)

    def fetch(self, ref: Ref) -> Outcome:
        """Opens the box."""
        assert isinstance(ref.value, Outcome)
        return ref.value

    def draining(self, worker: Handle) -> bool:
        """This process does not drain."""
        return False

    def kill(self, worker: Handle) -> None:
        """Closes what the worker holds."""
        worker.close()

    def submit(self, task: Callable[..., Any], *args: Any) -> Ref:
        """Runs the task now."""
        values = (arg.value if isinstance(arg, _Boxed) else arg for arg in args)
        value, cost = measured(task, *values)
        self._costs.append(TaskCost(cost.seconds))  # the bytes are this process's own
        return _Boxed(value)

    def share(self, value: Any) -> Ref:
        """Boxes the value."""
        return _Boxed(value)

    def collect(self, ref: Ref) -> Any:
        """Opens the box."""
        return ref.value

    def take_costs(self) -> list[TaskCost]:
        """Returns the seconds of the tasks since the last call."""
        costs, self._costs = self._costs, []
        return costs


class _Boxed:
    """A value that is equal to itself only, so that it can stand for a reference."""

    def __init__(self, value: Any) -> None:
        self.value = value


def describe_resources(resources: Mapping[str, float]) -> str:
    """Returns ``{CPU: 2, GPU: 1}`` for people."""
    shown = {k: v for k, v in sorted(resources.items()) if k in ("CPU", "GPU")}
    return "{" + ", ".join(f"{name}: {value:g}" for name, value in shown.items()) + "}"
