"""The simulated night: the loop ends it whatever is lost, and its work does not grow in squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.night import Assumed, plan_of, simulate
from cluster.pool.slots import Slot, Slots

CALM = replace(Assumed(), straggler_share=0.0, lifetime_s=1e12, ray_call_s=0.0)


def test_a_calm_night_takes_the_work_and_a_cold_start() -> None:
    night = simulate(plan_of(200, CALM), 8, CALM)
    assert night.failed == night.lost == 0
    assert night.ideal_s < night.makespan_s < night.ideal_s + night.longest_s + 90 + 1


def test_lost_nodes_cost_time_and_no_model() -> None:
    rough = replace(CALM, lifetime_s=600.0)
    calm = simulate(plan_of(200, CALM), 8, CALM)
    night = simulate(plan_of(200, rough), 8, rough)
    assert night.lost > 10
    assert night.failed == 0
    assert night.makespan_s > calm.makespan_s


def test_more_workers_than_work_do_not_make_the_driver_quadratic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walks = 0
    walk = Slots.__iter__

    def counted(slots: Slots) -> Iterator[Slot]:
        nonlocal walks
        walks += 1
        return walk(slots)

    monkeypatch.setattr(Slots, "__iter__", counted)
    night = simulate(plan_of(60, CALM), 60, CALM)
    assert night.failed == 0
    # 60 models of a few units each: some walks per event, not one per idle worker and event.
    assert walks < 60 * 4 * 6
