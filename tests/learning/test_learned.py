"""Whether anything beats popularity on left-out targets is said, and what does, ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from depara.errors import ConfigError
from depara.evaluation import Truth
from depara.learning import LEARNERS, learn
from tests.learning.pasts import NAMES, pair_scores, scan_of, source_quality, truth_of


def test_a_learner_that_beats_popularity_ranks(tmp_path: Path) -> None:
    scores = pair_scores()
    found = learn(scan_of(str(tmp_path), scores), truth_of(scores, scores["node_similarity"]))
    assert found.ranked_by == "ranker"
    assert found.sentence.startswith("ranked by ranker: ")
    assert "over popularity (" in found.sentence
    assert max(found.weights, key=lambda name: found.weights[name]) == "node_similarity"
    assert set(found.evaluation.scores) == {"similarity", *LEARNERS}
    assert found.evaluation.num_queries == len(NAMES)
    means = found.evaluation.means("spearman")["value"]
    assert means["ranker"] > 0.9


def test_the_scans_similarity_ranks_where_it_is_best(tmp_path: Path) -> None:
    scores = pair_scores()
    found = learn(scan_of(str(tmp_path), scores), truth_of(scores, scores["similarity"]))
    assert found.ranked_by == "similarity"
    first = found.of("m03").iloc[0]
    mine = scores[scores["target"] == "m03"]
    assert first["source_model"] == mine.loc[mine["similarity"].idxmax(), "source"]


def test_popularity_ranks_where_nothing_beats_it(tmp_path: Path) -> None:
    scores = pair_scores()
    truth = truth_of(scores, source_quality(scores, noise=0.5))
    found = learn(scan_of(str(tmp_path), scores), truth)
    assert found.ranked_by == "popularity"
    assert "nothing beats popularity (" in found.sentence
    best = found.table[found.table["rank"] == 1].set_index("target_model")["source_model"]
    assert best["m00"] == NAMES[-1]
    assert best[NAMES[-1]] == NAMES[-2]


def test_few_past_targets_decide_nothing(tmp_path: Path) -> None:
    scores = pair_scores()
    few = scores[scores["target"].isin(NAMES[:7])]
    found = learn(scan_of(str(tmp_path), scores), truth_of(few, few["similarity"]))
    assert found.ranked_by == "popularity"
    assert "7 past targets are too few" in found.sentence


def test_every_target_is_ranked_and_sees_nothing_of_its_own_past(tmp_path: Path) -> None:
    scores = pair_scores()
    past = scores[scores["target"] != NAMES[4]]
    scan = scan_of(str(tmp_path), scores)
    found = learn(scan, truth_of(past, past["node_similarity"]))
    assert list(found.table.columns) == [
        "target_model", "rank", "source_model", "score", "ranked_by", "past_targets", "is_past",
    ]  # fmt: skip
    assert len(found.table) == len(scores)
    assert not found.of(NAMES[4])["is_past"].any()
    assert found.of(NAMES[5])["is_past"].all()
    assert set(found.table["past_targets"]) == {len(NAMES) - 2, len(NAMES) - 1}
    for _, rows in found.table.groupby("target_model"):
        assert rows["rank"].tolist() == list(range(1, len(NAMES)))
        np.testing.assert_array_equal(rankdata(-rows["score"], method="ordinal"), rows["rank"])

    own = past["target"] == NAMES[5]
    values = past["node_similarity"].where(~own, 1 - past["node_similarity"])
    again = learn(scan, truth_of(past, values))
    assert again.ranked_by == found.ranked_by
    np.testing.assert_array_equal(again.of(NAMES[5])["score"], found.of(NAMES[5])["score"])
    assert not again.of(NAMES[6])["score"].equals(found.of(NAMES[6])["score"])


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    scores = pair_scores()
    scan = scan_of(str(tmp_path), scores)
    layers = Truth(scores[["target", "source"]].assign(layer="code", value=1.0), "layers.csv")
    with pytest.raises(ConfigError, match=r"layers\.csv has a column 'layer'"):
        learn(scan, layers)
    found = learn(scan, truth_of(scores, scores["similarity"]))
    with pytest.raises(ConfigError, match="ranks no source for 'stranger'"):
        found.of("stranger")


def test_targets_with_one_source_are_said_to_teach_nothing(tmp_path: Path) -> None:
    scores = pair_scores()
    alone = (scores["target"] == NAMES[0]) & (scores["source"] != NAMES[1])
    past = scores[~alone]
    found = learn(scan_of(str(tmp_path), scores), truth_of(past, past["similarity"]))
    assert "targets with one measured source of the scan: m00" in " ".join(
        found.evaluation.left_out
    )
