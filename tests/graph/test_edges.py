"""Edges: cosines from a Gram matrix, in scipy's condensed order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from depara.errors import NonFiniteError
from depara.graph import edge_count, edge_index, edges_from_gram
from tests.oracle import similarity as oracle


@settings(max_examples=40, deadline=None)
@given(num_probes=st.integers(2, 12), size=st.integers(1, 6), seed=st.integers(0, 2**31))
def test_edges_agree_with_pdist(num_probes: int, size: int, seed: int):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((num_probes, size))
    features[rng.random(num_probes) < 0.2] = 0.0
    np.testing.assert_allclose(
        edges_from_gram(features @ features.T), oracle.edges(features), atol=1e-6
    )


def test_index_names_the_probes_of_each_edge_in_condensed_order():
    probe_a, probe_b = edge_index(6)
    assert probe_a.dtype == probe_b.dtype == np.int32
    assert len(probe_a) == edge_count(6) == 15
    square = squareform(np.arange(15))
    np.testing.assert_array_equal(square[probe_a, probe_b], np.arange(15))
    assert (probe_a < probe_b).all()


def test_cosines_do_not_depend_on_the_scale_of_a_feature():
    features = np.random.default_rng(0).standard_normal((5, 4))
    scaled = features * np.array([1e-8, 1.0, 1e8, 3.0, 0.5])[:, None]
    np.testing.assert_allclose(
        edges_from_gram(features @ features.T), edges_from_gram(scaled @ scaled.T), atol=1e-6
    )


def test_a_zero_feature_has_cosine_zero_with_all():
    features = np.ones((4, 3))
    features[2] = 0.0
    assert edges_from_gram(features @ features.T).tolist() == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]


def test_rounding_never_leaves_the_range():
    features = np.repeat(np.random.default_rng(1).standard_normal((1, 50)), 6, axis=0)
    edges = edges_from_gram(features @ features.T * (1 + 1e-12))
    assert edges.dtype == np.float32
    assert (np.abs(edges) <= 1).all()


def test_a_squared_norm_that_rounding_made_negative_counts_as_zero():
    gram = np.array([[-1e-20, 0.5], [0.5, 1.0]])
    assert edges_from_gram(gram).tolist() == [0.0]


def test_non_finite_features_are_named():
    gram = np.eye(4)
    gram[2, 3] = np.nan
    with pytest.raises(NonFiniteError, match="probe 2"):
        edges_from_gram(gram)


@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (3,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="square"):
        edges_from_gram(np.ones(shape))
