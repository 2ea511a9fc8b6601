"""``s = sum_k w_k s_k``, and the same at another lambda."""

from __future__ import annotations

import numpy as np
import pytest

from depara.similarity import at_lambda, combine
from depara.similarity.combine import describe_terms

SCORES = {
    "node_similarity": np.array([[0.5, -0.25]]),
    "node_centred": np.array([[0.25, 0.75]]),
    "edge_similarity": np.array([[1.0, 0.5]], dtype=np.float32),
}


def test_terms_are_added_by_their_weights():
    combined = combine(SCORES, {"node": 1.0, "edge": 2.0})
    assert combined.dtype == np.float64
    assert combined.tolist() == [[2.5, 0.75]]
    assert combine(SCORES, {"edge": 0.0, "node": 1.0, "directed": 0.0}).tolist() == [[0.5, -0.25]]
    assert combine(SCORES, {"node_centred": 4.0, "edge": 1.0}).tolist() == [[2.0, 3.5]]


def test_another_lambda_is_the_same_sum_with_another_weight():
    terms = {"node": 1.0, "node_centred": 0.5, "edge": 2.0}
    edge = SCORES["edge_similarity"]
    found = at_lambda(combine(SCORES, terms), edge, 2.0, 5.0)
    np.testing.assert_allclose(found, combine(SCORES, {**terms, "edge": 5.0}), atol=1e-15)


@pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf])
def test_weights_are_finite_and_not_negative(weight: float):
    with pytest.raises(ValueError, match="finite and at least 0"):
        combine(SCORES, {"node": 1.0, "edge": weight})
    with pytest.raises(ValueError, match="finite and at least 0"):
        at_lambda(np.zeros(1), np.zeros(1), 2.0, weight)


def test_unknown_terms_and_other_shapes_are_refused():
    with pytest.raises(ValueError, match="edg"):
        combine(SCORES, {"edg": 1.0})
    with pytest.raises(ValueError, match="the terms are node"):
        combine(SCORES, {})
    with pytest.raises(ValueError, match="shapes"):
        combine({**SCORES, "node_similarity": np.zeros(3)}, {"node": 1.0, "edge": 1.0})


def test_the_sum_in_words():
    assert describe_terms({"edge": 2.0, "node": 1.0}) == "node + 2 edge"
    assert describe_terms({"node": 0.0, "node_centred": 0.5}) == "0.5 node_centred"
