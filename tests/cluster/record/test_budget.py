"""What the dry run says of memory and of where features will lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.extract.plan import ScanPlan
from cluster.record.budget import budget_lines
from depara.config import parse_scan
from depara.ledger import DEVICE_PARTS, device_part
from depara.types import LayerInfo
from tests.cluster.extract.test_plan import SCAN, card, plan


def with_settings(*overrides: str, num_features: int = 10**6) -> ScanPlan:
    large = replace(
        card("b", "2"),
        layers=tuple(LayerInfo(f"l{i}", i, 1.0, num_features, (num_features,)) for i in range(2)),
    )
    found = plan(frozenset(), card("a", "1"), large, card("c", "3"))
    return replace(found, config=parse_scan(SCAN, overrides).config)


def test_without_a_gpu_the_host_alone_is_divided() -> None:
    lines = budget_lines(with_settings("compute.memory=4GiB"))
    assert [line.split(":")[0] for line in lines] == ["memory", "features"]
    assert lines[1].endswith("800 MB of one model (b): they stay in memory")
    lines = budget_lines(with_settings("compute.memory=1GiB"))
    assert "do not fit the 470 MB for them: some go to compute.spill_dir" in lines[1]


def test_with_a_gpu_its_parts_are_said_and_what_must_be_free() -> None:
    lines = budget_lines(with_settings("compute.num_gpus=1"))
    assert [line.split(":")[0] for line in lines] == ["memory", "device", "features"]
    for name in DEVICE_PARTS:
        assert name in lines[1]
    assert "stay on a device with 2.13 GB free" in lines[2]
    assert device_part(int(2.1334e9), "features") >= 800e6
    assert "at most 0.25 of it all" in budget_lines(with_settings("compute.num_gpus=0.25"))[1]


def test_nothing_is_said_of_features_when_all_graphs_are_there() -> None:
    lines = budget_lines(plan(frozenset(range(6))))
    assert [line.split(":")[0] for line in lines] == ["memory"]


@pytest.mark.parametrize("num_features", [1, 10**9])
def test_any_size_is_a_line(num_features: int) -> None:
    assert "features:" in budget_lines(with_settings(num_features=num_features))[1]
