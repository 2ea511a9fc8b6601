"""Gram sums of features of any magnitude that float32 holds, against the float64 oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from depara.attribution.bus import Bus
from depara.attribution.device_gram import (
    DeviceGramSum,
    compensated_sum,
    exponents,
    power_of_two,
    standardized,
)
from depara.attribution.gram import GramSum
from tests.oracle import attribution as oracle

MAGNITUDES = [1e-36, 1e-30, 1e-26, 1e-22, 1e-20, 1e-10, 1.0, 1e15, 1e20, 1e30, 1e36]
BASE = np.maximum(np.random.default_rng(0).normal(size=(20, 300)), 0) + 0.1


def summed(
    features: np.ndarray, normalize: str, path: str = "cpu", num_blocks: int = 2
) -> GramSum | DeviceGramSum:
    """The sum over some blocks, by the path of the host or by that of a device."""
    blocks = np.array_split(features.astype(np.float32), num_blocks, axis=1)
    if path == "cpu":
        total = GramSum(len(features), normalize)
        for block in blocks:
            total.add(np.ascontiguousarray(block))
        return total
    for is_scaled in (False, True):
        found = DeviceGramSum(len(features), normalize, Bus(memory_bytes=0), is_scaled=is_scaled)
        for block in blocks:
            found.add(torch.from_numpy(np.ascontiguousarray(block)))
        if found.is_sound():
            break
    return found


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


@pytest.mark.parametrize("normalize", ["none", "center", "zscore"])
@pytest.mark.parametrize(
    ("count", "num_features"), [(7, 40), (40, 1024), (200, 5000), (33, 4097), (600, 1100)]
)
def test_a_device_agrees_with_the_host_to_a_millionth(
    count: int, num_features: int, normalize: str
) -> None:
    rng = np.random.default_rng(count)
    features = np.maximum(rng.normal(size=(count, num_features)), 0)
    features = features * rng.lognormal(0, 2, num_features) + rng.normal(size=num_features) * 5
    host, device = (summed(features, normalize, path) for path in ("cpu", "device"))
    size = np.abs(host.result()).max()
    np.testing.assert_allclose(device.result(), host.result(), rtol=0, atol=1e-6 * size)
    sizes_N = np.abs(features).sum(axis=1) if normalize == "none" else np.sqrt(num_features * size)
    assert (np.abs(device.row_sums_N - host.row_sums_N) <= 1e-6 * sizes_N).all()
    np.testing.assert_array_equal(device.result(), device.result().T)


def test_a_device_standardises_as_well_as_float64_does() -> None:
    rng = np.random.default_rng(0)
    features = 1000 + rng.normal(size=(500, 64)) * np.logspace(-2, 2, 64)
    features = features.astype(np.float32)
    exact = features.astype(np.float64)
    exact = (exact - exact.mean(axis=0)) / exact.std(axis=0, ddof=1)
    found = standardized(torch.from_numpy(features), divide=True).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=0, atol=3e-7 * np.abs(exact).max())


def test_what_a_sum_loses_is_put_back() -> None:
    rows = torch.zeros(10_000, 1)
    rows[::32] = 2.0**-25  # each alone rounds to nothing beside 1
    rows[0] = 1
    assert sum(rows[:, 0].tolist()) - 1 > 9e-6
    assert torch.tensor(1.0) + rows[32] == 1
    for squares in (False, True):
        found = compensated_sum(rows.sqrt() if squares else rows, squares=squares).item()
        assert found == pytest.approx(sum(rows[:, 0].tolist()), rel=2e-7)


def test_powers_of_two_are_exact_and_have_their_reciprocal() -> None:
    exponent = torch.arange(-126, 127, dtype=torch.int32)
    expected = [float(np.float32(2.0**one)) for one in exponent.tolist()]
    assert power_of_two(exponent).tolist() == expected
    assert (power_of_two(exponent) * power_of_two(-exponent) == 1).all()
    magnitude = torch.tensor([0.0, 1e-44, 1.0, 1.5, 3e38])
    assert exponents(magnitude).tolist() == [0, -126, 1, 1, 126]


def test_no_float64_of_the_size_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.from_numpy(np.tile(BASE, 10).astype(np.float32))
    largest = _Float64Watch()
    with largest:
        for normalize in ("none", "center", "zscore"):
            for is_scaled in (False, True):
                bus = Bus(memory_bytes=0)
                DeviceGramSum(len(features), normalize, bus, is_scaled=is_scaled).add(features)
    assert 0 < largest.num_values <= len(features) ** 2


class _Float64Watch(TorchDispatchMode):
    """The most values of any float64 tensor that is made."""

    num_values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            self.num_values = max(self.num_values, result.numel())
        return result


def test_the_range_of_float32_costs_ordinary_features_no_bit() -> None:
    features = BASE.astype(np.float32)
    plain = sum(
        (block @ block.T).astype(np.float64)
        for block in map(np.ascontiguousarray, np.array_split(features, 2, axis=1))
    )
    np.testing.assert_array_equal(summed(features, "none").result(), plain)
    scaled = summed(features * np.float32(2.0**-90), "none").result()
    np.testing.assert_array_equal(scaled, plain * 2.0**-180)


@pytest.mark.parametrize("path", ["cpu", "device"])
def test_zero_probes_and_constant_dimensions_stay_zero(path: str) -> None:
    features = (BASE * 1e-26).astype(np.float32)
    features[3], features[:, 5] = 0, 1e-20
    features[3, 5] = 1e-20
    assert summed(features, "zscore", path).result().trace() == pytest.approx(299 * 19, rel=1e-5)
    features[3, 5] = 0
    assert not summed(features, "none", path).result()[3].any()


@pytest.mark.parametrize("path", ["cpu", "device"])
@pytest.mark.parametrize("normalize", ["none", "zscore"])
def test_what_is_not_finite_is_not_hidden(normalize: str, path: str) -> None:
    for bad in (np.inf, np.nan):
        features = BASE.astype(np.float32)
        features[2, 7] = bad
        with np.errstate(invalid="ignore"):
            assert not np.isfinite(summed(features, normalize, path).result()[2]).all()
