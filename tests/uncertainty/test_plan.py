"""What a scan's uncertainty costs, how it is cut into tasks, and what its tasks add up to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from depara.errors import ConfigError
from depara.uncertainty import (
    PlanLimits,
    UncertaintyPlan,
    UncertaintySettings,
    affordable_resamples,
    plan_chosen,
    plan_uncertainty,
    resampling_seconds,
)
from depara.uncertainty.footprint import ResamplingFootprint
from tests.uncertainty.zoo import Label, labels

SETTINGS = UncertaintySettings(num_resamples=200)


def plan(sources: list[Label], memory_bytes: int = 1 << 30, **options) -> UncertaintyPlan:
    targets = [label for label in sources if label.is_output]
    arguments = {"num_probes": 50, "num_pixels": 100, "settings": SETTINGS, **options}
    return plan_uncertainty(sources, targets, PlanLimits(memory_bytes=memory_bytes, **arguments))


def nominal_s(plan: UncertaintyPlan, num_probes: int = 50) -> float:
    """The nominal time of all tasks."""
    count = plan.settings.num_resamples
    return sum(
        resampling_seconds(
            len(task.sources), len(task.targets), num_probes=num_probes, num_resamples=count
        )
        for task in plan.tasks
    )


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("memory_bytes", [310_000, 700_000, 1 << 30])
def test_every_ranking_is_computed_once_and_whole(workers: int, memory_bytes: int):
    sources = labels(9, 4)
    outputs = {place for place, label in enumerate(sources) if label.is_output}
    tasks = plan(sources, memory_bytes, workers=workers).tasks
    model = [task for task in tasks if "model" in task.rankings]
    assert all(set(task.sources) == outputs for task in model)
    assert Counter(t for task in model for t in task.targets) == Counter(range(9))
    layer = [task for task in tasks if "layer" in task.rankings]
    pairs = Counter((s, t) for task in layer for s in task.sources for t in task.targets)
    assert pairs == Counter((s, t) for s in range(36) for t in range(9))
    for task in layer:
        models = {sources[place].model_id for place in task.sources}
        assert len(task.sources) == 4 * len(models)


@pytest.mark.parametrize("memory_bytes", [310_000, 700_000])
def test_tasks_fit_in_memory(memory_bytes: int):
    few = plan(labels(9, 4), memory_bytes).tasks
    assert len(few) > len(plan(labels(9, 4)).tasks)
    for task in few:
        footprint = ResamplingFootprint(
            num_sources=len(task.sources),
            num_targets=len(task.targets),
            num_probes=50,
            num_pixels=100,
            active_edges=SETTINGS.weighted_edges(50, with_subsets="model" in task.rankings),
        )
        assert footprint.min_bytes <= memory_bytes


def test_models_of_one_layer_need_one_kind_of_task():
    (task,) = plan(labels(6, 1)).tasks
    assert task.rankings == ("model", "layer")
    assert task.sources == task.targets == tuple(range(6))


def test_workers_share_the_layers_of_a_large_zoo():
    sources = labels(9, 8)
    alone, shared = plan(sources, num_probes=200), plan(sources, num_probes=200, workers=4)
    assert len([task for task in alone.tasks if task.rankings == ("layer",)]) == 1
    assert len([task for task in shared.tasks if task.rankings == ("layer",)]) >= 3
    assert nominal_s(shared, 200) < 2 * nominal_s(alone, 200)


def test_nothing_to_compare_is_no_task():
    assert plan([]).tasks == ()


def test_blocks_of_chosen_pairs_are_planned_each():
    sources = labels(9, 4)
    targets = [label for label in sources if label.is_output]
    blocks = [(list(range(16)), [3, 1]), (list(range(8, 36)), [0, 2, 4])]
    limits = PlanLimits(num_probes=50, num_pixels=100, memory_bytes=1 << 30, settings=SETTINGS)
    tasks = plan_chosen(sources, targets, blocks, limits).tasks
    pairs = Counter(
        (source, target)
        for task in tasks
        if "layer" in task.rankings
        for source in task.sources
        for target in task.targets
    )
    assert pairs == Counter((s, t) for rows, columns in blocks for s in rows for t in columns)
    for rows, columns in blocks:
        outputs = {place for place in rows if sources[place].is_output}
        models = [task for task in tasks if "model" in task.rankings and task.targets[0] in columns]
        assert sorted(target for task in models for target in task.targets) == sorted(columns)
        assert all(set(task.sources) == outputs for task in models)
    few = replace(limits, budget_s=1e-3, min_resamples=20)
    assert plan_chosen(sources, targets, blocks, few).settings.num_resamples == 20
    assert plan_chosen(sources, targets, [], limits).tasks == ()


def test_too_little_memory_says_what_is_needed():
    with pytest.raises(ConfigError, match=r"layers of one model \(9 graphs of 50 .* raise compute"):
        plan(labels(9, 4), 290_000)


def test_a_budget_takes_fewer_resamples():
    sources = labels(9, 4)
    free = plan(sources)
    assert free.settings.num_resamples == 200
    tight = plan(sources, budget_s=nominal_s(free) * 0.4, min_resamples=10)
    assert 20 <= tight.settings.num_resamples <= 100
    assert nominal_s(tight) < nominal_s(free) / 2
    least = plan(sources, budget_s=0.0)
    assert least.settings.num_resamples == 100


def test_affordable_resamples_fill_the_budget_with_two_digits():
    def count(budget_s: float, **options) -> int:
        return affordable_resamples(320, 20, num_probes=200, budget_s=budget_s, **options)

    all_s = resampling_seconds(320, 20, num_probes=200, num_resamples=1000)
    assert count(all_s * 1.01) == 1000
    assert count(all_s * 0.4567) == 450
    assert count(all_s * 0.4567, most=300) == 300
    assert count(all_s * 0.01) == 100
    assert count(all_s * 0.0123, least=5) == 12
    assert count(0.0, least=5) == 5


def test_time_grows_with_graphs_probes_and_resamples():
    base = resampling_seconds(100, 10, num_probes=100, num_resamples=100)
    assert resampling_seconds(100, 10, num_probes=100, num_resamples=300) == pytest.approx(3 * base)
    assert resampling_seconds(300, 10, num_probes=100, num_resamples=100) > 2 * base
    assert resampling_seconds(100, 10, num_probes=200, num_resamples=100) > 4 * base
