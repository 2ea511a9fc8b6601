"""Features of regions: against bilinear sampling point by point, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depara.attribution.regions import region_features

RNG = np.random.default_rng(0)


def sampled(map_CHW: np.ndarray, box: np.ndarray) -> np.ndarray:
    """He et al. 2017: the mean of 14 x 14 bilinear samples, position i of W at (i + 1/2) / W."""
    _, height, width = map_CHW.shape
    total = np.zeros(len(map_CHW))
    for row in range(14):
        for column in range(14):
            x = (box[0] + (column + 0.5) / 14 * (box[2] - box[0])) * width - 0.5
            y = (box[1] + (row + 0.5) / 14 * (box[3] - box[1])) * height - 0.5
            x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            for i in (0, 1):
                for j in (0, 1):
                    weight = (1 - abs(x - left - i)) * (1 - abs(y - top - j))
                    total += weight * map_CHW[:, top + j, left + i]
    return total / 14**2


def boxes(count: int) -> np.ndarray:
    corners = np.sort(RNG.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4)
    corners[0] = [0, 0, 1, 1]
    return corners


@pytest.mark.parametrize(("height", "width"), [(7, 7), (5, 9), (2, 3)])
def test_features_are_the_mean_of_bilinear_samples(height: int, width: int) -> None:
    maps = RNG.normal(size=(3, 6, height, width)).astype(np.float32)
    probes, corners = np.array([0, 0, 1, 2, 2, 2]), boxes(6)
    got = region_features(
        torch.from_numpy(maps), torch.from_numpy(probes), torch.from_numpy(corners)
    )
    expected = [sampled(maps[p].astype(float), box) for p, box in zip(probes, corners, strict=True)]
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-5)


def test_a_constant_map_gives_its_value_and_one_half_of_it_the_half() -> None:
    maps = torch.zeros(1, 2, 8, 8)
    maps[:, 0] = 3.0
    maps[:, 1, :, 4:] = 1.0
    corners = torch.tensor([[0.1, 0.2, 0.4, 0.9], [0.6, 0.1, 0.9, 0.5]], dtype=torch.float64)
    got = region_features(maps, torch.tensor([0, 0]), corners)
    torch.testing.assert_close(got, torch.tensor([[3.0, 0.0], [3.0, 1.0]]))


def test_channels_last_and_half_precision_give_the_same() -> None:
    maps = torch.from_numpy(RNG.normal(size=(2, 5, 6, 6)).astype(np.float32))
    probes, corners = torch.tensor([0, 1]), torch.from_numpy(boxes(2))
    plain = region_features(maps, probes, corners)
    last = region_features(maps.contiguous(memory_format=torch.channels_last), probes, corners)
    torch.testing.assert_close(last, plain)
    half = region_features(maps.half(), probes, corners)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, atol=2e-3, rtol=0)
