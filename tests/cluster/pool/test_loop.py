"""The loop outlives deaths, hangs and bad units, and keeps a group's units on one worker."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.pool.events import Event
from cluster.pool.loop import MAX_DEATHS_PER_SLOT, MAX_TRIES_PER_GROUP, WorkerPool
from cluster.pool.slots import (
    MAX_DEATHS_PER_GROUP,
    MAX_HANGS_PER_GROUP,
    MAX_NODE_LOSSES_PER_GROUP,
)
from cluster.pool.units import FlushUnit, Group, Outcome
from depara.errors import ClusterError, FailureKind, ScanInterruptedError, StorageUnavailableError
from depara.types import Failure
from tests.cluster.pool.fake_launcher import FakeLauncher, FakeWorker, Step

FAILURE = Failure("b", "extract", "ModelError", "no good")
PASSING = replace(FAILURE, kind=FailureKind.PASSING)


def groups(**sizes: int) -> list[Group]:
    """Groups by name; unit names such as a0, a1."""
    return [
        Group(name, tuple(Step(f"{name}{number}") for number in range(size)), float(size))  # type: ignore[misc]
        for name, size in sizes.items()
    ]


def pool(launcher: FakeLauncher, size: int = 2, **limits: float) -> WorkerPool:
    return WorkerPool(launcher, size, clock=launcher.clock, **limits)


def done_by(launcher: FakeLauncher) -> dict[str, set[int]]:
    """Which workers touched each group."""
    seen: dict[str, set[int]] = {}
    for worker in launcher.workers:
        for unit in worker.units:
            seen.setdefault(unit[0], set()).add(worker.number)
    return seen


def test_every_unit_runs_once_in_order_and_a_group_stays_on_its_worker() -> None:
    launcher = FakeLauncher()
    results = pool(launcher).run(groups(a=3, b=1, c=4, d=2))
    assert [r.values for r in results] == [
        ["a0", "a1", "a2"], ["b0"], ["c0", "c1", "c2", "c3"], ["d0", "d1"]
    ]  # fmt: skip
    assert all(len(workers) == 1 for workers in done_by(launcher).values())
    assert len(launcher.workers) == 2


def test_longest_groups_start_first() -> None:
    launcher = FakeLauncher()
    pool(launcher, size=1).run(groups(a=1, b=3, c=2))
    assert [unit[0] for unit in launcher.workers[0].units] == list("bbbcca")


def test_two_workers_share_the_work_evenly() -> None:
    launcher = FakeLauncher()
    pool(launcher).run(groups(a=6, b=2, c=2, d=2))
    assert sorted(len(worker.units) for worker in launcher.workers) == [6, 6]


def test_a_worker_learns_what_comes_next_and_another_may_still_take_it() -> None:
    # One worker: the hint of a group's last unit is the first unit of the next group.
    launcher = FakeLauncher()
    pool(launcher, size=1).run(groups(a=2, b=1))
    assert launcher.workers[0].upcoming == ["a1", "b0", None]
    # A slow last unit must not keep its reserved group waiting while another worker is idle.
    launcher = FakeLauncher(seconds=lambda unit: 100.0 if unit == "a0" else 1.0)
    pool(launcher).run([*groups(a=1), *groups(b=1), *groups(c=1)])
    assert launcher.now_s < 110


def test_after_a_death_the_group_starts_again_elsewhere() -> None:
    deaths = Counter[str]()

    def behave(worker: FakeWorker, unit: str, attempt: int) -> Any:
        if unit == "a1" and not deaths["a1"]:
            deaths["a1"] += 1
            return "die"
        return Outcome((unit, attempt))

    launcher = FakeLauncher(behave)
    events: list[Event] = []
    results = pool(launcher).run(groups(a=3, b=2), events.append)
    assert results[0].values == [("a0", 1), ("a1", 1), ("a2", 1)]
    assert results[0].failure is None
    assert results[0].deaths == 1
    assert results[1].values == [("b0", 0), ("b1", 0)]
    lost = [event for event in events if event.kind == "lost"]
    assert [(event.group, event.detail) for event in lost] == [("a", "killed by a test")]


def test_a_group_that_always_kills_is_given_up_and_the_others_finish() -> None:
    launcher = FakeLauncher(lambda w, unit, n: "die" if unit == "a1" else Outcome(unit))
    results = pool(launcher).run(groups(a=2, b=2, c=1))
    failure = results[0].failure
    assert failure is not None
    assert (failure.model_id, failure.error_type) == ("a", "WorkerDied")
    assert f"died {MAX_DEATHS_PER_GROUP} times" in failure.message
    assert [r.values for r in results[1:]] == [["b0", "b1"], ["c0"]]


def test_lost_nodes_are_not_held_against_the_group() -> None:
    losses = Counter[str]()

    def behave(worker: FakeWorker, unit: str, attempt: int) -> Any:
        losses[unit] += 1
        return "lose node" if unit == "a1" and losses["a1"] <= 10 else Outcome((unit, attempt))

    result, *_ = pool(FakeLauncher(behave)).run(groups(a=2, b=1))
    assert result.failure is None
    assert result.values == [("a0", 0), ("a1", 0)], "smaller batches would not help"
    always = FakeLauncher(lambda w, unit, n: "lose node" if unit == "a0" else Outcome(unit))
    lost, good = pool(always).run(groups(a=1, b=1))
    assert lost.failure is not None
    assert f"died {MAX_NODE_LOSSES_PER_GROUP} times" in lost.failure.message
    assert good.values == ["b0"]


def test_a_failed_unit_ends_its_group_and_spares_the_worker() -> None:
    launcher = FakeLauncher(
        lambda w, unit, n: Outcome(failure=FAILURE) if unit == "b0" else Outcome(unit)
    )
    results = pool(launcher, size=1).run(groups(a=2, b=2, c=2))
    assert results[1].failure == FAILURE
    assert "b1" not in launcher.workers[0].units
    assert len(launcher.workers) == 1
    assert results[2].values == ["c0", "c1"]


def test_a_unit_that_hangs_is_taken_from_its_worker() -> None:
    hung = []

    def behave(worker: FakeWorker, unit: str, attempt: int) -> Any:
        if unit == "a0" and not hung:
            hung.append(worker.number)
            return "hang"
        return Outcome(unit)

    launcher = FakeLauncher(behave)
    results = pool(launcher, unit_timeout_s=30).run(groups(a=1, b=1))
    assert results[0].values == ["a0"]
    assert launcher.killed == hung
    assert 30 < launcher.now_s < 40


def test_what_always_hangs_is_tried_once_more_and_given_up() -> None:
    launcher = FakeLauncher(lambda worker, unit, _: "hang" if unit[0] == "a" else Outcome(unit))
    results = pool(launcher, unit_timeout_s=30).run(groups(a=1, b=2))
    assert results[0].failure is not None
    assert "no answer for 3" in results[0].failure.message
    assert "raise compute.unit_timeout_s" in results[0].failure.message
    assert results[1].failure is None
    assert 2 * 30 < launcher.now_s < 2 * 30 + 10, "two deadlines, not three"


def test_many_groups_that_kill_cost_only_themselves() -> None:
    names = [f"a{number}" for number in range(MAX_DEATHS_PER_SLOT)]
    launcher = FakeLauncher(lambda worker, unit, _: "die" if unit[0] == "a" else Outcome(unit))
    results = pool(launcher, size=1).run(groups(**dict.fromkeys(names, 1), b=1))
    assert [result.failure is None for result in results] == [False] * len(names) + [True]


def test_nothing_ready_in_time_names_the_request() -> None:
    launcher = FakeLauncher(starts=lambda number: "hang")
    with pytest.raises(ClusterError, match=r"no worker became ready within 50 s.*\{CPU: 1\}"):
        pool(launcher, ready_timeout_s=50).run(groups(a=1))


def test_one_ready_worker_is_enough() -> None:
    launcher = FakeLauncher(starts=lambda number: "hang" if number else "ready")
    results = pool(launcher, ready_timeout_s=5).run(groups(a=20, b=1))
    assert all(result.failure is None for result in results)


def test_workers_that_die_at_the_start_end_the_run() -> None:
    launcher = FakeLauncher(starts=lambda number: "die")
    with pytest.raises(ClusterError, match="workers keep dying"):
        pool(launcher).run(groups(a=1))


def test_a_draining_node_gets_no_new_group() -> None:
    launcher = FakeLauncher()
    launcher.drained = {0}
    results = pool(launcher, size=1).run(groups(a=2, b=1))
    assert launcher.workers[0].units == []
    assert 0 in launcher.killed
    assert [len(result.values) for result in results] == [2, 1]


def test_what_was_reserved_for_a_draining_worker_still_runs() -> None:
    launcher = FakeLauncher()

    def drains_when_busy(event: Event) -> None:
        if event.kind == "started" and event.group == "a":
            launcher.drained = {0}  # while it runs a, with the next group reserved for it

    results = pool(launcher, size=1).run(groups(a=2, b=1, c=1), drains_when_busy)
    assert [len(result.values) for result in results] == [2, 1, 1]
    assert launcher.workers[0].units == ["a0", "a1"], "it ends its model and gets no other"


def test_a_model_that_eats_memory_costs_its_neighbours_nothing() -> None:
    alive: list[int] = []

    def behave(worker: FakeWorker, unit: str, attempt: int) -> Any:
        if unit == "a1":
            alive.append(sum(w.alive for w in launcher.workers))
            return "lose memory"
        # The monitor ends whoever runs beside the eater.
        eats_beside = any(w.alive and w.units and w.units[-1][0] == "a" for w in launcher.workers)
        return "lose memory" if unit == "b0" and eats_beside else Outcome(unit)

    launcher = FakeLauncher(behave)
    eater, *others = pool(launcher).run(groups(a=2, b=2, c=1, d=1))
    assert eater.failure is not None
    assert f"died {MAX_DEATHS_PER_GROUP} times" in eater.failure.message
    assert [result.failure for result in others] == [None] * 3
    assert [result.values for result in others] == [["b0", "b1"], ["c0"], ["d0"]]
    assert alive == [2] + [1] * MAX_DEATHS_PER_GROUP, "once beside others, then alone"


def test_the_pool_keeps_its_workers_between_runs_and_closes_them() -> None:
    launcher = FakeLauncher()
    workers = pool(launcher)
    workers.run(groups(a=1, b=1))
    workers.run(groups(c=1, d=1))
    assert len(launcher.workers) == 2
    workers.close()
    assert sorted(launcher.killed) == [0, 1]


def test_a_passing_failure_is_tried_again_from_the_groups_start() -> None:
    tries = Counter[str]()

    def behave(worker: FakeWorker, unit: str, attempt: int) -> Any:
        tries[unit] += 1
        if unit == "a1" and tries[unit] < MAX_TRIES_PER_GROUP:
            return Outcome(failure=PASSING)
        return Outcome(unit)

    events: list[Event] = []
    workers = pool(FakeLauncher(behave))
    results = workers.run(groups(a=2, b=1, c=1), events.append)
    assert [result.failure for result in results] == [None] * 3
    assert results[0].values == ["a0", "a1"]
    assert tries["a0"] == tries["a1"] == MAX_TRIES_PER_GROUP
    requeued = [event.detail for event in events if event.kind == "requeued"]
    assert requeued == ["no good"] * (MAX_TRIES_PER_GROUP - 1)
    assert workers.counts == {"units_started": 8, "units_done": 6, "requeued": 2}


def test_a_failure_that_does_not_pass_ends_the_run_and_blames_no_model() -> None:
    launcher = FakeLauncher(
        lambda w, unit, n: Outcome(failure=PASSING) if unit == "a0" else Outcome(1)
    )
    with pytest.raises(StorageUnavailableError, match=r"no good.*run the same command again"):
        pool(launcher).run(groups(a=2, b=1))


def stop_at(unit: str, **behaviour: Any) -> tuple[FakeLauncher, WorkerPool]:
    """A pool that is asked to stop when a worker begins this unit."""

    def behave(worker: FakeWorker, started: str, attempt: int) -> Any:
        if started == unit:
            workers.stop.request("SIGTERM")
        return behaviour.get(started, Outcome(started))

    launcher = FakeLauncher(behave)
    workers = pool(launcher)
    return launcher, workers


def test_a_stop_lets_units_end_commits_what_is_complete_and_flushes_the_rest() -> None:
    launcher, workers = stop_at("a1")
    with pytest.raises(ScanInterruptedError, match=r"SIGTERM.*run the same command again"):
        workers.run(groups(a=3, b=4, c=2))
    units = {worker.number: worker.units for worker in launcher.workers}
    by_group = {
        name: [u for us in units.values() for u in us if str(u)[0] == name] for name in "abc"
    }
    assert by_group["a"] == ["a0", "a1", "a2"], "its last unit, the commit, is still run"
    assert by_group["b"] == ["b0", "b1"], "what ran has ended, and no more"
    assert by_group["c"] == []
    flushed = [number for number, done in units.items() if FlushUnit() in done]
    assert len(flushed) == 1, "only the worker that is in the middle of a group"
    assert launcher.now_s < 20


def test_a_stop_does_not_wait_for_a_unit_that_hangs() -> None:
    launcher, workers = stop_at("a0", a0="hang")
    with pytest.raises(ScanInterruptedError):
        workers.run(groups(a=2, b=2))
    assert launcher.now_s < 20


def test_a_stop_before_anything_is_ready_is_immediate() -> None:
    launcher = FakeLauncher(starts=lambda number: "hang")
    workers = pool(launcher)
    workers.stop.request("SIGTERM")
    with pytest.raises(ScanInterruptedError):
        workers.run(groups(a=1))
    assert launcher.now_s < 2


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    fates=st.lists(st.sampled_from(["ok", "ok", "ok", "die", "hang"]), max_size=12),
    size=st.integers(1, 3),
)
def test_whatever_dies_every_group_ends_complete_or_given_up(
    sizes: list[int], fates: list[str], size: int
) -> None:
    fate = iter(fates)

    def behave(worker: FakeWorker, unit: str, attempt: int) -> Any:
        mood = next(fate, "ok")
        return Outcome(unit) if mood == "ok" else mood

    work = groups(**{chr(ord("a") + place): count for place, count in enumerate(sizes)})
    launcher = FakeLauncher(behave)
    results = pool(launcher, size, unit_timeout_s=10).run(work)
    for group, result in zip(work, results, strict=True):
        if result.failure is None:
            assert result.values == list(group.units)
        else:
            assert MAX_HANGS_PER_GROUP <= result.deaths <= MAX_DEATHS_PER_GROUP


def test_with_plenty_of_work_a_worker_learns_early_what_comes_next() -> None:
    """Through the last but one unit, not before; and never more than one group is bound to it."""
    launcher = FakeLauncher()
    names = "abcdefgh"
    pool(launcher, size=1).run(groups(**dict.fromkeys(names, 3)))
    (worker,) = launcher.workers
    hints = dict(zip(worker.units, worker.upcoming, strict=True))
    assert (hints["a0"], hints["a1"], hints["a2"]) == ("a1", "b0", "b0")
    assert (hints["g1"], hints["g2"], hints["h2"]) == ("g2", "h0", None), "few are left"
    assert worker.units == [f"{name}{number}" for name in names for number in range(3)]


def test_what_was_bound_early_runs_where_somebody_is_free() -> None:
    slow = FakeLauncher(seconds=lambda unit: 1000.0 if unit == "a0" else 1.0)
    names = [f"g{number:02d}" for number in range(12)]
    sizes = [Group("a", groups(a=2)[0].units, 9.0)]
    sizes += [Group(name, (Step(f"{name}.0"), Step(f"{name}.1")), 1.0) for name in names]  # type: ignore[arg-type]
    results = pool(slow).run(sizes)
    assert all(len(result.values) == 2 for result in results)
    first = next(worker for worker in slow.workers if "a0" in worker.units)
    assert first.units == ["a0", "a1"], "all others were taken by the free worker"
