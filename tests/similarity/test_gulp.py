"""GULP: its distance is that of predictions, and small distances are not lost to rounding."""

from __future__ import annotations

import numpy as np
import pytest

from depara.grams import centred_gram
from depara.similarity.gulp import RIDGE, gulp_source, gulp_target, smoother
from depara.similarity.scores import find_vectors, score_and_product
from tests.oracle.grams import grams_of
from tests.oracle.scores import gulp as oracle

N = 50


def features(seed: int, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N, width)) * np.arange(1, width + 1)


def score(source_ND: np.ndarray, target_ND: np.ndarray) -> float:
    source, target = gulp_source(grams_of(source_ND)), gulp_target(grams_of(target_ND))
    return float(source.astype(np.float64) @ target)


def test_it_is_the_mean_difference_of_two_ridge_regressions_of_random_labels() -> None:
    labels_NL = np.random.default_rng(9).standard_normal((N, 40_000))
    predicted = []
    for x in (features(0), features(1, 5)):
        centred = x - x.mean(axis=0)
        centred *= np.sqrt(N) / np.linalg.norm(centred)
        covariance = centred.T @ centred / N + RIDGE * np.eye(x.shape[1])
        predicted.append(centred @ np.linalg.solve(covariance, centred.T @ labels_NL / N))
    squared = np.sum((predicted[0] - predicted[1]) ** 2, axis=0)
    error = squared.std() / np.sqrt(squared.size) / (N - 1)
    assert score(features(0), features(1, 5)) == pytest.approx(
        1 - squared.mean() / (N - 1), abs=4 * error
    )


@pytest.mark.parametrize("amount", [1e-1, 1e-2, 1e-3])
def test_small_distances_are_resolved(amount: float) -> None:
    """The two norms and the product cancel: what single precision loses is at most 5e-7."""
    near = features(0) + amount * features(2)
    expected = oracle(features(0), near)
    assert 1 - expected < amount
    assert score(features(0), near) == pytest.approx(expected, abs=5e-7)


def test_a_smoother_is_between_0_and_1_and_keeps_no_constant() -> None:
    gram_NN = centred_gram(grams_of(features(0) + 100).raw_NN)
    smoother_NN = smoother(gram_NN, RIDGE)
    np.testing.assert_allclose(smoother_NN @ np.ones(N), 0, atol=1e-9)
    values_N = np.linalg.eigvalsh(smoother_NN)
    assert values_N.min() > -1e-10
    assert values_N.max() < 1
    gram_NN /= np.trace(gram_NN)
    expected_NN = gram_NN @ np.linalg.inv(gram_NN + RIDGE * np.eye(N))
    np.testing.assert_allclose(smoother_NN, expected_NN, atol=1e-10)


def test_graphs_that_share_nothing_are_near_0_only_if_both_know_all_labels() -> None:
    """``d^2 <= N - 1``, and is that where one predicts all labels and the other none."""
    everything = np.eye(N)
    little = np.outer(np.arange(N), np.ones(3)).astype(float)
    assert score(everything, everything) == pytest.approx(1, abs=1e-6)
    assert score(everything, little) == pytest.approx(oracle(everything, little), abs=5e-7)
    assert score(everything, little) > 0


def test_a_pair_has_one_value_though_a_graph_has_two_vectors() -> None:
    assert find_vectors("gulp").symmetric
    assert not find_vectors("gulp").has_one_vector
    assert score(features(0), features(1)) == pytest.approx(score(features(1), features(0)))
    assert score(features(0), features(0)) == pytest.approx(1, abs=5e-7)


def test_what_tells_smoothers_apart_is_kept_where_they_know_almost_all_labels() -> None:
    """Each is near the centring matrix; the product of the rests is exact to their own size."""
    near = [np.eye(N) + 0.01 * features(seed, N) / N for seed in (0, 1)]
    rests = []
    for x in near:
        rest_NN = smoother(centred_gram(x @ x.T), RIDGE)
        centring_NN = np.eye(N) - 1 / N
        rest_NN -= np.trace(rest_NN) / (N - 1) * centring_NN
        rests.append(rest_NN * np.sqrt(2 / (N - 1)))
    source, target = gulp_source(grams_of(near[0])), gulp_target(grams_of(near[1]))
    values_AB, products_AB = score_and_product("gulp", source[None], target[None])
    assert values_AB[0, 0] == pytest.approx(oracle(*near), abs=5e-7)
    size = np.linalg.norm(rests[0]) * np.linalg.norm(rests[1])
    assert size < 1e-3
    assert products_AB[0, 0] == pytest.approx(np.sum(rests[0] * rests[1]), abs=1e-6 * size)
