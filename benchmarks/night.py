"""A night of 10^3 to 10^5 models on 8 to 1,000 workers, simulated: can one head drive it?

    python -m benchmarks.night            # the table of benchmarks/results/night.md
    python -m benchmarks.night --models 1000 --workers 8 64

The planner and the pool's loop are the product's own; only the launcher is simulated, on a virtual
clock (discrete events). Whatever the loop takes of this machine's processor is added to that clock,
and so is what a call of Ray costs the driver: a head that cannot keep up makes the night longer.
What is assumed is printed above the table, with where each figure comes from.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import platform
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cluster.extract.plan import ScanPlan, make_plan
from cluster.extract.units import CommitUnit, ExtractUnit
from cluster.pool.launcher import Handle, Ref, WorkerLostError
from cluster.pool.loop import WorkerPool
from cluster.pool.phases import PhaseClock, TaskCost
from cluster.pool.units import Outcome, Unit
from depara.config import parse_scan
from depara.types import InputSpec, LayerInfo, ModelCard

NUM_LAYERS = 5
NUM_PROBES = 200


@dataclass(frozen=True)
class Assumed:
    """What the simulation takes as given; units in the names."""

    median_model_s: float = 20.0
    """Of one model's units on one worker: a ResNet-50 at 5 layers and 200 probes on a GPU, guessed
    from its flops; the spread is that of a zoo."""
    model_sigma: float = 1.0
    """Of its logarithm: one model in six takes 2.7 times as long."""
    straggler_share: float = 0.01
    straggler_factor: float = 5.0
    cold_start_s: float = 60.0
    """Of a worker: a process, torch and the device; nodes that must be bought are not counted."""
    lifetime_s: float = 6 * 3600.0
    """Mean time until a worker's node is taken away (spot)."""
    requests_per_graph: float = 17.0
    """Reads and writes, as benchmarks.zoo_scale counts them for a whole scan; all in its commit."""
    ray_call_s: float = 0.0001
    """The driver's processor time per call of Ray, an actor's method or a get."""
    ray_wait_s_per_ref: float = 1e-6
    """The driver's processor time per reference that a wait looks at."""

    def with_measured_ray(self) -> Assumed:
        """Returns the same with what Ray costs the driver on this machine."""
        import ray

        class Idle:
            def answer(self, value: int) -> int:
                return value

            def sleep(self) -> None:
                time.sleep(600)

        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        try:
            actor: Any = ray.remote(num_cpus=0)(Idle).remote()
            ray.get(actor.answer.remote(0))
            calls = 2000
            started_s = time.process_time()
            for ref in [actor.answer.remote(number) for number in range(calls)]:
                ray.get(ref)
            call_s = (time.process_time() - started_s) / (2 * calls)
            refs = [actor.sleep.remote() for _ in range(1000)]
            started_s = time.process_time()
            for _ in range(100):
                ray.wait(refs, num_returns=1, timeout=0, fetch_local=False)
            wait_s = (time.process_time() - started_s) / (100 * len(refs))
        finally:
            ray.shutdown()
        return replace(self, ray_call_s=call_s, ray_wait_s_per_ref=wait_s)


class VirtualClock:
    """Seconds of the night: those that passed in it, and those that the driver itself took."""

    def __init__(self) -> None:
        self._virtual_s = 0.0
        self._started_s = time.process_time()

    def __call__(self) -> float:
        """Returns the time of the night, s."""
        return self._virtual_s + self.driver_s

    @property
    def driver_s(self) -> float:
        """Processor time that the loop has taken, s."""
        return time.process_time() - self._started_s

    def pass_until(self, when_s: float) -> None:
        """Sleeps until then; nothing happens when it is past."""
        self._virtual_s += max(when_s - self(), 0.0)

    def spend(self, seconds: float) -> None:
        """Adds what the driver would have taken for a call that is not made here."""
        self._virtual_s += seconds


@dataclass
class SimulatedWorker:
    """A worker: when its node leaves."""

    leaves_s: float


