"""A launcher without processes: units take fake seconds, workers die when told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.pool.launcher import WorkerLostError
from cluster.pool.units import Expectation, Outcome


class Step(str):
    """A unit that is told by its name alone."""

    name = "extract"
    label = "extract"
    num_graphs = 0

    def expectation(self) -> Expectation:
        return Expectation()


@dataclass
class FakeWorker:
    number: int
    alive: bool = True
    units: list[Any] = field(default_factory=list)
    upcoming: list[Any] = field(default_factory=list)


@dataclass(eq=False)
class FakeRef:
    worker: FakeWorker
    outcome: Outcome
    due_s: float
    dies: bool = False
    hangs: bool = False
    with_node: bool = False
    for_memory: bool = False


class FakeLauncher:
    """`behave(worker, unit, attempt)` gives an Outcome or what befalls: "die", "lose node",
    "lose memory", "hang".

    `seconds(unit)` is a unit's time. Time stands still except while waiting.
    """

    def __init__(
        self,
        behave: Callable[[FakeWorker, Any, int], Any] = lambda worker, unit, attempt: Outcome(unit),
        seconds: Callable[[Any], float] = lambda unit: 1.0,
        starts: Callable[[int], str] = lambda number: "ready",
    ) -> None:
        self.behave, self.seconds, self.starts = behave, seconds, starts
        self.now_s = 0.0
        self.workers: list[FakeWorker] = []
        self.killed: list[int] = []
        self.drained: set[int] = set()

    def clock(self) -> float:
        return self.now_s

    def capacity(self) -> int:
        return 2

    def request(self) -> str:
        return "{CPU: 1}, the cluster has {CPU: 2}"

    def start_worker(self) -> tuple[FakeWorker, FakeRef]:
        worker = FakeWorker(len(self.workers))
        self.workers.append(worker)
        mood = self.starts(worker.number)
        ref = FakeRef(worker, Outcome("fake"), self.now_s + 1, mood == "die", mood == "hang")
        return worker, ref

    def run(self, worker: FakeWorker, unit: Any, attempt: int, upcoming: Any) -> FakeRef:
        assert worker.alive
        worker.units.append(unit)
        worker.upcoming.append(upcoming)
        answer = self.behave(worker, unit, attempt)
        outcome = answer if isinstance(answer, Outcome) else Outcome()
        due_s = self.now_s + self.seconds(unit)
        dies = answer in ("die", "lose node", "lose memory")
        return FakeRef(
            worker,
            outcome,
            due_s,
            dies,
            answer == "hang",
            answer == "lose node",
            answer == "lose memory",
        )

    def wait(self, refs: Sequence[FakeRef], timeout_s: float) -> list[FakeRef]:
        assert len({id(ref) for ref in refs}) == len(refs)
        first_s = min((ref.due_s for ref in refs if not ref.hangs), default=float("inf"))
        self.now_s = min(first_s, self.now_s + timeout_s)
        return [ref for ref in refs if not ref.hangs and ref.due_s <= self.now_s][:1]

    def fetch(self, ref: FakeRef) -> Outcome:
        if ref.dies:
            ref.worker.alive = False
            raise WorkerLostError(
                "killed by a test", is_node_loss=ref.with_node, is_memory_loss=ref.for_memory
            )
        return ref.outcome

    def draining(self, worker: FakeWorker) -> bool:
        return worker.number in self.drained

    def kill(self, worker: FakeWorker) -> None:
        worker.alive = False
        self.killed.append(worker.number)
