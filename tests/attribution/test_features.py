"""Gram matrices against the oracle, in memory and from disk, within their memory."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depara.attribution import FeatureBank
from depara.attribution import features as features_module
from depara.errors import StoreError
from depara.ledger import PARTS
from depara.types import LayerInfo
from tests.conftest import ROOT
from tests.oracle import attribution as oracle

MIB = 2**20


def layer(name: str, num_features: int) -> LayerInfo:
    return LayerInfo(name, 0, 1.0, num_features, (num_features,))


def random_features(count: int, num_features: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, num_features)) * rng.lognormal(0, 2, num_features)
    return (np.maximum(values, 0) + rng.normal(size=num_features) * 5).astype(np.float32)


@pytest.mark.parametrize("normalize", ["zscore", "center", "none"])
@pytest.mark.parametrize("memory_bytes", [64 * MIB, 20_000])
def test_gram_equals_the_oracle_in_memory_and_on_disk(
    normalize: str, memory_bytes: int, tmp_path: Path
) -> None:
    features = random_features(30, 517)
    bank = FeatureBank(30, [layer("a", 517)], memory_bytes=memory_bytes, spill_dir=tmp_path)
    with bank:
        assert bool(bank.spilled_layers) is (memory_bytes < MIB)
        for row0 in (20, 0, 10):
            bank.write("a", row0, torch.from_numpy(features[row0 : row0 + 10]))
        found = bank.gram("a", normalize)
        expected = oracle.gram(features, normalize)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())
        np.testing.assert_allclose(oracle.edges(found), oracle.edges(expected), atol=1e-5)
        np.testing.assert_array_equal(bank.gram("a", normalize), found)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(2, 9),
    num_features=st.integers(1, 40),
    memory_bytes=st.sampled_from([64, 300, 1000, 10**6]),
    batch=st.integers(1, 9),
    normalize=st.sampled_from(["zscore", "center", "none"]),
)
def test_any_shape_any_batches(
    count: int, num_features: int, memory_bytes: int, batch: int, normalize: str
) -> None:
    features = random_features(count, num_features, seed=count * 100 + num_features)
    with FeatureBank(count, [layer("a", num_features)], memory_bytes=memory_bytes) as bank:
        for row0 in reversed(range(0, count, batch)):
            bank.write("a", row0, features[row0 : row0 + batch])
        found = bank.gram("a", normalize)
    expected = oracle.gram(features, normalize)
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(np.abs(expected).max(), 1e-3))


def test_large_means_cost_no_precision() -> None:
    rng = np.random.default_rng(0)
    features = (1000 + rng.normal(size=(40, 300))).astype(np.float32)
    with FeatureBank(40, [layer("a", 300)], memory_bytes=MIB) as bank:
        bank.write("a", 0, features)
        found = bank.gram("a", "zscore")
    expected = oracle.gram(features, "zscore")
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_dimensions_that_do_not_vary_contribute_nothing_to_zscore() -> None:
    features = random_features(10, 6)
    features[:, 1] = 0
    features[:, 3] = 7.3
    features[:, 5] = 7.3 * (1 + 1e-7 * np.random.default_rng(0).normal(size=10))
    with FeatureBank(10, [layer("a", 6)], memory_bytes=MIB) as bank:
        bank.write("a", 0, features)
        found = bank.gram("a", "zscore")
    expected = oracle.gram(features[:, [0, 2, 4]], "zscore")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.trace(found) == pytest.approx(3 * 9, rel=1e-5)


def test_small_layers_stay_in_memory_first(tmp_path: Path) -> None:
    layers = [layer("large", 1000), layer("small", 100), layer("middle", 400)]
    memory_bytes = int(4 * 10 * 600 / PARTS["features"].share)
    with FeatureBank(10, layers, memory_bytes=memory_bytes, spill_dir=tmp_path) as bank:
        assert bank.spilled_layers == ("large",)


def test_rows_may_be_written_again_but_none_may_lack() -> None:
    features = random_features(4, 5)
    with FeatureBank(4, [layer("a", 5)], memory_bytes=MIB) as bank:
        bank.write("a", 0, features[:3] * 9)
        with pytest.raises(AssertionError, match="1 rows were never written"):
            bank.gram("a", "none")
        bank.write("a", 0, features)
        np.testing.assert_allclose(bank.gram("a", "none"), oracle.gram(features, "none"), rtol=1e-5)


def test_values_are_copied() -> None:
    features = random_features(4, 5)
    given_tensor = torch.from_numpy(features.copy())
    with FeatureBank(4, [layer("a", 5)], memory_bytes=MIB) as bank:
        bank.write("a", 0, given_tensor)
        given_tensor.zero_()
        np.testing.assert_allclose(bank.gram("a", "none"), oracle.gram(features, "none"), rtol=1e-5)


def test_a_disk_without_space_is_found_out_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"spilling features needs [\d.]+ GiB, .*compute.spill_dir"
    ) as caught:
        FeatureBank(1000, [layer("a", 10**12)], memory_bytes=MIB, spill_dir=tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_disk_that_fills_up_meanwhile_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FeatureBank(8, [layer("a", 100)], memory_bytes=64, spill_dir=tmp_path) as bank:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(StoreError, match="spilling features needs"):
            bank.write("a", 0, random_features(8, 100))


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_spill_folder_that_is_none_is_an_error(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "x"
    if kind == "file":
        folder.write_text("")
    with pytest.raises(StoreError, match="no such folder to spill"):
        FeatureBank(8, [layer("a", 100)], memory_bytes=64, spill_dir=folder)


def test_the_block_width_respects_the_memory() -> None:
    for count, memory_bytes in [(1000, 4 * 2**30), (100, 96 * MIB), (50_000, 512 * MIB)]:
        width = features_module._block_width(count, memory_bytes // 16)
        assert 1 <= width <= 8192
        assert 4 * count * width <= memory_bytes / 16 or width == 1


_LARGE = """
import resource, sys, numpy as np
from depara.attribution import FeatureBank
from depara.types import LayerInfo
count, num_features = 50, 500_000
rng = np.random.default_rng(0)
signs = rng.integers(0, 2, (count, 8)).astype(np.float32)
batch = np.zeros((2, num_features), np.float32)
with FeatureBank(4, [LayerInfo("w", 0, 1.0, 9, (9,))], memory_bytes=2**20) as warm_up:
    warm_up.write("w", 0, np.ones((4, 9))); warm_up.gram("w", "zscore")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with FeatureBank(count, [LayerInfo("a", 0, 1.0, num_features, (num_features,))],
                 memory_bytes=48 * 2**20, spill_dir=sys.argv[1]) as bank:
    for row0 in range(0, count, 2):
        batch[:] = np.repeat(signs[row0:row0 + 2], num_features // 8, axis=1)
        bank.write("a", row0, batch)
    gram = bank.gram("a", "zscore")
z = (signs - signs.mean(0)) / signs.std(0, ddof=1)
np.testing.assert_allclose(gram, num_features / 8 * (z @ z.T), rtol=1e-4, atol=30)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss in KiB is Linux'")
def test_features_of_twice_the_memory_are_exact_within_it(tmp_path: Path) -> None:
    """100 MB of features in 48 MiB; VGG-19's first layer at 1,000 probes is 12.8 GB in 4 GiB."""
    done = subprocess.run(
        [sys.executable, "-c", _LARGE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert int(done.stdout) * 1024 < 48 * MIB
