"""Candidates of the rankings, intervals of scores and of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from depara.uncertainty.candidates import candidate_groups, ranks
from depara.uncertainty.intervals import rank_intervals, score_intervals
from tests.oracle import uncertainty as oracle
from tests.uncertainty.zoo import Label, labels


def test_models_are_ranked_by_their_output_graphs_in_order_of_names():
    sources = labels(4, 2)
    (group,) = candidate_groups(sources, Label("m2", "layer1", 1, True), "model")
    assert [sources[place].model_id for place in group] == ["m0", "m1", "m3"]
    assert all(sources[place].is_output for place in group)


def test_layers_are_ranked_within_each_other_model_in_firing_order():
    sources = labels(4, 3)
    groups = candidate_groups(sources[::-1], Label("m2", "layer1", 2, True), "layer")
    found = [[sources[::-1][place] for place in group] for group in groups]
    assert [{label.model_id for label in group} for group in found] == [{"m0"}, {"m1"}, {"m3"}]
    assert all([label.depth for label in group] == [0, 1, 2] for group in found)


def test_a_model_alone_has_no_candidates():
    sources = labels(1, 2)
    assert candidate_groups(sources, sources[1], "model") == []
    assert candidate_groups(sources, sources[1], "layer") == []


def test_equal_similarities_rank_in_the_candidates_order():
    similarity = np.array([[0.5, 0.9, 0.5, 0.9], [1.0, 1.0, 1.0, 1.0], [4.0, 3.0, 2.0, 1.0]])
    expected = [[3, 1, 4, 2], [1, 2, 3, 4], [1, 2, 3, 4]]
    np.testing.assert_array_equal(ranks(similarity), expected)
    for row, row_ranks in zip(similarity, expected, strict=True):
        named = oracle.ranks_by_name(dict(zip("abcd", row.tolist(), strict=True)))
        assert [named[name] for name in "abcd"] == row_ranks


def test_score_intervals_are_quantiles_over_resamples():
    samples = np.random.default_rng(0).permuted(
        np.broadcast_to(np.arange(101, dtype=np.float32), (2, 3, 101)), axis=2
    )
    samples[1] += 1000
    value = np.full((3, 2), 50.0)
    intervals = score_intervals(value, samples)
    np.testing.assert_allclose(intervals.low_AB, [[5, 1005]] * 3)
    np.testing.assert_allclose(intervals.high_AB, [[95, 1095]] * 3)
    assert intervals.value_AB is value


def test_rank_intervals_count_the_ranks_of_each_resample():
    """Source 0 leads in 8 of 10 resamples, source 2 in the others; source 1 is no candidate."""
    samples = np.zeros((1, 4, 10), dtype=np.float32)
    samples[0, 0] = 3
    samples[0, 1] = 9
    samples[0, 2] = [2] * 8 + [4] * 2
    samples[0, 3] = 1
    groups = [[np.array([0, 2, 3])]]
    intervals = rank_intervals(np.array([[3.0], [9.0], [2.0], [1.0]]), samples, groups)
    assert intervals.rank_AB[:, 0].tolist() == [1, 0, 2, 3]
    assert intervals.low_AB[:, 0].tolist() == [1, 0, 1, 3]
    assert intervals.high_AB[:, 0].tolist() == [2, 0, 2, 3]
    assert intervals.p_first_AB[:, 0].tolist() == pytest.approx([0.8, 0, 0.2, 0])


def test_rank_bounds_are_rounded_outwards():
    """Ranks 1 to 2 at the 5 % quantile of 31 resamples: 1.5 resamples from the end."""
    samples = np.zeros((1, 2, 31), dtype=np.float32)
    samples[0, 0, :2] = -1  # second in two resamples
    samples[0, 1, 2:] = -1
    intervals = rank_intervals(np.array([[1.0], [0.0]]), samples, [[np.array([0, 1])]])
    assert intervals.high_AB[:, 0].tolist() == [2, 2]
    assert intervals.low_AB[:, 0].tolist() == [1, 1]
    samples[0, :, 1] = 0, -1  # now in one
    intervals = rank_intervals(np.array([[1.0], [0.0]]), samples, [[np.array([0, 1])]])
    assert intervals.high_AB[:, 0].tolist() == [1, 2]
    assert intervals.low_AB[:, 0].tolist() == [1, 2]
