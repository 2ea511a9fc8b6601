"""Agreement of subsets' rankings with the full one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from depara.uncertainty import Stability, summarize_stability
from depara.uncertainty.stability import rank_correlation, ranking_stability, subset_sizes
from depara.uncertainty.weights import probe_weights


def test_subsets_are_shares_of_the_probes_where_they_have_edges():
    assert subset_sizes(200) == (100, 50, 25)
    assert subset_sizes(10) == (5,)  # 2.5 and 1.25 probes have an edge or none
    assert subset_sizes(4) == ()
    assert subset_sizes(24, (0.5, 0.51, 0.9)) == (22, 12)


def test_correlation_is_spearmans_with_average_ranks():
    rng = np.random.default_rng(0)
    full, samples = rng.integers(0, 4, 9) / 4, rng.integers(0, 4, (6, 9)) / 4
    expected = [spearmanr(full, row).statistic for row in samples]
    np.testing.assert_allclose(rank_correlation(full, samples), expected, atol=1e-12)
    assert rank_correlation(full, full[None]) == pytest.approx(1)
    assert rank_correlation(full, np.ones((1, 9))) == 0
    assert np.isnan(rank_correlation(full[:1], samples[:, :1])).all()


def test_each_target_is_correlated_over_its_own_candidates():
    weights = probe_weights(16, num_resamples=2, subset_probes=(8, 4), num_subsets=3)
    samples = np.random.default_rng(0).random((3, 5, 9)).astype(np.float32)
    groups = [[np.array([0, 2, 3, 4])], [], [np.array([1])]]
    stability = ranking_stability(samples, weights, groups)
    assert stability.correlation_FDB.shape == (2, 3, 3)
    assert np.isnan(stability.correlation_FDB[:, :, 1:]).all()
    for size in range(2):
        for draw in range(3):
            row = 3 + 3 * size + draw
            left, right = (samples[0, [0, 2, 3, 4], place] for place in (0, row))
            expected = spearmanr(left, right).statistic
            found = stability.correlation_FDB[size, draw, 0]
            assert found == pytest.approx(expected, abs=1e-12)


def test_the_summary_averages_targets_then_spreads_over_subsets():
    correlation = np.linspace(0, 1, 2 * 5 * 3).reshape(2, 5, 3)
    correlation[:, :, 1] = np.nan
    blocks = [
        Stability(32, (16, 8), correlation[:, :, :2]),
        Stability(32, (16, 8), correlation[:, :, 2:]),
    ]
    rows = summarize_stability(blocks)
    assert [(row.fraction, row.num_probes, row.num_subsets) for row in rows] == [
        (0.5, 16, 5),
        (0.25, 8, 5),
    ]
    for row, mean_D in zip(rows, correlation[:, :, [0, 2]].mean(axis=2), strict=True):
        assert row.correlation == pytest.approx(mean_D.mean())
        assert (row.low, row.high) == pytest.approx(tuple(np.quantile(mean_D, (0.05, 0.95))))


def test_without_targets_to_rank_there_are_no_rows():
    assert summarize_stability([]) == []
    assert summarize_stability([Stability(32, (16,), np.full((1, 5, 2), np.nan))]) == []
    assert summarize_stability([Stability(32, (16,), np.empty((1, 0, 2)))]) == []
    assert summarize_stability([Stability(4, (), np.empty((0, 0, 2)))]) == []


def test_blocks_of_other_subsets_are_refused():
    blocks = [Stability(size, (16,), np.zeros((1, 5, 2))) for size in (32, 64)]
    with pytest.raises(ValueError, match="blocks differ in probes"):
        summarize_stability(blocks)