@dataclass
class SimulatedLauncher:
    """Units that take their time on the virtual clock; a launcher without a cluster.

    A unit of a worker whose node leaves meanwhile is lost then. Requests are counted by the second.
    """

    clock: VirtualClock
    assumed: Assumed
    rng: np.random.Generator
    workers: int
    requests: Counter[int] = field(default_factory=Counter)
    busy_s: float = 0.0
    by_model_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    lost: int = 0
    ray_s: float = 0.0
    _ends_s: dict[int, float] = field(default_factory=dict)
    _heap: list[tuple[float, int]] = field(default_factory=list)
    _losses: set[int] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def capacity(self) -> int:
        """Returns the number of workers."""
        return self.workers

    def request(self) -> str:
        """Returns what one worker asks for."""
        return "one simulated GPU"

    def start_worker(self) -> tuple[Handle, Ref]:
        """Starts a worker that is ready after a cold start."""
        self._call()
        ready_s = self.clock() + self.assumed.cold_start_s * self.rng.uniform(0.7, 1.5)
        leaves_s = ready_s + self.rng.exponential(self.assumed.lifetime_s)
        return SimulatedWorker(leaves_s), self._until(ready_s)

    def run(self, worker: Handle, unit: Unit, attempt: int, upcoming: Unit | None) -> Ref:
        """Hands a unit over; its time is its share of its model's, stragglers excepted."""
        self._call()
        seconds = self._seconds(unit)
        if self.rng.random() < self.assumed.straggler_share:
            seconds *= self.assumed.straggler_factor
        now_s = self.clock()
        end_s = now_s + seconds
        if end_s > worker.leaves_s:
            ref = self._until(max(worker.leaves_s, now_s))
            self._losses.add(ref)
            self.lost += 1
            return ref
        self.busy_s += seconds
        self.by_model_s[unit.model_id] += seconds
        if isinstance(unit, CommitUnit):
            graphs = len(unit.job.graph_keys)
            self.requests[int(end_s)] += round(graphs * self.assumed.requests_per_graph)
        return self._until(end_s)

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:
        """Lets time pass until the first of the references is done; returns all that are."""
        self.clock.spend(len(refs) * self.assumed.ray_wait_s_per_ref)
        self.ray_s += len(refs) * self.assumed.ray_wait_s_per_ref
        now_s = self.clock()
        if self._heap and self._heap[0][0] > now_s:
            self.clock.pass_until(min(self._heap[0][0], now_s + timeout_s))
        now_s = self.clock()
        done = []
        while self._heap and self._heap[0][0] <= now_s:
            _, ref = heapq.heappop(self._heap)
            if self._ends_s.pop(ref, None) is not None:
                done.append(ref)
        return done

    def fetch(self, ref: Ref) -> Outcome:
        """Returns the outcome, or says that the node has left."""
        self._call()
        if ref in self._losses:
            self._losses.discard(ref)
            raise WorkerLostError("its node was taken away", is_node_loss=True)
        return Outcome()

    def draining(self, worker: Handle) -> bool:
        """Spot nodes leave without a word here."""
        return False

    def kill(self, worker: Handle) -> None:
        """Nothing is left of it."""
        self._call()

    def submit(self, task: Callable[..., Any], *args: Any) -> Ref:
        """Never called: the extraction has units alone."""
        raise AssertionError("the extraction submits no tasks")

    share = collect = submit

    def take_costs(self) -> list[TaskCost]:
        """There are no tasks in this phase."""
        return []

    def _call(self) -> None:
        self.clock.spend(self.assumed.ray_call_s)
        self.ray_s += self.assumed.ray_call_s

    def _until(self, when_s: float) -> int:
        ref: int = next(self._numbers)
        self._ends_s[ref] = when_s
        heapq.heappush(self._heap, (when_s, ref))
        return ref

    def _seconds(self, unit: Unit) -> float:
        assert isinstance(unit, ExtractUnit | CommitUnit)
        model_s = unit.job.card.seconds_per_probe * NUM_PROBES
        if isinstance(unit, CommitUnit):
            return 0.1 * model_s
        return 0.9 * model_s * len(unit.probes) / NUM_PROBES


