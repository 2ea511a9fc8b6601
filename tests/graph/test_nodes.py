"""Node maps: unit norm in float16, the norm beside it, zero and non-finite maps."""

from __future__ import annotations

import numpy as np
import pytest

from depara.errors import NonFiniteError
from depara.graph import nodes, normalize_maps


def test_each_map_has_unit_norm_and_keeps_its_norm_and_direction():
    maps = np.random.default_rng(0).standard_normal((7, 500)).astype(np.float32) * 3.0
    nodes_of_graph = normalize_maps(maps)
    exact = np.linalg.norm(maps.astype(np.float64), axis=1)
    np.testing.assert_allclose(nodes_of_graph.norms_N, exact, rtol=1e-6)
    np.testing.assert_allclose(
        nodes_of_graph.maps_NP.astype(np.float64), maps / exact[:, None], atol=2e-4
    )
    norms = np.linalg.norm(nodes_of_graph.maps_NP.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, 1.0, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e-5, 1.0, 1e30])
def test_scale_changes_the_norm_only(scale: float):
    """A sum of squares in float32 would underflow or overflow at both ends."""
    maps = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
    plain, scaled = normalize_maps(maps), normalize_maps(maps * np.float32(scale))
    np.testing.assert_allclose(
        scaled.maps_NP.astype(np.float64), plain.maps_NP.astype(np.float64), atol=1e-3
    )
    np.testing.assert_allclose(scaled.norms_N, plain.norms_N * np.float32(scale), rtol=1e-5)


def test_a_zero_map_stays_zero_with_norm_zero():
    maps = np.ones((3, 4), dtype=np.float32)
    maps[1] = 0
    nodes_of_graph = normalize_maps(maps)
    assert not nodes_of_graph.maps_NP[1].any()
    assert nodes_of_graph.norms_N.tolist() == [2.0, 0.0, 2.0]


def test_blocks_of_rows_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch):
    maps = np.random.default_rng(2).standard_normal((10, 33))
    whole = normalize_maps(maps)
    monkeypatch.setattr(nodes, "_BLOCK_BYTES", 3 * 33 * 8)
    parts = normalize_maps(maps)
    np.testing.assert_array_equal(whole.maps_NP, parts.maps_NP)
    np.testing.assert_array_equal(whole.norms_N, parts.norms_N)


def test_the_input_is_left_alone():
    maps = np.full((2, 3), 5.0)
    normalize_maps(maps)
    assert (maps == 5.0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_map_is_named(value: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nodes, "_BLOCK_BYTES", 2 * 5 * 8)
    maps = np.ones((6, 5), dtype=np.float32)
    maps[4, 2] = value
    with pytest.raises(NonFiniteError, match="probe 4 "):
        normalize_maps(maps)


@pytest.mark.parametrize("maps", [np.ones((2, 3, 4)), np.ones((2, 3), dtype=np.int32)])
def test_other_shapes_and_types_are_refused(maps: np.ndarray):
    with pytest.raises(ValueError, match=r"floating point of shape \(probes, pixels\)"):
        normalize_maps(maps)


def test_no_probes_give_no_nodes():
    assert normalize_maps(np.empty((0, 9))).maps_NP.shape == (0, 9)
