"""The arc between two heads: by hand, exact for near ones, and over a scan."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depara import open_scan
from depara.ensembles import head_distances, logit_fisher_rao
from depara.errors import ConfigError

P, Q = np.log([[0.9, 0.05, 0.05]]), np.log([[0.05, 0.05, 0.9]])


def test_it_is_twice_the_arc_of_the_roots():
    assert logit_fisher_rao(P, Q) == pytest.approx(2.15334, abs=5e-6)
    cosine = 2 * math.sqrt(0.9 * 0.05) + 0.05
    assert logit_fisher_rao(P, Q) == pytest.approx(2 * math.acos(cosine))
    both = logit_fisher_rao(np.vstack([P, P]), np.vstack([Q, P]))
    assert both == pytest.approx(math.acos(cosine))


def test_it_is_a_distance_that_shifts_of_logits_do_not_change():
    rng = np.random.default_rng(0)
    one, other, third = rng.standard_normal((3, 6, 4)).astype(np.float32)
    assert logit_fisher_rao(one, one) == 0.0
    assert logit_fisher_rao(one, other) == logit_fisher_rao(other, one)
    assert logit_fisher_rao(one + 3, other) == pytest.approx(logit_fisher_rao(one, other), rel=1e-5)
    through = logit_fisher_rao(one, third) + logit_fisher_rao(third, other)
    assert logit_fisher_rao(one, other) <= through


def test_near_heads_are_told_apart_and_opposite_ones_are_pi_apart():
    # Two classes: the arc is d / sqrt(p q) for a small step d of p, here sqrt(p q) of the logit's.
    step = logit_fisher_rao(np.array([[0.0, 0.0]]), np.array([[1e-7, 0.0]]))
    assert step == pytest.approx(0.5e-7, rel=1e-6)
    far = logit_fisher_rao(np.array([[500.0, -500.0]]), np.array([[-500.0, 500.0]]))
    assert far == pytest.approx(math.pi)


def test_heads_of_a_scan(classifiers: str, scan_folder: str):
    table = head_distances(open_scan(classifiers))
    assert list(table.index) == list(table.columns)
    assert {"a", "b", "c"} <= set(table.index)
    assert "encoder" not in table.index
    np.testing.assert_array_equal(np.diag(table), 0.0)
    np.testing.assert_array_equal(table, table.T)
    assert 0 < table.loc["a", "b"] < math.pi
    with pytest.raises(ConfigError, match="keeps the return value of 0 models, two are needed"):
        head_distances(open_scan(scan_folder))
