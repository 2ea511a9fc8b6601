"""A whole scan on a device with its own memory, on the CPU: the same tables, and what crosses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cluster.extract.bench import Bench
from cluster.record.manifest import ScanSummary
from depara import open_scan
from depara.attribution.bus import Bus
from depara.store.scans import read_manifest
from depara.store.storage import Storage
from tests.attribution.buses import LateBus
from tests.jobs.inline import scan_inline, tiny

MODELS = [tiny("first", 0), tiny("second", 1)]
ROOMY, TIGHT = 2**30, 2**12


def scan(folder: Path, photos: Path, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(Bench, "_bus", lambda self: bus)
        return scan_inline(str(folder), photos, MODELS)


@pytest.fixture(scope="module")
def on_host(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ScanSummary]:
    """The scan without a device, and what it says of itself."""
    output = str(tmp_path_factory.mktemp("host"))
    return output, scan_inline(output, photos, MODELS)


@pytest.mark.parametrize("device_bytes", [ROOMY, TIGHT])
@pytest.mark.parametrize("bus_class", [Bus, LateBus])
def test_the_tables_are_those_of_the_host(
    bus_class: type[Bus],
    device_bytes: int,
    on_host: tuple[str, ScanSummary],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = bus_class(memory_bytes=device_bytes)
    assert scan(tmp_path / "device", photos, bus, monkeypatch).failures == ()
    output, summary = on_host
    assert summary.failures == ()
    device, host = open_scan(str(tmp_path / "device")), open_scan(output)
    one, other = (found.table("similarity") for found in (device, host))
    for name in ("node_similarity", "edge_similarity", "rsa", "dds"):
        pd.testing.assert_series_equal(one[name], other[name], atol=1e-5)
    pd.testing.assert_frame_equal(one, other, atol=1e-3)  # some magnify what 12 probes leave open
    assert ("features" in bus.from_device) is (device_bytes == TIGHT)


def test_for_a_zoo_that_fits_only_maps_and_grams_come_back(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus(memory_bytes=ROOMY)
    scan(tmp_path, photos, bus, monkeypatch)
    results = open_scan(str(tmp_path))
    num_probes, graphs = len(results.table("probes")), len(results.table("layers"))
    side = results.canvas(0).shape[0]
    assert set(bus.from_device) == {"maps", "grams", "checks"}
    per_map = 2 * side**2 + 4 + 8  # float16 map, float32 norm, float64 conditioning
    assert bus.from_device["maps"] == graphs * num_probes * per_map
    assert bus.from_device["grams"] == graphs * 2 * 8 * (num_probes**2 + num_probes)
    assert bus.from_device["checks"] < 1000
    assert set(bus.to_device) == {"probes", "weights"}
    assert bus.to_device["probes"] == num_probes * side**2 * 3, "uploaded once for all models"
    storage = Storage(str(tmp_path))
    moved = read_manifest(storage, results.scan_id)["bytes"]["driver"]  # inline: one process
    assert moved["from_device"] == sum(bus.from_device.values())
    assert moved["to_device"] == sum(bus.to_device.values())


def test_without_a_device_nothing_crosses(on_host: tuple[str, ScanSummary]) -> None:
    moved = on_host[1].spent.traffic
    assert moved.to_device_bytes == moved.from_device_bytes == 0
