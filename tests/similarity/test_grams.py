"""The matrices that are derived from feature Grams."""

from __future__ import annotations

import numpy as np
import pytest

from depara.similarity.condensed import condense, condensed_length
from depara.similarity.grams import centred, cosine_matrix, pearson_matrix, u_centred
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
