"""Token stitching against the slow loops, and what its grid makes of layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.truth.stitching import GRID_SIDE, NUM_FOLDS, RIDGE, on_grid, stitch, stitch_scores
from examples.digits.encoder import Encoder
from tests.oracle import stitching as oracle


def tokens(num_probes: int, num_channels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (num_probes, GRID_SIDE, GRID_SIDE, num_channels)
    grid = rng.standard_normal(shape, np.float32)
    return grid - grid.mean((0, 1, 2))


def test_it_is_what_the_slow_loops_give() -> None:
    source, noise = tokens(7, 2, 0), tokens(7, 3, 1)
    follows = np.roll(source, 1, axis=1)[..., [0, 1, 0]] + 0.5 * noise
    targets = [follows, noise]
    found = stitch(source, targets)
    for value, target in zip(found, targets, strict=True):
        due = oracle.stitch(source, target, RIDGE, NUM_FOLDS)
        assert value == pytest.approx(due, abs=2e-5)
    assert found[0] > 0.5 > 0.1 > found[1]


def test_a_neighbour_is_enough_and_a_token_further_off_is_not() -> None:
    source = tokens(20, 2, 2)
    near, far = np.roll(source, 1, axis=2), np.roll(source, 3, axis=2)
    near[:, :, 0], far[:, :, :3] = 0, 0
    found = stitch(source, [near, far])
    assert found[0] > 0.95
    assert found[1] < 0.05


def test_maps_and_tokens_come_to_one_grid() -> None:
    maps = torch.arange(4 * 4.0).reshape(1, 1, 4, 4)
    grid = on_grid(maps)
    assert grid.shape == (1, GRID_SIDE, GRID_SIDE, 1)
    assert (grid[0, ::2, ::2, 0] == maps[0, 0]).all()
    assert (grid[0, 1::2, 1::2, 0] == maps[0, 0]).all()
    assert torch.equal(on_grid(maps.flatten(2).transpose(1, 2)), grid)
    large = torch.arange(16 * 16.0).reshape(1, 1, 16, 16)
    assert on_grid(large)[0, 0, 0, 0] == large[0, 0, :2, :2].mean()


def test_every_layer_is_scored_against_the_other_networks() -> None:
    torch.manual_seed(0)
    networks = {name: Encoder().eval() for name in ("a", "b")}
    frame = stitch_scores(networks, torch.randn(10, 1, 32, 32))
    assert len(frame) == 2 * 6
    assert set(frame["target"] + frame["source"]) == {"ab", "ba"}
    assert (frame["stitch"] <= 1).all()
    own = frame[(frame["source"] == "a") & (frame["layer"] == "code")]["stitch"]
    assert own.item() < 0.9
