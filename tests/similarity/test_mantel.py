"""Mean and deviation by chance: against all orders of a few probes, and many of more."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depara.catalog import SCORES
from depara.similarity.condensed import condense
from depara.similarity.layouts import (
    CONDENSED,
    EDGES,
    SQUARE,
    Layout,
    sums_of_condensed,
    sums_of_edges,
    sums_of_square,
)
from depara.similarity.mantel import Moments, chance, moments, moments_of_sums, z_scores
from depara.similarity.scores import find_vectors, score_and_product, score_vectors
from tests.oracle.grams import grams_of
from tests.oracle.mantel import over_all_orders, over_random_orders
from tests.oracle.scores import SCORES as ORACLE

KINDS = ["symmetric", "hollow", "asymmetric", "antisymmetric", "diagonal", "positive"]


def matrix(kind: str, size: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((size, size)) + rng.standard_normal(size)[:, None]
    if kind == "asymmetric":
        return values
    if kind == "antisymmetric":
        return values - values.T
    if kind == "diagonal":
        return np.diag(np.diagonal(values))
    values = values + values.T
    if kind == "hollow":
        np.fill_diagonal(values, 0.0)
    return values + 100 if kind == "positive" else values


def moments_of(matrix_NN: np.ndarray) -> Moments:
    vector = matrix_NN.astype(np.float32).ravel()
    return moments_of_sums(sums_of_square(vector, len(matrix_NN)))[0]


def single(matrix_NN: np.ndarray) -> np.ndarray:
    return matrix_NN.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_mean_and_deviation_are_those_over_all_orders(kind: str, other: str, size: int) -> None:
    a_NN, b_NN = matrix(kind, size, 1), matrix(other, size, 2)
    mean, deviation = over_all_orders(single(a_NN), single(b_NN))
    got_mean, got_deviation = chance([moments_of(a_NN)], [moments_of(b_NN)])
    scale = np.linalg.norm(a_NN) * np.linalg.norm(b_NN)
    assert got_mean[0, 0] == pytest.approx(mean, abs=1e-12 * scale)
    assert got_deviation[0, 0] == pytest.approx(deviation, abs=1e-6 * scale)
    if deviation > 1e-3 * scale:
        assert got_deviation[0, 0] == pytest.approx(deviation, rel=1e-9)


@pytest.mark.parametrize(("kind", "other"), [("symmetric", "positive"), ("asymmetric",) * 2])
def test_of_more_probes_they_are_those_of_random_orders(kind: str, other: str) -> None:
    a_NN, b_NN = matrix(kind, 40, 1), matrix(other, 40, 2)
    values = over_random_orders(single(a_NN), single(b_NN), 4000)
    mean_AB, deviation_AB = chance([moments_of(a_NN)], [moments_of(b_NN)])
    error = values.std() / math.sqrt(values.size)
    assert mean_AB[0, 0] == pytest.approx(values.mean(), abs=4 * error)
    assert deviation_AB[0, 0] == pytest.approx(values.std(), rel=0.06)


def test_every_pair_of_two_blocks_is_that_pair_s() -> None:
    sources = [moments_of(matrix("symmetric", 7, seed)) for seed in range(3)]
    targets = [moments_of(matrix("asymmetric", 7, seed)) for seed in range(2)]
    mean_AB, deviation_AB = chance(sources, targets)
    for row, source in enumerate(sources):
        for column, target in enumerate(targets):
            mean, deviation = chance([source], [target])
            assert mean_AB[row, column] == pytest.approx(mean[0, 0])
            assert deviation_AB[row, column] == pytest.approx(deviation[0, 0])


def test_layouts_sum_what_the_whole_matrix_sums_to() -> None:
    whole = single(matrix("symmetric", 9, 3))
    hollow = single(matrix("hollow", 9, 4))
    upper = hollow[np.triu_indices(9, 1)] * math.sqrt(2)
    for sums, expected in (
        (sums_of_condensed(condense(whole)[None], 9), sums_of_square(whole.ravel(), 9)),
        (sums_of_edges(upper.astype(np.float32)[None], 9), sums_of_square(hollow.ravel(), 9)),
    ):
        for field in ("rows_GN", "columns_GN", "diagonal_GN", "squares_G", "mirrored_G"):
            np.testing.assert_allclose(
                getattr(sums, field), getattr(expected, field), rtol=1e-6, atol=1e-5
            )
    assert [layout.length(9) for layout in (EDGES, CONDENSED, SQUARE)] == [36, 45, 81]


@pytest.mark.parametrize("size", [5, 40, 200])
def test_debiased_cka_deviates_alike_for_every_two_graphs(size: int) -> None:
    rng = np.random.default_rng(0)
    vectors = [
        score_vectors("cka", grams_of(features), "source")
        for features in (rng.standard_normal((size, 3)), rng.exponential(size=(size, 50)))
    ]
    of_graphs = moments(np.stack(vectors), CONDENSED, size)
    mean_AB, deviation_AB = chance(of_graphs, of_graphs)
    np.testing.assert_allclose(mean_AB, 0, atol=1e-7)
    np.testing.assert_allclose(deviation_AB, math.sqrt(2 / (size * (size - 3))), rtol=1e-6)


def related(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    source = np.maximum(rng.standard_normal((size, 6)) + 0.5, 0)
    return source, np.maximum(source @ rng.standard_normal((6, 9)) + rng.exponential(size=9), 0)


@pytest.mark.parametrize("name", SCORES)
def test_z_of_every_score_is_its_place_among_the_scores_of_permuted_probes(name: str) -> None:
    """The oracle of the score itself, of features in random orders, as the papers write it."""
    size, draws = 24, 30 if name.startswith("rsa") else 80
    source, target = related(size)
    layout = find_vectors(name).layout
    one = score_vectors(name, grams_of(source), "source")
    other = score_vectors(name, grams_of(target), "target")
    [of_one], [of_other] = (moments(vector[None], layout, size) for vector in (one, other))
    value = ORACLE[name](source, target)
    rng = np.random.default_rng(6)
    values = [ORACLE[name](source, target[rng.permutation(size)]) for _ in range(draws)]
    scores, products = score_and_product(name, one[None], other[None])
    own = scores[0, 0] - products[0, 0]  # the same for every order
    mean_AB, deviation_AB = chance([of_one], [of_other])
    error = deviation_AB[0, 0] / math.sqrt(draws)
    assert mean_AB[0, 0] + own == pytest.approx(np.mean(values), abs=4 * error)
    assert deviation_AB[0, 0] == pytest.approx(np.std(values), rel=0.3)
    z_AB = z_scores(products, [of_one], [of_other])
    assert z_AB.dtype == np.float32
    expected = (value - mean_AB[0, 0] - own) / deviation_AB[0, 0]
    assert z_AB[0, 0] == pytest.approx(expected, abs=1e-4)


def test_mutual_knn_has_the_mean_that_its_meaning_states() -> None:
    for size in (22, 60):
        vectors = [score_vectors("mutual_knn", grams_of(x), "source") for x in related(size)]
        mean_AB, _ = chance(*(moments(vector[None], SQUARE, size) for vector in vectors))
        assert mean_AB[0, 0] == pytest.approx(20 / (size - 1), rel=1e-6)


def test_what_no_order_changes_has_no_z() -> None:
    constant = np.full((6, 6), 0.3)
    np.fill_diagonal(constant, 7.0)
    fixed, other = moments_of(constant), moments_of(matrix("asymmetric", 6, 0))
    zero = moments_of(np.zeros((6, 6)))
    for pair in ((fixed, other), (other, fixed), (zero, other)):
        assert np.isnan(z_scores(np.zeros((1, 1)), [pair[0]], [pair[1]]))[0, 0]
    assert np.isfinite(z_scores(np.zeros((1, 1)), [other], [other]))[0, 0]


def test_a_vector_that_is_no_matrix_has_no_moments() -> None:
    assert not moments(np.ones((1, 4), np.float32), Layout(lambda count: count), 4)


@pytest.mark.parametrize("size", [2, 3, 9])
def test_moments_of_many_are_those_of_each(size: int) -> None:
    vectors = np.stack([matrix(KINDS[seed % 6], size, seed).ravel() for seed in range(150)])
    found = moments(vectors.astype(np.float32), SQUARE, size)
    assert len(found) == 150
    for vector, one in zip(vectors, found, strict=True):
        due = moments_of(vector.reshape(size, size))
        np.testing.assert_allclose(one.mean_2, due.mean_2, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(one.variance_8, due.variance_8, rtol=1e-9, atol=1e-12)
