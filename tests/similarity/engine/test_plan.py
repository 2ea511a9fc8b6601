"""Plans of tiles: every pair once, within memory, little read twice."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depara.errors import ConfigError
from depara.similarity import Footprint, Tile, plan_tiles
from depara.similarity.engine.blocks import common_steps
from depara.types import ProbeRange

MIB = 1 << 20


def covered(tiles: list[Tile], sources: int, targets: int) -> np.ndarray:
    count = np.zeros((sources, targets), dtype=int)
    for tile in tiles:
        count[tile.source_start : tile.source_stop, tile.target_start : tile.target_stop] += 1
    return count


def footprint(tile: Tile, num_probes: int, num_pixels: int) -> Footprint:
    return Footprint(tile.num_sources, tile.num_targets, num_probes, num_pixels, tile.symmetric)


@settings(max_examples=60, deadline=None)
@given(
    sources=st.integers(1, 60),
    targets=st.integers(1, 60),
    pixels=st.integers(1, 5000),
    memory_mib=st.integers(2, 64),
    min_tiles=st.integers(1, 9),
)
def test_every_pair_is_in_one_tile_that_fits(
    sources: int, targets: int, pixels: int, memory_mib: int, min_tiles: int
):
    tiles = plan_tiles(
        sources,
        targets,
        num_probes=100,
        num_pixels=pixels,
        memory_bytes=memory_mib * MIB,
        min_tiles=min_tiles,
    )
    assert (covered(tiles, sources, targets) == 1).all()
    assert len(tiles) >= min(min_tiles, sources * targets)
    assert all(footprint(t, 100, pixels).min_bytes <= memory_mib * MIB for t in tiles)


@settings(max_examples=60, deadline=None)
@given(graphs=st.integers(1, 60), memory_mib=st.integers(2, 64), min_tiles=st.integers(1, 9))
def test_a_symmetric_plan_is_the_upper_triangle(graphs: int, memory_mib: int, min_tiles: int):
    tiles = plan_tiles(
        graphs,
        graphs,
        num_probes=100,
        num_pixels=3136,
        memory_bytes=memory_mib * MIB,
        symmetric=True,
        min_tiles=min_tiles,
    )
    count = covered(tiles, graphs, graphs)
    assert (count[np.triu_indices(graphs)] == 1).all()
    square = {
        (t.source_start, t.source_stop) == (t.target_start, t.target_stop)
        for t in tiles
        if t.symmetric
    }
    assert square == {True}
    diagonal = sum(t.num_sources for t in tiles if t.symmetric)
    assert diagonal == graphs
    assert all(t.source_start < t.target_start for t in tiles if not t.symmetric)
    assert all(footprint(t, 100, 3136).min_bytes <= memory_mib * MIB for t in tiles)


def test_all_in_one_tile_when_it_fits():
    tiles = plan_tiles(
        400, 400, num_probes=200, num_pixels=3136, memory_bytes=512 * MIB, symmetric=True
    )
    assert tiles == [Tile(0, 400, 0, 400, symmetric=True)]


def test_targets_stay_whole_when_their_ranks_fit():
    """16 layers of 1,000 models against 1,000 outputs: only the many sources are cut."""
    tiles = plan_tiles(16_000, 1_000, num_probes=1_000, num_pixels=3136, memory_bytes=4096 * MIB)
    assert {(t.target_start, t.target_stop) for t in tiles} == {(0, 1_000)}


def test_blocks_shrink_rather_than_decode_a_range_many_times():
    """Few targets are cheap to read again; decoding all sources several times is not."""
    sizes = {"num_probes": 200, "num_pixels": 50_176, "memory_bytes": 1024 * MIB}
    assert len(plan_tiles(2000, 20, range_probes=1, **sizes)) == 1
    tiles = plan_tiles(2000, 20, range_probes=25, **sizes)
    assert {tile.num_targets for tile in tiles} == {20}
    assert all(footprint(t, 200, 50_176).max_step_probes(1024 * MIB, 25) >= 25 for t in tiles)


def test_one_step_of_all_probes_has_no_next_one():
    tile = footprint(Tile(0, 500, 0, 400), 200, 3136)
    both = tile.node_bytes(200)
    assert tile.node_bytes_at_once < 0.6 * both
    assert tile.max_step_probes(tile.node_bytes_at_once, 200) == 200
    assert tile.max_step_probes(tile.node_bytes_at_once, 100) < 120
    assert tile.max_step_probes(tile.node_bytes_at_once - 1, 200) < 120
    assert tile.max_step_probes(both, 100) == 200


def test_passes_are_made_together_where_both_fit():
    tile = footprint(Tile(0, 500, 0, 400), 200, 3136)
    least = max(tile.node_bytes_at_once, tile.edge_bytes(64))
    assert not tile.fit_together(least, 200)
    assert tile.fit_together(2 * (tile.node_bytes_at_once + tile.edge_bytes(64)), 200)


def test_more_workers_get_more_tiles():
    sizes = {"num_probes": 200, "num_pixels": 3136, "memory_bytes": 2048 * MIB}
    assert len(plan_tiles(20, 20, min_tiles=8, **sizes)) >= 8
    assert len(plan_tiles(2, 2, min_tiles=8, **sizes)) == 4


def test_no_graphs_need_no_tiles():
    assert plan_tiles(0, 5, num_probes=10, num_pixels=4, memory_bytes=1) == []


def test_too_little_memory_says_what_one_pair_needs():
    least = Footprint(1, 1, 200, 3136).min_bytes
    plan_tiles(3, 3, num_probes=200, num_pixels=3136, memory_bytes=least)
    with pytest.raises(ConfigError, match=f"needs {least:,} bytes.*compute.memory"):
        plan_tiles(3, 3, num_probes=200, num_pixels=3136, memory_bytes=least - 1)


def test_a_symmetric_plan_needs_equal_sides():
    with pytest.raises(ValueError, match="3 sources and 2 targets"):
        plan_tiles(3, 2, num_probes=4, num_pixels=1, memory_bytes=MIB, symmetric=True)


@settings(max_examples=60, deadline=None)
@given(
    num_probes=st.integers(1, 40),
    cuts=st.tuples(st.sets(st.integers(1, 39)), st.sets(st.integers(1, 39))),
    max_probes=st.integers(1, 40),
)
def test_steps_lie_within_a_range_of_either_side(
    num_probes: int, cuts: tuple[set[int], set[int]], max_probes: int
):
    sides = []
    for inner in cuts:
        ends = [0, *sorted(cut for cut in inner if cut < num_probes), num_probes]
        sides.append([ProbeRange(a, b) for a, b in pairwise(ends)])
    steps = common_steps(*sides, num_probes=num_probes, max_probes=max_probes)
    assert [p for step in steps for p in range(step.start, step.stop)] == list(range(num_probes))
    for step in steps:
        assert len(step) <= max_probes
        for side in sides:
            assert any(r.start <= step.start and step.stop <= r.stop for r in side)