def plan_of(models: int, assumed: Assumed, seed: int = 0) -> ScanPlan:
    """Returns the product's plan for a zoo none of whose graphs exist."""
    rng = np.random.default_rng(seed)
    total_s = assumed.median_model_s * rng.lognormal(0.0, assumed.model_sigma, size=models)
    spec = InputSpec(224, (0.5,) * 3, (0.5,) * 3)
    layers = tuple(
        LayerInfo(f"layer{place}", place, (place + 1) / NUM_LAYERS, 100_000, (100_000,))
        for place in range(NUM_LAYERS)
    )
    entries = "\n".join(
        f'  - {{id: m{place}, source: "torchvision:resnet50"}}' for place in range(models)
    )
    text = f"probes: {{source: x, count: {NUM_PROBES}}}\noutput: night\nmodels:\n{entries}\n"
    config = parse_scan(text, ()).config
    cards = [
        ModelCard(
            f"m{place}", "s", "arch", f"weights{place}", 25_000_000, spec, layers, "layer4",
            float(seconds / NUM_PROBES), 0,
        )
        for place, seconds in enumerate(total_s)
    ]  # fmt: skip
    return make_plan(config, cards, "probes", NUM_PROBES, lambda keys: [])


@dataclass(frozen=True)
class Night:
    """What came of one simulated night."""

    models: int
    workers: int
    makespan_s: float
    ideal_s: float
    longest_s: float
    driver_s: float
    ray_s: float
    lost: int
    peak_requests_per_s: float
    failed: int


def simulate(plan: ScanPlan, workers: int, assumed: Assumed, seed: int = 0) -> Night:
    """Runs the product's loop over a plan on a virtual clock."""
    clock = VirtualClock()
    launcher = SimulatedLauncher(clock, assumed, np.random.default_rng(seed), workers)
    pool = WorkerPool(
        launcher, workers, unit_timeout_s=math.inf, clock=clock, phases=PhaseClock(clock)
    )
    results = pool.run(plan.groups())
    makespan_s = clock()
    pool.close()
    return Night(
        models=len(plan.models),
        workers=workers,
        makespan_s=makespan_s,
        ideal_s=launcher.busy_s / workers,
        longest_s=max(launcher.by_model_s.values(), default=0.0),
        driver_s=clock.driver_s,
        ray_s=launcher.ray_s,
        lost=launcher.lost,
        peak_requests_per_s=float(max(launcher.requests.values(), default=0)),
        failed=sum(result.failure is not None for result in results),
    )


def row(night: Night) -> str:
    """Returns a row of the table."""
    hours = night.makespan_s / 3600
    idle = 1 - night.ideal_s / night.makespan_s
    driver = (night.driver_s + night.ray_s) / night.makespan_s
    return (
        f"| {night.models:,} | {night.workers:,} | {hours:.2f} | {night.ideal_s / 3600:.2f} "
        f"| {night.longest_s / 3600:.2f} | {idle:.1%} | {driver:.1%} "
        f"| {night.driver_s:.1f} | {night.lost:,} | {night.peak_requests_per_s:,.0f} "
        f"| {night.failed} |"
    )


COLUMNS = (
    "models",
    "workers",
    "hours",
    "work / workers, h",
    "longest model, h",
    "idle",
    "driver busy",
    "loop, s",
    "nodes lost",
    "requests/s, peak",
    "failed",
)
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---:|' * len(COLUMNS)}"


def main() -> None:
    """Prints the assumptions and one row per night."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 64, 256, 1_000])
    parser.add_argument("--assume-ray", action="store_true", help="do not measure Ray's calls")
    arguments = parser.parse_args()
    assumed = Assumed() if arguments.assume_ray else Assumed().with_measured_ray()
    print(f"Python {platform.python_version()}, {NUM_LAYERS} layers, {NUM_PROBES} probes")
    for name, value in vars(assumed).items():
        print(f"- {name} = {value:g}")
    for models in arguments.models:
        print(f"\n{HEADER}")
        started_s = time.process_time()
        plan = plan_of(models, assumed)
        planned_s = time.process_time() - started_s
        for workers in arguments.workers:
            print(row(simulate(plan, workers, assumed)), flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"\n{models:,} models: planned in {planned_s:.1f} s, peak memory {peak:.2f} GiB\n")


if __name__ == "__main__":
    main()
