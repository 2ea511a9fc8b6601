"""What a learner may see of the past, and what it must not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from depara.errors import ConfigError
from depara.evaluation.baselines import Known, popularity
from depara.evaluation.queries import match
from depara.learning.past import past_of
from tests.learning.pasts import NAMES, pair_scores, truth_of
from tests.oracle import learning as oracle


def test_popularity_is_the_evaluations_baseline() -> None:
    scores = pair_scores()
    truth = truth_of(scores, scores["node_similarity"])
    past = past_of(scores, truth, "cka")
    queries = match(truth, scores, 1).queries
    baseline = popularity(queries, Known())
    assert baseline is not None
    for query, expected_C in zip(queries, baseline, strict=True):
        place = past.models.index(query.target)
        others = past.without(place)
        at = [past.models.index(name) for name in query.candidates]
        np.testing.assert_allclose(others.popularity_M[at], expected_C, atol=1e-12)
        np.testing.assert_allclose(
            others.popularity_M, oracle.popularity(others.fraction_TM), atol=1e-9
        )


def test_a_model_that_is_left_out_occurs_nowhere() -> None:
    scores = pair_scores()
    past = past_of(scores, truth_of(scores, scores["cka"]), "cka")
    others = past.without(3)
    assert 3 not in others.targets_T
    assert len(others.targets_T) == len(NAMES) - 1
    assert np.isnan(others.fraction_TM[:, 3]).all()
    assert others.popularity_M[3] == 0.5
    assert np.isfinite(past.fraction_TM[:, 3]).any()  # the past itself is left alone


def test_scores_become_rank_fractions_and_a_missing_one_is_the_lowest() -> None:
    scores = pair_scores(models=4)
    is_first = scores["target"] == NAMES[0]
    scores.loc[is_first, "cka"] = [0.3, np.nan, 0.1]
    scores.loc[scores["target"] == NAMES[1], "cka"] = np.nan
    past = past_of(scores, truth_of(scores, scores["similarity"]), "edge_similarity")
    column = past.scores.index("cka")
    np.testing.assert_array_equal(past.scores_MMK[0, :, column], [np.nan, 1.0, 0.0, 0.5])
    np.testing.assert_array_equal(past.scores_MMK[1, :, column], [0.5, np.nan, 0.5, 0.5])
    assert past.candidates(2).tolist() == [0, 1, 3]


def test_only_pairs_that_the_scan_ranks_are_learned_from() -> None:
    scores = pair_scores(models=5)
    truth = truth_of(scores, scores["similarity"])
    rows = [("m00", "stranger", 9.0), ("stranger", "m00", 9.0), ("m00", "m00", 9.0)]
    more = pd.DataFrame(rows, columns=["target", "source", "value"])
    past = past_of(scores, truth, "cka")
    again = past_of(scores, type(truth)(pd.concat([truth.table, more])), "cka")
    assert past.models == again.models
    np.testing.assert_array_equal(past.value_TM, again.value_TM)


def test_too_small_a_past_is_refused() -> None:
    scores = pair_scores()
    few = scores[scores["target"].isin(NAMES[:2])]
    with pytest.raises(ConfigError, match=r"past.csv has two measured sources .* for 2 targets"):
        past_of(scores, truth_of(few, few["cka"]), "cka")
