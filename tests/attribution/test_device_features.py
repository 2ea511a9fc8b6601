"""Features of a device, on the CPU: where they lie, what crosses the bus, and the same Grams."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from depara.attribution import FeatureBank
from depara.attribution import features as features_module
from depara.attribution.bus import Bus
from depara.attribution.device_features import ResidentFeatures
from depara.attribution.device_gram import TILE
from depara.errors import StoreError
from depara.ledger import device_part
from depara.types import LayerInfo
from tests.attribution.buses import LateBus
from tests.attribution.test_features import layer, random_features
from tests.oracle import attribution as oracle

MIB = 2**20
COUNT, WIDE, NARROW = 30, 1517, 400
KINDS = ("none", "center", "zscore")
LAYERS = [layer("wide", WIDE), layer("narrow", NARROW)]
RNG = np.random.default_rng(0)
FEATURES = {
    one.name: (np.maximum(RNG.normal(size=(COUNT, one.num_features)), 0) + 0.5).astype(np.float32)
    for one in LAYERS
}
FOR_ALL, FOR_NARROW, FOR_NONE = 2 * MIB, 400_000, 100_000


def filled(bus: Bus | None, batch: int = 7, **options: object) -> FeatureBank:
    """A bank that was written as an extractor does: what it was given changes afterwards."""
    options.setdefault("memory_bytes", 64 * MIB)
    bank = FeatureBank(COUNT, LAYERS, bus=bus, **options)  # type: ignore[arg-type]
    for row0 in range(0, COUNT, batch):
        for name, values in FEATURES.items():
            given = torch.from_numpy(values[row0 : row0 + batch].copy())
            bank.write(name, row0, given)
            given.zero_()
    return bank


@pytest.mark.parametrize("bus_class", [Bus, LateBus])
@pytest.mark.parametrize("device_bytes", [FOR_ALL, FOR_NARROW, FOR_NONE])
@pytest.mark.parametrize("memory_bytes", [64 * MIB, 20_000])
def test_the_grams_are_those_of_the_host(
    bus_class: type[Bus], device_bytes: int, memory_bytes: int, tmp_path: Path
) -> None:
    bus = bus_class(memory_bytes=device_bytes)
    options = {"memory_bytes": memory_bytes, "spill_dir": tmp_path}
    with filled(None) as host, filled(bus, **options) as device:
        resident = {FOR_ALL: {"wide", "narrow"}, FOR_NARROW: {"narrow"}, FOR_NONE: set()}
        assert set(device.resident_layers) == resident[device_bytes]
        for name, features in FEATURES.items():
            for kind in KINDS:
                expected = host.gram(name, kind)
                found = device.gram(name, kind)
                size = np.abs(expected).max()
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * size)
                exact = oracle.gram(features, kind)
                np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 * size)
                np.testing.assert_array_equal(found, found.T)
            both = device.grams(name)
            np.testing.assert_array_equal(both.raw_NN, device.gram(name, "none"))
            np.testing.assert_array_equal(both.zscored_NN, device.gram(name, "zscore"))
            sums_N = features.sum(axis=1, dtype=np.float64)
            np.testing.assert_allclose(both.raw_sums_N, sums_N, rtol=1e-6)


def test_for_what_fits_nothing_but_grams_crosses() -> None:
    bus = Bus(memory_bytes=FOR_ALL)
    with filled(bus) as bank:
        assert not bus.from_device
        for name in FEATURES:
            bank.grams(name)
    assert not bus.to_device
    assert set(bus.from_device) == {"grams", "checks"}
    assert bus.from_device["grams"] == len(FEATURES) * 2 * 8 * (COUNT**2 + COUNT)
    assert bus.from_device["checks"] == len(FEATURES)  # a flag each


def test_what_does_not_fit_crosses_once_each_way() -> None:
    bus = Bus(memory_bytes=FOR_NARROW)
    with filled(bus) as bank:
        assert bus.from_device == {"features": 4 * COUNT * WIDE}
        assert not bus.to_device
        bank.grams("wide")
        assert bus.to_device == {"features": 4 * COUNT * WIDE}
        bank.grams("narrow")
        assert bus.to_device == {"features": 4 * COUNT * WIDE}


def test_without_a_device_nothing_is_counted() -> None:
    bus = Bus()
    with filled(bus) as bank:
        bank.grams("wide")
        assert bank.resident_layers == ()
    assert not bus.to_device
    assert not bus.from_device


def test_the_host_path_keeps_its_bits_beside_a_bus() -> None:
    with filled(None) as one, filled(Bus("cpu")) as other:
        for name in FEATURES:
            np.testing.assert_array_equal(one.gram(name, "zscore"), other.gram(name, "zscore"))


def test_small_layers_stay_on_the_device_first() -> None:
    layers = [layer("large", 1000), layer("small", 100), layer("middle", 400)]
    device_bytes = 4 * 10 * 600 * 16 // 6
    assert device_part(device_bytes, "features") >= 4 * 10 * 500
    bus = Bus(memory_bytes=device_bytes)
    with FeatureBank(10, layers, memory_bytes=MIB, bus=bus) as bank:
        assert bank.resident_layers == ("small", "middle")


def test_memory_that_another_program_took_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    make = ResidentFeatures.__init__

    def fails_once_full(self: ResidentFeatures, count: int, width: int, bus: Bus) -> None:
        if width == WIDE:
            raise torch.OutOfMemoryError("CUDA out of memory")
        make(self, count, width, bus)

    monkeypatch.setattr(ResidentFeatures, "__init__", fails_once_full)
    with filled(Bus(memory_bytes=FOR_ALL)) as bank:
        assert bank.resident_layers == ("narrow",)
        expected = oracle.gram(FEATURES["wide"], "zscore")
        np.testing.assert_allclose(
            bank.gram("wide", "zscore"), expected, rtol=0, atol=2e-6 * np.abs(expected).max()
        )


@pytest.mark.parametrize("magnitude", [1e-30, 1e30])
def test_features_of_any_magnitude_stay_where_they_are(magnitude: float) -> None:
    features = (FEATURES["wide"] * magnitude).astype(np.float32)
    bus = Bus(memory_bytes=FOR_ALL)
    with FeatureBank(COUNT, [layer("a", WIDE)], memory_bytes=MIB, bus=bus) as bank:
        bank.write("a", 0, torch.from_numpy(features))
        found = bank.gram("a", "none")
    expected = oracle.gram(features, "none")
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    assert "features" not in bus.from_device


def test_rows_wider_than_a_buffer_cross_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "_BUFFER_BYTES", 4 * COUNT)  # one column
    bus = LateBus(memory_bytes=FOR_NONE)
    with filled(bus, batch=30) as bank:
        assert bank._ferry is not None
        assert bank._ferry.capacity == WIDE
        found = bank.gram("wide", "none")
    expected = oracle.gram(FEATURES["wide"], "none")
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_a_disk_that_fills_up_behind_the_device_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(memory_bytes=200)
    with FeatureBank(8, [layer("a", 100)], memory_bytes=640, spill_dir=tmp_path, bus=bus) as bank:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        rows = torch.from_numpy(random_features(8, 100))
        with pytest.raises(StoreError, match="spilling features needs"):
            bank.write("a", 0, rows)  # the next piece that needs the buffer is told


def test_the_thread_ends_with_the_bank() -> None:
    before = threading.active_count()
    with filled(Bus(memory_bytes=FOR_NONE)):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_block_on_the_device_fits_its_part() -> None:
    for count, device_bytes in [(200, 16 * 2**30), (1000, 80 * 2**30), (5000, 2**30)]:
        part = device_part(device_bytes, "blocks")
        width = features_module._device_width(count, part)
        products = 4 * min(count, TILE) ** 2 * (width // 1024)  # the matrix comes on top
        assert width == 1 or 4 * count * width + products <= part * 1.01


def test_features_of_the_host_are_refused() -> None:
    bus = Bus(memory_bytes=FOR_ALL)
    with (
        FeatureBank(4, [LayerInfo("a", 0, 1.0, 5, (5,))], memory_bytes=MIB, bus=bus) as bank,
        pytest.raises(AssertionError, match="its tensors"),
    ):
        bank.write("a", 0, random_features(4, 5))
