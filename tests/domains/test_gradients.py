"""Principal gradients: against autograd, 0 with itself, 0 to 2, and what they must tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from depara.domains import pge
from depara.domains.gradients import drawn_weights, principal_gradient
from tests.oracle import domains as oracle

RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((3, 6)) * 2


def labelled(seed: int, num: int = 30, shift: float = 0.0) -> tuple[np.ndarray, list[str]]:
    """Probes of three classes around fixed centres."""
    rng = np.random.default_rng(seed)
    classes = np.arange(num) % 3
    return CENTRES[classes] + rng.standard_normal((num, 6)) + shift, [f"c{k}" for k in classes]


def test_it_is_the_mean_of_autograds_gradients():
    features, labels = labelled(0)
    targets = np.eye(3)[[int(label[1]) for label in labels]]
    draws = list(drawn_weights(6, 3, 4))
    expected = oracle.principal_gradient(features, targets, draws)
    got = principal_gradient(features, targets, 4)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_it_is_0_with_itself_symmetric_and_within_its_range():
    one, other = labelled(0), labelled(1)
    assert pge(*one, *one) == 0.0
    order = RNG.permutation(30)
    assert pge(*one, one[0][order], [one[1][i] for i in order]) == pytest.approx(0.0, abs=1e-9)
    assert pge(*one, *other) == pge(*other, *one)
    assert pge(7.0 * one[0], one[1], 7.0 * other[0], other[1]) == pytest.approx(
        pge(*one, *other), rel=1e-9
    )
    swapped = [{"c0": "c1", "c1": "c0"}.get(label, label) for label in one[1]]
    assert 0 < pge(*one, *other) < pge(*one, one[0], swapped) <= 2.0


def test_another_sample_is_nearer_than_another_task_or_domain():
    one, other = labelled(0, 60), labelled(1, 60)
    near = pge(*one, *other)
    assert near < pge(*one, *labelled(1, 60, shift=4.0))
    assert near < pge(*one, other[0], [f"new {label}" for label in other[1]])


def test_features_that_are_all_0_are_at_0():
    zeros = np.zeros((4, 3))
    assert pge(zeros, list("abab"), zeros, list("abab")) == 0.0
