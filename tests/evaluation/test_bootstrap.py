"""Intervals of means over targets: seeded, of the right width, honest about one target."""

from __future__ import annotations

import numpy as np
import pytest

from depara.evaluation.baselines import Known, baseline_scores
from depara.evaluation.bootstrap import draw_resamples, mean_intervals
from depara.evaluation.metrics import spearman
from depara.evaluation.queries import match
from tests.evaluation.transfers import random_truth


def test_resamples_draw_as_many_queries_with_replacement() -> None:
    weights_BQ = draw_resamples(6, 500, seed=0)
    assert weights_BQ.shape == (500, 6)
    np.testing.assert_allclose(weights_BQ.sum(axis=1), 1)
    assert set((weights_BQ * 6).round(9).ravel().tolist()) <= {0, 1, 2, 3, 4, 5, 6}
    # A query is left out of a resample with probability (1 - 1/6)^6 = 0.335.
    assert (weights_BQ == 0).mean() == pytest.approx(0.335, abs=0.03)


def test_the_seed_decides() -> None:
    same, again, other = (draw_resamples(5, 50, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


def test_an_interval_agrees_with_the_spread_of_a_mean() -> None:
    values_QX = np.random.default_rng(0).normal(size=(400, 2)) * [1.0, 3.0]
    low, high = mean_intervals(values_QX, draw_resamples(400, 4000, seed=0))
    # 5 % and 95 % of a normal distribution are 1.645 standard errors from the mean.
    errors = 1.645 * values_QX.std(axis=0) / np.sqrt(400)
    np.testing.assert_allclose(low, values_QX.mean(axis=0) - errors, atol=errors.max() / 10)
    np.testing.assert_allclose(high, values_QX.mean(axis=0) + errors, atol=errors.max() / 10)


def test_an_interval_is_that_of_resampled_means_one_by_one() -> None:
    values_QX = np.random.default_rng(1).uniform(size=(7, 1))
    weights_BQ = draw_resamples(7, 99, seed=5)
    means = []
    for weights in weights_BQ:
        drawn = np.repeat(values_QX[:, 0], (weights * 7).round().astype(int))
        assert len(drawn) == 7
        means.append(drawn.mean())
    low, high = mean_intervals(values_QX, weights_BQ)
    assert low[0] == pytest.approx(np.quantile(means, 0.05))
    assert high[0] == pytest.approx(np.quantile(means, 0.95))


@pytest.mark.parametrize(("queries", "resamples"), [(1, 100), (5, 0)])
def test_one_target_or_no_resample_has_no_interval(queries: int, resamples: int) -> None:
    low, high = mean_intervals(np.ones((queries, 3)), draw_resamples(queries, resamples, 0))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_intervals_over_targets_do_not_know_that_other_sources_might_have_been_there() -> None:
    """What docs/questions/good-here.md warns of: on truths of chance the true mean is 0."""
    rng = np.random.default_rng(3)
    covered = []
    for seed in range(100):
        queries = match(random_truth(7, seed), None, 2).queries
        chance = [rng.normal(size=len(query.candidates)) for query in queries]
        both = zip(baseline_scores(queries, Known())["popularity"], chance, strict=True)
        pairs = zip(both, queries, strict=True)
        values_QX = np.array([[spearman(one, q.truth_C) for one in two] for two, q in pairs])
        low, high = mean_intervals(values_QX, draw_resamples(7, 300, 0))
        covered.append((low <= 0) & (high >= 0))
    popularity, score_of_chance = np.mean(covered, axis=0)
    assert popularity == pytest.approx(0.67, abs=0.05)
    assert score_of_chance == pytest.approx(0.80, abs=0.05)
