"""Scores by each probe's neighbourhood: chance, ties, and what the other scores do not see."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from depara.grams import GraphGrams
from depara.similarity.neighbourhoods import NEAREST, lsim_vector, mutual_knn_vector, nearest
from depara.similarity.scores import score_and_product
from tests.oracle.grams import grams_of
from tests.oracle.scores import lsim as oracle

N = 60


def features(seed: int, num_probes: int = N) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num_probes, 7))


def masks(vector_NN: np.ndarray) -> np.ndarray:
    return vector_NN.reshape(N, N) * np.sqrt(N * NEAREST)


def rows_of(vector: np.ndarray) -> np.ndarray:
    """The matrix of a vector, with the mean that `lsim_vector` takes out put back."""
    matrix_NN = vector[: N * N].reshape(N, N).copy()
    if vector.size > N * N:
        matrix_NN += vector[-1] / np.sqrt(N * (N - 1))
        np.fill_diagonal(matrix_NN, 0.0)
    return matrix_NN


def test_each_row_names_the_nearest_others() -> None:
    mask_NN = masks(mutual_knn_vector(grams_of(features(0))))
    np.testing.assert_allclose(mask_NN.sum(axis=1), NEAREST, rtol=1e-5)
    assert (np.diagonal(mask_NN) == 0).all()
    centred = features(0) - features(0).mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    for probe, row in enumerate(mask_NN > 0):
        cosines = centred @ centred[probe]
        others = ~row
        others[probe] = False
        assert cosines[row].min() > cosines[others].max()


def test_a_random_order_of_probes_gives_k_of_the_others_by_chance() -> None:
    """Each of a probe's k neighbours is one of its k others with chance k / (N-1)."""
    one, other = (masks(mutual_knn_vector(grams_of(features(seed)))) for seed in (0, 1))
    rng = np.random.default_rng(2)
    values = []
    for _ in range(3000):
        order = rng.permutation(N)
        values.append(np.sum(one * other[np.ix_(order, order)]) / (N * NEAREST))
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(NEAREST / (N - 1), abs=4 * error)
    assert error < 5e-4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_over_all_orders_the_mean_is_the_chance_exactly(count: int) -> None:
    size = 6
    one, other = (nearest(features(s, size) @ features(s, size).T, count) for s in (3, 4))
    shares = [
        np.sum(one & other[np.ix_(order, order)]) / (size * count)
        for order in permutations(range(size))
    ]
    assert np.mean(shares) == pytest.approx(count / (size - 1), abs=1e-12)


def test_equal_probes_tie_and_the_first_ones_are_taken() -> None:
    likeness_NN = np.array(
        [
            [9, 1, 1, 1, 2],
            [1, 9, 3, 3, 3 + 1e-9],
            [0, 0, 9, 0, 0],
            [5, 4, 4, 9, 4],
            [1, 2, 3, 4, 9],
        ]
    )
    assert nearest(likeness_NN.astype(float), 2).astype(int).tolist() == [
        [0, 1, 0, 0, 1],
        [0, 0, 1, 1, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0],
    ]


def test_a_shift_that_all_probes_share_decides_nothing() -> None:
    moved = features(0) + 50
    np.testing.assert_array_equal(
        mutual_knn_vector(grams_of(moved)), mutual_knn_vector(grams_of(features(0)))
    )
    assert np.abs(lsim_vector(grams_of(moved)) - lsim_vector(grams_of(features(0)))).max() > 0.01


@pytest.mark.parametrize("vector", [mutual_knn_vector, lsim_vector])
def test_both_see_only_a_few_probes_where_only_a_few_have_moved(
    vector: Callable[[GraphGrams], np.ndarray],
) -> None:
    changed = features(0).copy()
    changed[:3] = features(5)[:3]
    rows, rows_of_changed = (rows_of(vector(grams_of(f))) for f in (features(0), changed))
    per_probe = N * np.sum(rows * rows_of_changed, axis=1)
    assert per_probe[:3].max() < 0.8
    assert per_probe[3:].min() > 0.7
    assert np.median(per_probe[3:]) > 0.9


def test_a_probe_like_no_other_counts_as_0_for_lsim() -> None:
    orthogonal = np.eye(4)
    orthogonal[2, :2] = 1.0  # 2 is like 0 and 1; 3 is like none
    vector = lsim_vector(grams_of(orthogonal))
    assert np.isfinite(vector).all()
    assert float(vector @ vector) == pytest.approx(3 / 4)


def test_lsim_keeps_what_tells_graphs_apart_where_all_cosines_are_near_1() -> None:
    """The product of the matrices alone is exact to their own size, not to that of the score."""
    near = [features(seed) + 300 for seed in (0, 1)]
    vectors = [lsim_vector(grams_of(f)) for f in near]
    exact = []
    for x in near:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        cosine_NN = unit @ unit.T
        np.fill_diagonal(cosine_NN, 0)
        cosine_NN /= np.linalg.norm(cosine_NN, axis=1, keepdims=True) * np.sqrt(N)
        cosine_NN -= cosine_NN.sum() / (N * (N - 1))
        np.fill_diagonal(cosine_NN, 0)
        exact.append(cosine_NN)
    score, product = score_and_product("lsim", vectors[0][None], vectors[1][None])
    assert score[0, 0] == pytest.approx(oracle(*near), abs=2e-7)
    assert score[0, 0] > 1 - 1e-6
    size = np.linalg.norm(exact[0]) * np.linalg.norm(exact[1])
    assert size < 1e-6
    assert product[0, 0] == pytest.approx(np.sum(exact[0] * exact[1]), abs=1e-4 * size)
