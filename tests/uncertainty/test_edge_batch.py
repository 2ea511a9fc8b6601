"""Weighted ranks of resampled edges against Spearman's rho of the edge list written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depara.errors import NonFiniteError
from depara.graph import edge_count, rank_vector
from depara.types import Float32, Float64
from depara.uncertainty import edge_batch
from depara.uncertainty.edge_batch import EdgeBatch
from depara.uncertainty.edge_order import edge_order
from depara.uncertainty.weights import probe_weights
from tests.oracle import uncertainty as oracle
from tests.uncertainty.zoo import tied_block


def spearman(edges_GE: Float32, weights_RN: Float32) -> Float64:
    """Spearman's rho of all pairs of graphs under each resample, ``(R, G, G)``."""
    batch = EdgeBatch(weights_RN)
    dtype = batch.weights_V.dtype
    ranks_GV = np.empty((len(edges_GE), batch.num_values), dtype=dtype)
    orders = [edge_order(edges_E) for edges_E in edges_GE]
    rows = zip(orders, ranks_GV, strict=True)
    norms_GR = np.stack([batch.rank(order, out) for order, out in rows])
    products = batch.products(ranks_GV, ranks_GV * batch.weights_V)
    norms = norms_GR.T[:, :, None] * norms_GR.T[:, None, :]
    return np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)


def assert_like_the_oracle(edges_GE: Float32, weights_RN: Float32, tolerance: float) -> None:
    rho = spearman(edges_GE, weights_RN)
    for r, weights_N in enumerate(weights_RN):
        for a, left in enumerate(edges_GE):
            for b, right in enumerate(edges_GE[: a + 1]):
                expected = oracle.resampled_edge_similarity(left, right, weights_N)
                assert rho[r, a, b] == pytest.approx(expected, abs=tolerance)
                assert rho[r, b, a] == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("num_probes", [4, 5, 14])
def test_rho_is_that_of_the_explicit_list(num_probes: int):
    edges = tied_block(5, num_probes).edges_GE
    sizes = (num_probes // 2,) if num_probes > 6 else ()
    weights = probe_weights(num_probes, num_resamples=12, subset_probes=sizes, num_subsets=3)
    assert_like_the_oracle(edges, weights.weights_RN, 2e-6)


def test_ranks_are_exact_in_float64(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(edge_batch, "_MAX_FLOAT32_EDGES", 1)
    weights = probe_weights(14, num_resamples=12).weights_RN
    assert_like_the_oracle(tied_block(5, 14).edges_GE, weights, 1e-12)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), num_probes=st.integers(3, 6))
def test_rho_is_that_of_the_explicit_list_whatever_the_ties(data, num_probes: int):
    few = st.integers(-2, 2).map(lambda value: value / 4)
    edges = st.lists(few, min_size=(size := edge_count(num_probes)), max_size=size)
    counts = st.lists(st.integers(0, 3), min_size=num_probes, max_size=num_probes)
    edges_GE = np.array([data.draw(edges) for _ in range(2)], dtype=np.float32)
    weights_RN = np.array([data.draw(counts) for _ in range(2)], dtype=np.float32)
    assert_like_the_oracle(edges_GE, weights_RN, 2e-6)


@pytest.mark.parametrize("step_values", [1, 7, 64, 10**6])
@pytest.mark.parametrize("block_edges", [3, 100, 10**6])
@pytest.mark.parametrize("tie_rows", [1, 10])
def test_the_cut_of_the_work_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, step_values: int, block_edges: int, tie_rows: int
):
    edges, weights = tied_block(5, 16).edges_GE, probe_weights(16, num_resamples=5).weights_RN
    expected = spearman(edges, weights)
    monkeypatch.setattr(edge_batch, "_STEP_VALUES", step_values)
    monkeypatch.setattr(edge_batch, "_BLOCK_EDGES", block_edges)
    monkeypatch.setattr(edge_batch, "_TIE_ROWS", tie_rows)
    np.testing.assert_allclose(spearman(edges, weights), expected, atol=1e-6)


def test_all_probes_once_give_the_edge_similarity_itself():
    edges = tied_block(6, 60).edges_GE
    ranks = np.stack([rank_vector(edges_E) for edges_E in edges]).astype(np.float64)
    rho = spearman(edges, np.ones((1, 60), dtype=np.float32))
    np.testing.assert_allclose(rho[0], ranks @ ranks.T, atol=5e-6)


def test_resamples_of_a_batch_do_not_touch_each_other():
    edges, weights = tied_block(5, 20).edges_GE, probe_weights(20, num_resamples=6).weights_RN
    together = spearman(edges, weights)
    apart = np.concatenate([spearman(edges, row[None]) for row in weights])
    np.testing.assert_allclose(together, apart, atol=1e-6)


def test_nothing_to_rank_is_zero():
    edges = tied_block(4, 6).edges_GE
    weights = np.zeros((3, 6), dtype=np.float32)
    weights[0, 2] = 6  # one probe six times: no edge
    weights[1, :2] = 3  # one edge nine times
    weights[2, :3] = 2
    rho = spearman(edges, weights)
    np.testing.assert_array_equal(rho[:2], 0)
    np.testing.assert_array_equal(rho[2, 0], 0)  # constant edges
    assert rho[2, 3, 3] == pytest.approx(1, abs=1e-6)


def test_monotone_transforms_change_nothing():
    edges, weights = tied_block(5, 15).edges_GE, probe_weights(15, num_resamples=4).weights_RN
    stretched = edges.copy()
    stretched[3:] = np.exp(3 * stretched[3:])
    np.testing.assert_array_equal(spearman(stretched, weights), spearman(edges, weights))
    flipped = spearman(np.concatenate([edges[3:4], -edges[3:4]]), weights)
    np.testing.assert_allclose(flipped[:, 0, 1], -1, atol=1e-6)


def test_edges_that_are_not_finite_are_refused():
    edges = tied_block(4, 6).edges_GE[3]
    edges[[2, 5]] = np.nan, np.inf
    with pytest.raises(NonFiniteError, match="2 of 15 edges are NaN or infinite"):
        edge_order(edges)
