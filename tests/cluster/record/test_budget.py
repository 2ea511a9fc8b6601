"""What the dry run says of memory and of where features will lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.extract.plan import ScanPlan
from cluster.record.budget import budget_lines, size_lines
from depara.config import parse_scan
from depara.ledger import DEVICE_PARTS, device_part, part_bytes
from depara.texts import bytes_text
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
    part = bytes_text(part_bytes(2**30, "features"))
    assert f"do not fit the {part} for them: some go to compute.spill_dir" in lines[1]


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


def test_what_is_stored_and_read_is_said_and_how_to_have_less() -> None:
    lines = size_lines(plan(), 9)
    graph = 100 * 224**2 * 2 + 4950 * 12 + 5050 * 24
    assert f"up to {bytes_text(6 * graph)} of graph files, {bytes_text(graph)} a graph" in lines[0]
    assert lines[0].endswith("of which 10 MB are maps of 224 px")
    assert f"up to {bytes_text(9 * graph)} of graph files, 9 graphs, by the comparison" in lines[1]
    smaller = with_settings("attribution.map_side=56")
    assert "attribution.map_side: 56 makes maps 16 times smaller" in lines[2]
    assert f"{bytes_text(smaller.graph_bytes)} a graph" in lines[2], "what it says comes true"
    assert "map_side: 14" in size_lines(smaller, 9)[2]


def test_maps_that_cannot_be_coarser_get_no_advice() -> None:
    for side in (8, 14, 28):  # too small, no multiple of four, or both
        assert len(size_lines(with_settings(f"attribution.map_side={side}"), 9)) == 2


def test_the_plan_says_how_many_maps_a_node_has() -> None:
    several = with_settings("attribution.method=gradient_field")
    line = size_lines(several, 9)[0]
    assert line.endswith("px, 5 maps per probe and graph (attribution.points)")


def test_shares_of_a_gpu_are_said_with_the_memory() -> None:
    auto = with_settings("compute.num_gpus=auto", "compute.gpu_memory=16GiB")
    lines = budget_lines(auto)
    assert [line.split(":")[0] for line in lines] == ["memory", *2 * ["gpus"], "device", "features"]
    assert "at most the worker's share of it all" in lines[3]
