"""Rank vectors: their inner product is Spearman's rho, ties and constants included."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import rankdata

from depara.errors import NonFiniteError
from depara.graph import rank_vector
from depara.graph.ranks import WORKSPACE_BYTES_PER_EDGE
from tests.oracle import similarity as oracle

values = st.floats(-1, 1, width=32)
few_values = st.sampled_from([-1.0, -0.5, -0.0, 0.0, 0.25, 1.0])


def expected(edges: np.ndarray) -> np.ndarray:
    ranks = rankdata(edges.astype(np.float64))
    ranks -= ranks.mean()
    norm = np.linalg.norm(ranks)
    return ranks / norm if norm > 0 else ranks


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        hnp.arrays(np.float32, st.integers(1, 60), elements=values),
        hnp.arrays(np.float32, st.integers(1, 60), elements=few_values),
    )
)
def test_vector_is_scipys_average_ranks_centred_and_scaled(edges: np.ndarray):
    vector = rank_vector(edges)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, expected(edges), atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (2, 28), elements=few_values),
    st.floats(0.125, 8, width=32),
)
def test_inner_product_is_spearmans_rho(pair: np.ndarray, scale: float):
    a, b = pair
    rho = float(rank_vector(a).astype(np.float64) @ rank_vector(b * np.float32(scale)))
    assert rho == pytest.approx(oracle.edge_similarity(a, b), abs=1e-6)


@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_many_edges_with_and_without_ties(decimals: int):
    edges = np.random.default_rng(0).standard_normal(19_900).round(decimals).astype(np.float32)
    vector = rank_vector(edges)
    np.testing.assert_allclose(vector, expected(edges), atol=1e-8)
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_constant_edges_have_the_zero_vector(size: int):
    assert rank_vector(np.full(size, 0.25, dtype=np.float32)).tolist() == [0.0] * size


def test_no_edges_have_the_empty_vector():
    assert rank_vector(np.empty(0, dtype=np.float32)).size == 0


def test_minus_zero_ties_with_zero():
    assert rank_vector(np.array([-0.0, 0.0], dtype=np.float32)).tolist() == [0.0, 0.0]


def test_infinitesimal_differences_are_ranked():
    tiny = np.array([1e-45, 0.0, -1e-45], dtype=np.float32)
    np.testing.assert_allclose(rank_vector(tiny), [0.5**0.5, 0, -(0.5**0.5)], atol=1e-7)


@pytest.mark.parametrize("num_values", [1, 7, 50_000, 100_000])
def test_workspace_stays_within_its_stated_bound(num_values: int):
    edges = np.random.default_rng(0).permutation(100_000) % num_values
    edges = edges.astype(np.float32)
    tracemalloc.start()
    rank_vector(edges)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < WORKSPACE_BYTES_PER_EDGE * edges.size


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_edges_are_refused(value: float):
    with pytest.raises(NonFiniteError, match="1 of 3 edges"):
        rank_vector(np.array([0.0, value, 1.0], dtype=np.float32))


@pytest.mark.parametrize("edges", [np.zeros(3), np.zeros((2, 2), dtype=np.float32)])
def test_other_shapes_and_types_are_refused(edges: np.ndarray):
    with pytest.raises(ValueError, match="float32 vector"):
        rank_vector(edges)
