"""The matrices that are derived from feature Grams."""

from __future__ import annotations

import numpy as np
import pytest

from depara.grams import centred, centred_gram
from depara.similarity.condensed import condense, condensed_length
from depara.similarity.grams import (
    cosine_matrix,
    distances,
    gaussian_kernel,
    inverse,
    pearson_matrix,
    u_centred,
)
from tests.oracle.grams import grams_of
from tests.oracle.scores import hsic_over_quadruples


def features(seed: int = 0, shape: tuple[int, int] = (7, 12)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) * 3 + 1


def test_cosines_are_1_with_oneself_and_0_with_a_zero_feature():
    features_ND = features()
    features_ND[3] = 0
    cosine_NN = cosine_matrix(features_ND @ features_ND.T)
    expected = features_ND[0] @ features_ND[1]
    expected /= np.linalg.norm(features_ND[0]) * np.linalg.norm(features_ND[1])
    assert cosine_NN[0, 1] == pytest.approx(expected, abs=1e-14)
    np.testing.assert_allclose(np.delete(np.diagonal(cosine_NN), 3), 1.0)
    assert (cosine_NN[3] == 0).all()
    assert (cosine_NN[:, 3] == 0).all()


def test_pearson_correlations_are_numpys():
    features_ND = features()
    grams = grams_of(features_ND)
    correlation_NN = pearson_matrix(grams.raw_NN, grams.raw_sums_N, grams.num_features)
    np.testing.assert_allclose(correlation_NN, np.corrcoef(features_ND), atol=1e-12)


def test_a_probe_of_equal_features_correlates_0():
    features_ND = features()
    features_ND[2] = 0.1
    grams = grams_of(features_ND)
    correlation_NN = pearson_matrix(grams.raw_NN, grams.raw_sums_N, grams.num_features)
    assert (correlation_NN[2] == 0).all()
    assert (correlation_NN[:, 2] == 0).all()
    assert np.count_nonzero(correlation_NN) == 36


def test_centring_is_a_product_with_the_centring_matrix():
    gram_NN = features() @ features().T
    centring = np.eye(7) - 1 / 7
    np.testing.assert_allclose(centred(gram_NN), centring @ gram_NN @ centring, atol=1e-12)


def test_u_centred_products_are_the_u_statistic_over_all_quadruples():
    source_ND, target_ND = features(0), features(1, (7, 5))
    product = np.sum(u_centred(source_ND @ source_ND.T) * u_centred(target_ND @ target_ND.T))
    expected = hsic_over_quadruples(source_ND, target_ND)
    assert product / (7 * 4) == pytest.approx(expected, rel=1e-10)


def test_condensed_matrices_keep_their_inner_product():
    a_NN, b_NN = features() @ features().T, features(1) @ features(1).T
    a_V, b_V = condense(a_NN), condense(b_NN)
    assert a_V.dtype == np.float32
    assert a_V.shape == (condensed_length(7),) == (28,)
    assert float(a_V.astype(float) @ b_V) == pytest.approx(np.sum(a_NN * b_NN), rel=1e-6)
    np.testing.assert_allclose(a_V[:3], [a_NN[0, 0], 2**0.5 * a_NN[0, 1], 2**0.5 * a_NN[0, 2]])


def test_distances_are_those_of_the_features():
    features_ND = features() + 20
    expected_NN = np.linalg.norm(features_ND[:, None] - features_ND, axis=2)
    got_NN = distances(centred_gram(features_ND @ features_ND.T))
    np.testing.assert_allclose(got_NN, expected_NN, atol=1e-6)
    assert (np.diagonal(got_NN) < 1e-6).all()


def test_a_gram_of_constant_features_is_0_and_of_others_centred():
    features_ND = features()
    deviations_ND = features_ND - features_ND.mean(axis=0)
    got_NN = centred_gram(features_ND @ features_ND.T)
    np.testing.assert_allclose(got_NN, deviations_ND @ deviations_ND.T, atol=1e-10)
    nearly_ND = 1e4 + 1e-3 * features_ND
    assert (centred_gram(nearly_ND @ nearly_ND.T) == 0).all()


@pytest.mark.parametrize("twins", [0, 4])
def test_the_kernel_is_half_a_median_wide_and_equal_probes_do_not_narrow_it(twins: int):
    features_ND = features()
    features_ND[:twins] = features_ND[0]
    distances_NN = np.linalg.norm(features_ND[:, None] - features_ND, axis=2)
    pairs = distances_NN[np.triu_indices(7, 1)]
    width = np.median(pairs[pairs > 0]) / 2
    expected_NN = np.exp(-(distances_NN**2) / (2 * width**2))
    np.testing.assert_allclose(gaussian_kernel(distances_NN, 0.5), expected_NN, rtol=1e-12)


def test_debiased_cka_of_a_wide_kernel_tends_to_the_linear_one():
    """Alvarez 2021: the difference vanishes as the width to the power -2."""

    def alignment(first_NN: np.ndarray, second_NN: np.ndarray) -> float:
        first_NN, second_NN = u_centred(first_NN), u_centred(second_NN)
        norms = np.linalg.norm(first_NN) * np.linalg.norm(second_NN)
        return float(np.sum(first_NN * second_NN) / norms)

    one_ND = features(0, (30, 5))
    grams = [x @ x.T for x in (one_ND, np.tanh(one_ND) + features(1, (30, 5)) / 9)]
    apart = [distances(centred_gram(one)) for one in grams]
    linear = alignment(*grams)
    errors = [
        abs(alignment(*(gaussian_kernel(one, width) for one in apart)) - linear)
        for width in (0.5, 5.0, 50.0, 500.0)
    ]
    assert errors[0] > 0.01
    assert errors[1] < errors[0] / 5
    assert errors[2] == pytest.approx(errors[1] / 100, rel=0.1)
    assert errors[3] < 1e-6


def test_an_inverse_is_of_a_positive_definite_matrix():
    matrix_NN = features() @ features().T + np.eye(7)
    np.testing.assert_allclose(inverse(matrix_NN) @ matrix_NN, np.eye(7), atol=1e-9)
    with pytest.raises(np.linalg.LinAlgError):
        inverse(-np.eye(3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(2, 2), (2, 5)])
def test_what_is_not_finite_has_no_inverse(value: float, place: tuple[int, int]) -> None:
    matrix_NN = 2 * np.eye(7)
    matrix_NN[place] = matrix_NN[place[::-1]] = value
    with pytest.raises(np.linalg.LinAlgError, match=r"NaN or infinity"):
        inverse(matrix_NN)
