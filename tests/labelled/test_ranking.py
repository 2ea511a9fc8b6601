"""Ranks by scores with labels, their consensus, and their intervals by half samples."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd

from depara.catalog import LABEL_SCORES
from depara.labelled import (
    CONSENSUS,
    ScoreValue,
    half_samples,
    label_ranking,
)
from depara.store.schemas import TABLES

SCORES = list(LABEL_SCORES)


def scored(values: dict[str, float]) -> dict[str, ScoreValue]:
    return {name: ScoreValue(values.get(name, math.nan)) for name in SCORES}


def ranking_of(
    models: dict[str, dict[str, float]], halves: dict[str, np.ndarray] | None = None
) -> pd.DataFrame:
    graphs = [(model, "out", scored(values)) for model, values in models.items()]
    table = label_ranking(graphs, dict.fromkeys(models, "out"), halves or {})
    assert table.schema.equals(TABLES["label_ranking"])
    frame = table.to_pandas()
    return frame[frame["ranking"] == "model"].set_index(["score", "model_id"])


def test_the_consensus_is_the_mean_rank_and_counts_who_agrees() -> None:
    found = ranking_of(
        {
            "a": {"knn": 0.9, "logme": 0.1, "gbc": 5.0},
            "b": {"knn": 0.8, "logme": 0.3, "gbc": 4.0},
            "c": {"knn": 0.1, "logme": 0.2, "gbc": 3.0},
        }
    )
    assert found.loc["knn"]["rank"].to_dict() == {"a": 1, "b": 2, "c": 3}
    assert found.loc["logme"]["rank"].to_dict() == {"b": 1, "c": 2, "a": 3}
    consensus = found.loc[CONSENSUS]
    assert consensus["value"].to_dict() == {"a": 5 / 3, "b": 5 / 3, "c": 8 / 3}
    assert consensus["rank"].to_dict() == {"a": 1, "b": 2, "c": 3}
    # knn and gbc rank a first; all three rank b second or higher; all rank c third or higher.
    assert consensus["num_agree"].to_dict() == {"a": 2, "b": 3, "c": 3}
    assert set(consensus["num_scores"]) == {3}
    assert consensus["p_first"].isna().all()


def test_scores_that_joined_late_and_those_of_hard_probes_have_ranks_and_no_vote() -> None:
    values = {"a": {"knn": 0.9, "lfc": 0.1}, "b": {"knn": 0.8, "lfc": 0.2}}
    hard = {"a": {"knn@hard25": 0.1}, "b": {"knn@hard25": 0.5}}
    graphs = [
        (name, "out", scored(values[name]) | {k: ScoreValue(v) for k, v in hard[name].items()})
        for name in "ab"
    ]
    halves = {name: np.full((10, len(SCORES) + 1), 1.0 + (name == "b")) for name in "ab"}
    for name in "ab":
        halves[name][:, SCORES.index("knn")] = name == "a"
    frame = label_ranking(graphs, {"a": "out", "b": "out"}, halves).to_pandas()
    found = frame[frame["ranking"] == "model"].set_index(["score", "model_id"])
    assert found.loc["knn@hard25"]["rank"].to_dict() == {"b": 1, "a": 2}
    assert found.loc["lfc"]["rank"].to_dict() == {"b": 1, "a": 2}
    consensus = found.loc[CONSENSUS]
    assert consensus["rank"].to_dict() == {"a": 1, "b": 2}
    assert consensus["value"].to_dict() == {"a": 1.0, "b": 2.0}
    assert consensus["p_first"].to_dict() == {"a": 1.0, "b": 0.0}
    assert set(found["num_scores"]) == {1}
    assert consensus["num_agree"].to_dict() == {"a": 1, "b": 1}


def test_without_a_score_that_votes_there_is_no_ranking() -> None:
    graphs = [("a", "out", scored({"lfc": 0.5})), ("b", "out", scored({"lfc": 0.4}))]
    assert label_ranking(graphs, {"a": "out", "b": "out"}, {}).num_rows == 0


def test_a_score_that_a_candidate_lacks_counts_as_its_last_place() -> None:
    found = ranking_of({"a": {"knn": 0.5}, "b": {"knn": 0.4, "gbc": 1.0}})
    assert ("gbc", "a") not in found.index
    assert found.loc[CONSENSUS]["value"].to_dict() == {"a": 1.5, "b": 1.5}
    assert found.loc["gbc", "b"]["rank"] == 1


def test_layers_are_ranked_within_their_model_alone() -> None:
    graphs = [
        ("a", "first", scored({"knn": 0.2})),
        ("a", "out", scored({"knn": 0.9})),
        ("b", "out", scored({"knn": 0.5})),
    ]
    frame = label_ranking(graphs, {"a": "out", "b": "out"}, {}).to_pandas()
    layers = frame[(frame["ranking"] == "layer") & (frame["score"] == "knn")]
    assert layers[["model_id", "layer", "rank"]].values.tolist() == [
        ["a", "out", 1],
        ["a", "first", 2],
        ["b", "out", 1],
    ]
    models = frame[(frame["ranking"] == "model") & (frame["score"] == "knn")]
    assert models["layer"].tolist() == ["out", "out"]


def test_nothing_scored_gives_an_empty_table() -> None:
    assert label_ranking([], {}, {}).num_rows == 0
    assert label_ranking([("a", "out", scored({}))], {"a": "out"}, {}).num_rows == 0


def test_intervals_are_quantiles_of_the_ranks_over_half_samples() -> None:
    place = SCORES.index("knn")
    halves = {name: np.full((20, len(SCORES)), np.nan) for name in "ab"}
    halves["a"][:, place] = 1.0
    halves["b"][:, place] = [2.0] * 5 + [0.0] * 15  # first in a quarter
    found = ranking_of({"a": {"knn": 0.9}, "b": {"knn": 0.8}}, halves)
    for score in ("knn", CONSENSUS):
        assert found.loc[score, "a"]["p_first"] == 0.75
        assert found.loc[score, "b"]["p_first"] == 0.25
        assert list(found.loc[score, "a"][["rank_low", "rank_high"]]) == [1, 2]
    assert set(found["num_subsets"]) == {20}
    halves["b"][:, place] = 0.0
    sure = ranking_of({"a": {"knn": 0.9}, "b": {"knn": 0.8}}, halves).loc["knn"]
    assert list(sure.loc["a"][["rank_low", "rank_high"]]) == [1, 1]


def test_half_samples_take_half_of_each_class_and_repeat() -> None:
    labels = ["x"] * 9 + ["y"] * 4 + ["z"] + [None] * 3
    halves = half_samples(labels, 50, seed=3)
    assert halves == half_samples(labels, 50, seed=3)
    assert halves != half_samples(labels, 50, seed=4)
    sizes = [Counter(label for label in half if label) for half in halves]
    assert {one["x"] for one in sizes} == {4, 5}
    assert {one["y"] for one in sizes} == {2}
    assert {one["z"] for one in sizes} == {1}
    assert all(half[-3:] == [None] * 3 for half in halves)
    assert all(
        label in (None, full) for half in halves for label, full in zip(half, labels, strict=True)
    )


def test_half_samples_spread_as_other_probes_would() -> None:
    """The variance over halves of a mean is that of the mean of all, about (N even)."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=100)
    halves = half_samples(["x"] * 100, 2000)
    chosen = np.array([[label is not None for label in half] for half in halves])
    means = (chosen @ values) / chosen.sum(axis=1)
    np.testing.assert_allclose(means.var(), values.var(ddof=1) / 100, rtol=0.1)
