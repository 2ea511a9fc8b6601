"""Distances of two sets: closed forms, 0 for the same set, scale, order, and chance."""

from __future__ import annotations

import numpy as np
import pytest

from depara.domains import emd, frechet, pooled
from depara.domains.distances import by_chance
from tests.oracle import domains as oracle

RNG = np.random.default_rng(0)
ONE = RNG.standard_normal((30, 5))
OTHER = RNG.standard_normal((40, 5)) * [1, 2, 3, 1, 1] + [0.5, 0, 0, 0, 1]


def test_frechet_is_that_of_the_gaussians_of_mean_and_covariance():
    expected = oracle.frechet(ONE.mean(0), np.cov(ONE.T), OTHER.mean(0), np.cov(OTHER.T))
    assert frechet(ONE, OTHER) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_diagonal_gaussians_is_the_closed_form():
    # Whitened samples have the covariance exactly: then it is |m|^2 + sum (s - s')^2.
    centred = ONE - ONE.mean(axis=0)
    white = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T)).T)
    scales, shift = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 0, 2, 0, 0])
    expected = 5.0 + float(np.sum((scales - 1) ** 2))
    assert frechet(white, white * scales + shift) == pytest.approx(expected, rel=1e-9)


def test_frechet_with_more_dimensions_than_probes():
    one, other = RNG.standard_normal((6, 50)), RNG.standard_normal((8, 50))
    expected = oracle.frechet(one.mean(0), np.cov(one.T), other.mean(0), np.cov(other.T))
    assert frechet(one, other) == pytest.approx(expected, rel=1e-4)  # the matrix root's own error


@pytest.mark.parametrize("distance", [emd, frechet])
def test_the_same_set_is_at_0_in_any_order_and_sets_are_symmetric(distance):
    assert distance(ONE, ONE) == pytest.approx(0.0, abs=1e-12)
    assert distance(ONE, ONE[RNG.permutation(30)]) == pytest.approx(0.0, abs=1e-12)
    assert distance(ONE, OTHER) == pytest.approx(distance(OTHER, ONE), rel=1e-9)
    assert distance(ONE, OTHER) > 0.1


@pytest.mark.parametrize("distance", [emd, frechet])
def test_pooled_features_have_distances_without_unit(distance):
    expected = distance(*pooled(ONE, OTHER))
    turned = np.linalg.qr(RNG.standard_normal((5, 5)))[0]
    moved = [7.0 * one @ turned + 3.0 for one in (ONE, OTHER)]
    assert distance(*pooled(*moved)) == pytest.approx(expected, rel=1e-9)
    first, second = pooled(ONE, OTHER)
    np.testing.assert_allclose(first.mean(axis=0) + second.mean(axis=0), 0, atol=1e-12)
    assert (np.sum(first**2) / 30 + np.sum(second**2) / 40) / 2 == pytest.approx(1.0)
    constant = np.ones((4, 3))
    assert distance(*pooled(constant, constant)) == 0.0


@pytest.mark.parametrize("distance", [emd, frechet])
def test_chance_is_what_samples_of_one_distribution_have(distance):
    pairs = np.random.default_rng(1).standard_normal((12, 2, 40, 4))
    chances = [by_chance(distance, *pair) for pair in pairs]
    distances = [distance(*pair) for pair in pairs]
    assert np.mean(distances) == pytest.approx(np.mean(chances), rel=0.25)
    (first, second), chance = pairs[0], chances[0]
    assert distance(first, second + 2.0) > 1.5 * by_chance(distance, first, second + 2.0)
    assert by_chance(distance, first, second) == chance
