"""Resamples of probes: what they draw, and that a seed fixes them."""

from __future__ import annotations

import numpy as np
import pytest

from depara.uncertainty.weights import bootstrap_counts, probe_weights, subset_indicators


def test_rows_are_all_probes_then_resamples_then_subsets():
    weights = probe_weights(12, num_resamples=5, subset_probes=(6, 3), num_subsets=4, seed=1)
    rows_RN = weights.weights_RN
    assert rows_RN.shape == (1 + 5 + 8, 12)
    assert rows_RN.dtype == np.float32
    np.testing.assert_array_equal(rows_RN[0], 1)
    np.testing.assert_array_equal(rows_RN[weights.bootstrap], bootstrap_counts(12, 5, 1))
    for place, size in enumerate((6, 3)):
        subsets = rows_RN[weights.subsets(place)]
        assert len(subsets) == 4
        assert set(np.unique(subsets)) == {0, 1}
        np.testing.assert_array_equal(subsets.sum(axis=1), size)


def test_a_resample_draws_as_many_probes_as_there_are_each_alike():
    counts = bootstrap_counts(40, 4000, seed=0)
    np.testing.assert_array_equal(counts.sum(axis=1), 40)
    # Binomial(40, 1/40): mean 1, variance 39/40; 4,000 draws of each.
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=5 / 4000**0.5)
    assert counts.var() == pytest.approx(39 / 40, rel=0.02)


def test_every_probe_is_as_likely_in_a_subset():
    indicators = subset_indicators(20, 5, 4000, (0,))
    np.testing.assert_allclose(indicators.mean(axis=0), 0.25, atol=5 * 0.43 / 4000**0.5)


def test_the_seed_fixes_all_draws_and_fewer_are_the_first_of_more():
    kwargs = {"subset_probes": (6, 3), "num_subsets": 4}
    first, again = (probe_weights(12, num_resamples=9, seed=3, **kwargs) for _ in range(2))
    np.testing.assert_array_equal(first.weights_RN, again.weights_RN)
    other = probe_weights(12, num_resamples=9, seed=4, **kwargs)
    assert (first.weights_RN[1:] != other.weights_RN[1:]).any(axis=1).all()
    fewer = probe_weights(12, num_resamples=5, seed=3, **kwargs)
    np.testing.assert_array_equal(fewer.weights_RN[:6], first.weights_RN[:6])
    for place in range(2):
        subsets = [w.weights_RN[w.subsets(place)] for w in (fewer, first)]
        np.testing.assert_array_equal(*subsets)


@pytest.mark.parametrize("size", [2, 13])
def test_subsets_of_impossible_size_are_refused(size: int):
    with pytest.raises(ValueError, match=f"a subset of 12 probes has 3 to 12, not {size}"):
        subset_indicators(12, size, 1, (0,))
