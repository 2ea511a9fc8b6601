"""Phases add up to the scan's time, whatever is done twice; workers' time and bytes are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.pool.loop import WorkerPool
from cluster.pool.phases import PHASES, Meter, PhaseClock, TaskCost, measured
from cluster.pool.units import Group, Outcome
from depara.locations import local_copy, read_bytes
from depara.store.storage import Storage
from depara.traffic import Traffic, count_read, count_written
from tests.cluster.pool.fake_launcher import FakeLauncher, Step


class FakeClock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_phases_follow_one_another_without_a_gap_and_may_come_again() -> None:
    clock = FakeClock()
    phases = PhaseClock(clock)
    for name, seconds in [
        ("probes", 1.0), ("models", 2.0), ("graphs", 4.0), ("comparison", 8.0), ("graphs", 16.0),
        ("comparison", 32.0), ("tables", 0.5), ("analysis", 64.0), ("tables", 0.25),
    ]:  # fmt: skip
        phases.enter(name)
        clock.now_s += seconds
    spent = phases.spent()
    assert spent.phases == {
        "probes": 1.0, "models": 2.0, "graphs": 20.0, "comparison": 40.0, "analysis": 64.0,
        "tables": 0.75,
    }  # fmt: skip
    assert spent.seconds == clock.now_s - 100.0
    assert tuple(spent.phases) == PHASES
    clock.now_s += 1
    assert phases.spent().phases["tables"] == 1.75, "the last phase goes on"


def test_time_before_the_first_phase_is_named_counts_with_it() -> None:
    clock = FakeClock()
    phases = PhaseClock(clock)
    clock.now_s += 3
    phases.enter("probes")
    assert phases.spent().phases["probes"] == 3


@pytest.fixture
def pool_on() -> Callable[[FakeLauncher, int], tuple[WorkerPool, PhaseClock]]:
    def make(launcher: FakeLauncher, size: int) -> tuple[WorkerPool, PhaseClock]:
        phases = PhaseClock(launcher.clock)
        pool = WorkerPool(launcher, size, poll_s=1.0, clock=launcher.clock, phases=phases)
        return pool, phases

    return make


def test_worker_seconds_are_those_of_the_workers_by_what_they_did(
    pool_on: Callable[[FakeLauncher, int], tuple[WorkerPool, PhaseClock]],
) -> None:
    launcher = FakeLauncher(seconds=lambda unit: float(unit))
    pool, phases = pool_on(launcher, 2)
    pool.run([Group("long", (Step("8"),), 8.0), Group("short", (Step("2"),), 2.0)])  # type: ignore[arg-type]
    launcher.now_s += 5  # the driver plans, both workers wait
    pool.close()
    workers = phases.spent().workers
    assert workers["busy"] == pytest.approx(8 + 2, abs=0.5)
    assert sum(workers.values()) == pytest.approx(2 * launcher.now_s, abs=0.5)
    assert workers["idle"] >= 6 + 2 * 5 - 0.5
    assert phases.spent().busy_share == workers["busy"] / (workers["busy"] + workers["idle"])


def test_without_workers_no_share_is_told() -> None:
    assert PhaseClock().spent().busy_share is None


def test_the_bytes_of_workers_come_with_their_outcomes(
    pool_on: Callable[[FakeLauncher, int], tuple[WorkerPool, PhaseClock]],
) -> None:
    launcher = FakeLauncher(lambda worker, unit, attempt: Outcome(unit, traffic=Traffic(3, 4)))
    pool, phases = pool_on(launcher, 1)
    pool.run([Group("a", (Step("1"), Step("2")), 1.0)])  # type: ignore[arg-type]
    pool.close()
    assert phases.spent().others == Traffic(6, 8)


def test_tasks_are_measured_in_their_own_process() -> None:
    def task(number: int) -> int:
        count_read(number)
        count_written(2 * number)
        return number

    value, cost = measured(task, 5)
    assert (value, cost.traffic) == (5, Traffic(5, 10))
    assert cost.seconds >= 0
    phases = PhaseClock()
    phases.add_tasks([TaskCost(2.0, Traffic(1, 2)), TaskCost(3.0, Traffic(10, 20))])
    spent = phases.spent()
    assert (spent.workers["tasks"], spent.others) == (5.0, Traffic(11, 22))


def test_the_manifest_has_all_of_it() -> None:
    clock = FakeClock()
    phases = PhaseClock(clock)
    clock.now_s += 1.23456
    phases.add_worker("busy", 2.0)
    phases.add_traffic(Traffic(3, 4, 5))
    tree = phases.spent().to_manifest()
    assert tree["phases"]["probes"] == 1.235
    assert tree["workers"] == {"starting": 0.0, "busy": 2.0, "idle": 0.0, "tasks": 0.0}
    assert tree["bytes"]["workers"] == {"read": 3, "written": 4, "to_device": 0, "from_device": 0}
    assert tree["requests"]["workers"] == 5


def test_what_a_storage_reads_and_writes_is_counted_once(tmp_path: Path) -> None:
    storage, meter = Storage(str(tmp_path)), Meter()
    assert storage.create("a", b"12345")
    assert not storage.create("a", b"12345")
    storage.replace("a", memoryview(b"123"))
    assert meter.take() == Traffic(0, 8, requests=3)
    storage.read("a")
    assert storage.read_or_none("none") is None
    found = storage.read_versioned("a")
    assert found is not None
    assert meter.take() == Traffic(6, 0, requests=3)
    assert storage.swap("a", b"1234", found[1])
    assert not storage.swap("a", b"12345", found[1])
    assert meter.take() == Traffic(0, 4, requests=2)
    assert list(storage.files("")) == ["a"]
    assert meter.take() == Traffic(requests=1)


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_inputs_are_counted_too(tmp_path: Path, scheme: str) -> None:
    root = f"{scheme}{tmp_path}" if not scheme else "memory://traffic"
    storage = Storage(root)
    storage.replace("w.pth", bytes(1000))
    meter = Meter()
    read_bytes(f"{root}/w.pth")
    assert meter.take() == Traffic(1000, 0)
    with local_copy(f"{root}/w.pth"):
        pass
    assert meter.take() == Traffic(1000, 0)
