"""Node products: exact float16 conversion, all pairs, symmetry, panels, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depara.similarity import edge_similarity, node_similarity
from depara.similarity.engine import products
from depara.similarity.engine.panel import PANEL_COLUMNS, Panel
from depara.similarity.engine.products import NodeProducts


def accumulate_node_products(out_AB: np.ndarray, maps_A, maps_B) -> None:
    """Adds the products of one range; the same object for both blocks is symmetric."""
    is_symmetric = maps_A is maps_B
    added = NodeProducts(*out_AB.shape, symmetric=is_symmetric)
    added.add(maps_A, None if is_symmetric else maps_B)
    out_AB += added.sums_AB


def all_finite_halves() -> np.ndarray:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    return halves[np.isfinite(halves)]


def test_every_finite_float16_is_converted_exactly():
    """Signs, zeros, subnormals and the largest values."""
    halves = all_finite_halves()
    panel = Panel(3, columns=halves.size)
    rows = [halves, halves[::-1].copy(), np.zeros_like(halves)]
    converted = panel.fill(rows, 0, halves.size)
    assert converted.dtype == np.float32
    np.testing.assert_array_equal(converted, np.stack(rows).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_panel_holds_the_columns_asked_for_and_is_reused(dtype: type):
    values = np.random.default_rng(0).standard_normal((40, 1000)).astype(dtype)
    panel = Panel(40, columns=600)
    for start, stop in ((0, 600), (600, 1000), (7, 8)):
        filled = panel.fill(list(values), start, stop)
        np.testing.assert_array_equal(filled, values[:, start:stop].astype(np.float32))
        assert filled.flags.c_contiguous


def exact(maps_a: np.ndarray, maps_b: np.ndarray) -> np.ndarray:
    a, b = (maps.reshape(len(maps), -1).astype(np.float64) for maps in (maps_a, maps_b))
    return a @ b.T


@settings(max_examples=25, deadline=None)
@given(
    sources=st.integers(1, 5),
    targets=st.integers(1, 5),
    probes=st.integers(1, 4),
    pixels=st.sampled_from([1, 7, 5000, PANEL_COLUMNS]),
    dtype=st.sampled_from([np.float16, np.float32]),
    as_list=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_products_of_all_pairs_are_added(
    sources: int, targets: int, probes: int, pixels: int, dtype: type, as_list: bool, seed: int
):
    rng = np.random.default_rng(seed)
    a, b = (
        (rng.standard_normal((graphs, probes, pixels)) / pixels**0.5).astype(dtype)
        for graphs in (sources, targets)
    )
    out = np.full((sources, targets), 10.0)
    accumulate_node_products(out, list(a) if as_list else a, list(b) if as_list else b)
    np.testing.assert_allclose(out, 10 + exact(a, b), atol=2e-6)


def test_the_same_object_twice_is_symmetric_and_equal():
    maps = np.random.default_rng(0).standard_normal((9, 3, 4000)).astype(np.float16) / 64
    same, copied = np.zeros((9, 9)), np.zeros((9, 9))
    accumulate_node_products(same, maps, maps)
    accumulate_node_products(copied, maps, maps.copy())
    np.testing.assert_array_equal(same, same.T)
    np.testing.assert_allclose(same, copied, atol=1e-5)


def test_ranges_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    a, b = ((rng.standard_normal((4, 9, 3000)) / 55).astype(np.float16) for _ in range(2))
    parts = NodeProducts(4, 4)
    for start, stop in ((0, 2), (2, 3), (3, 9)):
        parts.add(a[:, start:stop], b[:, start:stop])
    whole = np.zeros((4, 4))
    accumulate_node_products(whole, a, b)
    np.testing.assert_allclose(parts.sums_AB, whole, atol=1e-6 * 9)


def test_panels_are_even_and_within_the_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "PANEL_COLUMNS", 10)
    assert products._column_cuts(21) == [(0, 7), (7, 14), (14, 21)]
    assert products._column_cuts(10) == [(0, 10)]
    assert products._column_cuts(0) == []


def test_self_similarity_is_the_share_of_maps_that_are_not_zero():
    maps = np.zeros((1, 4, 16), dtype=np.float16)
    maps[0, :3, 5] = 1
    sums = np.zeros((1, 1))
    accumulate_node_products(sums, maps, maps)
    assert node_similarity(sums, 4).tolist() == [[0.75]]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((2, 3, 4), np.float16), np.ones((2, 3, 5), np.float16), "12 map values .* 15"),
        (np.ones((2, 3, 4)), np.ones((2, 3, 4), np.float16), "float64"),
        ([np.ones((3, 4), np.float16), np.ones((2, 4), np.float16)],) * 2
        + (r"float16 \(2, 4\), float16 \(3, 4\)",),
        (np.ones((1, 3, 4), np.float16), np.ones((2, 3, 4), np.float16), "1 graphs for a block of"),
    ],
)
def test_maps_that_do_not_belong_together_are_refused(a: object, b: object, message: str):
    with pytest.raises(ValueError, match=message):
        accumulate_node_products(np.zeros((2, 2)), a, b)


def test_edge_ranges_do_not_change_rho():
    rng = np.random.default_rng(0)
    ranks = rng.standard_normal((5, 40_000)).astype(np.float32)
    ranks /= np.linalg.norm(ranks, axis=1, keepdims=True)
    expected = ranks.astype(np.float64) @ ranks.T.astype(np.float64)
    np.testing.assert_allclose(edge_similarity(ranks[:2], ranks[2:]), expected[:2, 2:], atol=1e-7)
    np.testing.assert_allclose(edge_similarity(ranks, ranks), expected, atol=1e-6)
    with pytest.raises(ValueError, match="40000 edges, target graphs 3"):
        edge_similarity(ranks, ranks[:, :3])
