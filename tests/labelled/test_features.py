"""Labelled probes: what is selected, and the features that the Gram matrix gives back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from depara.labelled import LabelledFeatures
from depara.labelled.features import spectrum
from tests.oracle.grams import grams_of


def features_ND(seed: int = 0, shape: tuple[int, int] = (9, 20)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) + 2.0


def test_components_have_the_features_distances_and_no_mean():
    features = LabelledFeatures.select(grams_of(features_ND()), list("aaabbbccc"))
    assert features.components_Nr.shape == (9, 8)
    np.testing.assert_allclose(pdist(features.components_Nr), pdist(features_ND()), rtol=1e-10)
    np.testing.assert_allclose(features.components_Nr.mean(axis=0), 0.0, atol=1e-10)


def test_components_are_axes_of_descending_variance():
    features = LabelledFeatures.select(grams_of(features_ND()), list("aaabbbccc"))
    covariance = np.cov(features.components_Nr, rowvar=False, ddof=0)
    np.testing.assert_allclose(covariance, np.diag(features.variances_r), atol=1e-10)
    assert (np.diff(features.variances_r) < 0).all()
    expected = np.trace(np.cov(features_ND(), rowvar=False, ddof=0))
    assert features.total_variance == pytest.approx(expected)
    assert features.variances_r.sum() == pytest.approx(expected)


def test_class_means_are_those_of_each_classs_rows():
    features = LabelledFeatures.select(grams_of(features_ND()), list("babacacaa"))
    assert features.class_names == ("a", "b", "c")
    assert features.sizes_K.tolist() == [5, 2, 2]
    means_KD = features.class_means(features_ND())
    np.testing.assert_allclose(means_KD[1], features_ND()[[0, 2]].mean(axis=0))
    np.testing.assert_allclose(means_KD[2], features_ND()[[4, 6]].mean(axis=0))


def test_selected_probes_have_their_own_raw_gram_and_everyones_zscores():
    grams = grams_of(features_ND())
    labels = ["x", None, "y", "x", None, "y", "x", None, None]
    kept = [0, 2, 3, 5, 6]
    features = LabelledFeatures.select(grams, labels)
    alone = grams_of(features_ND()[kept])
    np.testing.assert_allclose(features.raw_NN, alone.raw_NN, rtol=1e-12)
    np.testing.assert_allclose(features.raw_sums_N, alone.raw_sums_N, rtol=1e-12)
    np.testing.assert_array_equal(features.zscored_NN, grams.zscored_NN[np.ix_(kept, kept)])
    assert [features.class_names[number] for number in features.class_N] == list("xyxyx")


def test_directions_of_rounding_are_left_out_of_the_spectrum():
    flat_ND = features_ND(shape=(9, 3)) @ features_ND(1, (3, 50))
    values_r, vectors_Nr = spectrum(flat_ND @ flat_ND.T)
    assert vectors_Nr.shape == (9, 3)
    np.testing.assert_allclose((vectors_Nr * values_r) @ vectors_Nr.T, flat_ND @ flat_ND.T)
    assert spectrum(np.zeros((4, 4)))[0].size == 0
