"""Gram sums of features of any magnitude that float32 holds, against the float64 oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depara.attribution.gram import GramSum
from tests.oracle import attribution as oracle

MAGNITUDES = [1e-36, 1e-30, 1e-26, 1e-22, 1e-20, 1e-10, 1.0, 1e15, 1e20, 1e30, 1e36]
BASE = np.maximum(np.random.default_rng(0).normal(size=(20, 300)), 0) + 0.1


def summed(features: np.ndarray, normalize: str, path: str = "cpu") -> GramSum:
    """The sum over two blocks, by the path of the CPU or by that of a device."""
    total = GramSum(len(features), normalize, torch.device("cpu"))
    for block in np.array_split(features.astype(np.float32), 2, axis=1):
        if path == "cpu":
            total.add(np.ascontiguousarray(block))
        else:
            total._add_on_device(torch.from_numpy(np.ascontiguousarray(block)))
    return total


@pytest.mark.parametrize("path", ["cpu", "device"])
@pytest.mark.parametrize("normalize", ["none", "center", "zscore"])
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_any_magnitude(magnitude: float, normalize: str, path: str) -> None:
    features = (BASE * magnitude).astype(np.float32)
    found = summed(features, normalize, path).result()
    expected = oracle.gram(features, normalize)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-6 * np.abs(expected).max())
    np.testing.assert_allclose(oracle.edges(found), oracle.edges(expected), atol=3e-6)


@pytest.mark.parametrize("path", ["cpu", "device"])
def test_probes_of_all_magnitudes_beside_each_other(path: str) -> None:
    features = (BASE * np.logspace(-35, 35, 20)[:, None]).astype(np.float32)
    found = summed(features, "none", path).result()
    np.testing.assert_allclose(found, oracle.gram(features, "none"), rtol=1e-5)


@pytest.mark.parametrize("path", ["cpu", "device"])
def test_dimensions_of_all_magnitudes_count_alike_when_zscored(path: str) -> None:
    features = (BASE * np.logspace(-36, 36, 300)).astype(np.float32)
    expected = oracle.gram(features, "zscore")
    assert np.trace(expected) == pytest.approx(300 * 19)
    found = summed(features, "zscore", path).result()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_range_of_float32_costs_ordinary_features_no_bit() -> None:
    features = BASE.astype(np.float32)
    plain = sum(
        (block @ block.T).astype(np.float64)
        for block in map(np.ascontiguousarray, np.array_split(features, 2, axis=1))
    )
    np.testing.assert_array_equal(summed(features, "none").result(), plain)
    scaled = summed(features * np.float32(2.0**-90), "none").result()
    np.testing.assert_array_equal(scaled, plain * 2.0**-180)


def test_zero_probes_and_constant_dimensions_stay_zero() -> None:
    features = (BASE * 1e-26).astype(np.float32)
    features[3], features[:, 5] = 0, 1e-20
    features[3, 5] = 1e-20
    assert summed(features, "zscore").result().trace() == pytest.approx(299 * 19, rel=1e-5)
    features[3, 5] = 0
    assert not summed(features, "none").result()[3].any()


def test_what_is_not_finite_is_not_hidden() -> None:
    for bad in (np.inf, np.nan):
        features = BASE.astype(np.float32)
        features[2, 7] = bad
        assert not np.isfinite(summed(features, "none").result()[2]).all()
