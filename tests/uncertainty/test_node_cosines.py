"""Cosines probe by probe against plain products, and their weighted means."""

from __future__ import annotations

import numpy as np
import pytest

from depara.errors import StoreError
from depara.types import ProbeRange
from depara.uncertainty import node_cosines
from depara.uncertainty.node_cosines import check_cosines
from tests.oracle.similarity import unit_maps
from tests.similarity.engine.array_block import random_block


@pytest.mark.parametrize("num_pixels", [1, 30, 9000])
def test_cosines_are_the_products_of_each_probes_maps(num_pixels: int):
    rng = np.random.default_rng(0)
    maps = [unit_maps(rng.standard_normal((3, num_pixels))) for _ in range(5)]
    maps[1][2] = 0
    cosines = node_cosines(maps[:2], maps[2:])
    assert cosines.shape == (2, 3, 3)
    assert cosines.dtype == np.float32
    for a in range(2):
        for b in range(3):
            products = maps[a].astype(np.float64) * maps[2 + b].astype(np.float64)
            np.testing.assert_allclose(cosines[a, b], products.sum(axis=1), atol=1e-6)
    np.testing.assert_array_equal(cosines[1, :, 2], 0)


def test_graphs_of_different_sizes_are_refused():
    block = random_block(2, 4, 6)
    maps = list(block.maps_GNP)
    with pytest.raises(ValueError, match=r"one shape .* \[\(3, 6\), \(4, 6\)\]"):
        node_cosines(maps, [maps[0][:3]])


@pytest.mark.parametrize("value", [np.nan, 1.5])
def test_cosines_beyond_one_name_pair_and_probe(value: float):
    cosines = np.zeros((2, 3, 4), dtype=np.float32)
    check_cosines(cosines, ProbeRange(10, 14))
    cosines[1, 2, 3] = value
    with pytest.raises(StoreError, match=r"source 1 and target 2 .* probe 13"):
        check_cosines(cosines, ProbeRange(10, 14))
