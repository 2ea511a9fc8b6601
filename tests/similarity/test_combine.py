"""``s = s_V + lambda s_E``."""

from __future__ import annotations

import numpy as np
import pytest

from depara.similarity import combine


def test_edges_are_weighted_by_lambda():
    node, edge = np.array([[0.5, -0.25]]), np.array([[1.0, 0.5]], dtype=np.float32)
    combined = combine(node, edge, 2.0)
    assert combined.dtype == np.float64
    assert combined.tolist() == [[2.5, 0.75]]
    assert combine(node, edge, 0.0).tolist() == node.tolist()


@pytest.mark.parametrize("lambda_", [-0.1, np.nan, np.inf])
def test_lambda_is_finite_and_not_negative(lambda_: float):
    with pytest.raises(ValueError, match="lambda"):
        combine(np.zeros(1), np.zeros(1), lambda_)


def test_shapes_agree():
    with pytest.raises(ValueError, match="shape"):
        combine(np.zeros((2, 3)), np.zeros((3, 2)), 1.0)
