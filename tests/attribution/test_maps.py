"""Channel reduction, sum pooling, unit norm."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depara.attribution.maps import reduce_channels, sum_pool, unit_norm


def test_channels_are_reduced_by_signed_mean_or_mean_of_magnitudes() -> None:
    values = torch.tensor([1.0, -2.0, 4.0]).view(1, 3, 1, 1)
    assert reduce_channels(values, "mean").item() == pytest.approx(1)
    assert reduce_channels(values, "abs").item() == pytest.approx(7 / 3)


def test_sum_pooling_adds_cells_and_conserves_the_total() -> None:
    maps = torch.arange(32.0).view(2, 4, 4)
    pooled = sum_pool(maps, 2)
    assert pooled[0].tolist() == [0 + 1 + 4 + 5, 2 + 3 + 6 + 7, 8 + 9 + 12 + 13, 10 + 11 + 14 + 15]
    assert torch.equal(pooled.sum(dim=1), maps.sum(dim=(1, 2)))
    assert torch.equal(sum_pool(maps, 4), maps.flatten(1))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-3, 1.0, 1e15])
def test_maps_get_unit_norm_at_any_scale(scale: float) -> None:
    torch.manual_seed(0)
    values = torch.randn(4, 300, dtype=torch.float64)
    maps, norms = unit_norm((values * scale).float())
    assert maps.dtype == torch.float16
    assert norms.dtype == torch.float32
    expected = values / values.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(maps.double().numpy(), expected.numpy(), atol=3e-4)
    np.testing.assert_allclose(norms.numpy(), (values * scale).norm(dim=1).numpy(), rtol=1e-5)


def test_zero_and_vanishing_maps_become_zero() -> None:
    maps, norms = unit_norm(torch.tensor([[0.0, 0.0], [1e-41, -1e-42], [3.0, 4.0]]))
    assert maps.tolist() == [
        [0, 0],
        [0, 0],
        [pytest.approx(0.6, abs=1e-3), pytest.approx(0.8, abs=1e-3)],
    ]
    assert norms.tolist() == [0, 0, pytest.approx(5)]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_map_that_is_not_finite_has_a_norm_that_is_not_finite(bad: float) -> None:
    _, norms = unit_norm(torch.tensor([[1.0, bad], [1.0, 0.0]]))
    assert torch.isfinite(norms).tolist() == [False, True]
