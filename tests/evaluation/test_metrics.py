"""Metrics of one query against their definitions, ties and all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from depara.evaluation.metrics import (
    expected_hits,
    kendall,
    pearson,
    precision_at,
    recall_at,
    regret_at,
    relative_accuracy,
    relevance,
    spearman,
    weighted_kendall,
)
from tests.oracle import evaluation as oracle

# Few distinct values, so that most examples hold ties.
RANKINGS = st.integers(3, 5).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(0, 3), min_size=count, max_size=count),
        st.lists(st.integers(0, 3), min_size=count, max_size=count),
    )
)
CORRELATIONS = {
    spearman: oracle.spearman,
    kendall: oracle.kendall,
    weighted_kendall: oracle.weighted_kendall,
}


def floats(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(RANKINGS)
def test_precision_and_recall_are_the_mean_over_all_orders_of_ties(
    ranking: tuple[list[int], list[int]],
) -> None:
    scores, truth = ranking
    for relevant in range(1, len(truth)):
        hits = expected_hits(floats(scores), relevance(floats(truth), relevant))
        expected = [oracle.precision(scores, truth, k, relevant) for k in range(1, len(truth) + 1)]
        np.testing.assert_allclose(precision_at(hits), expected, atol=1e-12)
        by_recall = recall_at(hits, relevant) * relevant / np.arange(1, len(truth) + 1)
        np.testing.assert_allclose(by_recall, expected, atol=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(RANKINGS)
def test_regret_is_the_mean_over_all_orders_of_ties(ranking: tuple[list[int], list[int]]) -> None:
    scores, truth = ranking
    assume(len(set(truth)) > 1)
    for k in range(1, len(truth) + 1):
        expected = oracle.regret(scores, truth, k)
        assert regret_at(floats(scores), floats(truth), k) == pytest.approx(expected, abs=1e-12)
    assert regret_at(floats(scores), floats(truth), len(truth) + 5) == 0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(RANKINGS)
def test_correlations_are_their_definitions(ranking: tuple[list[int], list[int]]) -> None:
    scores, truth = ranking
    assume(len(set(truth)) > 1)
    for metric, definition in {**CORRELATIONS, pearson: oracle.pearson}.items():
        expected = definition(scores, truth) if len(set(scores)) > 1 else 0.0
        assert metric(floats(scores), floats(truth)) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(RANKINGS)
def test_relative_accuracy_is_the_mean_over_all_orders_of_ties(
    ranking: tuple[list[int], list[int]],
) -> None:
    scores, truth = ranking
    assume(len(set(truth)) > 1)
    expected = oracle.relative_accuracy(scores, truth)
    assert relative_accuracy(floats(scores), floats(truth)) == pytest.approx(expected, abs=1e-12)


def test_relative_accuracy_needs_values_that_are_not_negative() -> None:
    scores = np.array([3.0, 3.0, 1.0])
    assert relative_accuracy(scores, np.array([60.0, 0.0, 80.0])) == 30 / 80
    assert relative_accuracy(-scores, np.array([60.0, 0.0, 80.0])) == 1
    assert np.isnan(relative_accuracy(scores, np.array([60.0, -1e-9, 80.0])))


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_pearson_holds_for_any_magnitude_and_moves_with_a_monotone_change(size: float) -> None:
    scores, truth = np.array([1.0, 2.0, 4.0]), np.array([0.0, 1.0, 3.0])
    assert pearson(size * scores, truth) == pytest.approx(1)
    assert pearson(size * scores, -truth) == pytest.approx(-1)
    assert pearson(np.exp(scores), truth) < 0.99
    assert pearson(np.full(3, size), truth) == 0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(RANKINGS, st.integers(0, 99))
def test_neither_the_order_of_rows_nor_a_monotone_change_of_scores_matters(
    ranking: tuple[list[int], list[int]], seed: int
) -> None:
    scores, truth = (floats(values) for values in ranking)
    assume(len(set(ranking[1])) > 1)
    order = np.random.default_rng(seed).permutation(len(truth))
    other_scores, other_truth = np.exp(scores[order]), truth[order]
    for metric in CORRELATIONS:
        assert metric(other_scores, other_truth) == pytest.approx(metric(scores, truth), abs=1e-12)
    for k in (1, 3):
        assert regret_at(other_scores, other_truth, k) == pytest.approx(regret_at(scores, truth, k))
    hits = expected_hits(scores, relevance(truth, 2))
    np.testing.assert_allclose(expected_hits(other_scores, relevance(other_truth, 2)), hits)


@pytest.mark.parametrize(("candidates", "relevant"), [(19, 5), (13, 4), (4, 1)])
def test_a_constant_score_gets_what_a_random_ranking_gets(candidates: int, relevant: int) -> None:
    truth = np.random.default_rng(0).normal(size=candidates)
    constant = np.full(candidates, 0.7)
    precision = precision_at(expected_hits(constant, relevance(truth, relevant)))
    for k, value in enumerate(precision, start=1):
        expected = oracle.random_precision(candidates, relevant, k)
        assert value == pytest.approx(expected) == pytest.approx(relevant / candidates)
    assert spearman(constant, truth) == kendall(constant, truth) == 0
    assert weighted_kendall(constant, truth) == 0
    draws = [max(draw) for draw in itertools.combinations(truth, 3)]
    lost = (truth.max() - np.mean(draws)) / (truth.max() - truth.min())
    assert regret_at(constant, truth, 3) == pytest.approx(lost)


def test_the_truth_itself_is_perfect_and_its_reverse_the_worst() -> None:
    truth = np.array([3.0, -1.0, 0.5, 2.0, 0.0])
    hits = expected_hits(truth, relevance(truth, 2))
    np.testing.assert_allclose(precision_at(hits), [1, 1, 2 / 3, 2 / 4, 2 / 5])
    np.testing.assert_allclose(recall_at(hits, 2), [0.5, 1, 1, 1, 1])
    assert regret_at(truth, truth, 1) == 0
    assert regret_at(-truth, truth, 1) == 1
    assert regret_at(-truth, truth, 3) == pytest.approx((3 - 0.5) / 4)
    for metric in CORRELATIONS:
        assert metric(truth, truth) == pytest.approx(1)
        assert metric(-truth, truth) == pytest.approx(-1)


def test_many_candidates_in_one_tie_are_no_problem() -> None:
    truth = np.arange(1000.0)
    # The largest of 3 of 0..999 is 3 * 1001 / 4 - 1 on average.
    assert regret_at(np.zeros(1000), truth, 3) == pytest.approx((999 - 749.75) / 999)
