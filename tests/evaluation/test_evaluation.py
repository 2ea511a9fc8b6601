"""All scores beside the baselines: means, intervals, curves and the long table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from depara.errors import ConfigError, SchemaError
from depara.evaluation import EVALUATION_SCHEMA, Known, Truth, evaluate_scores
from depara.evaluation.metrics import METRICS
from tests.evaluation.transfers import random_truth, scored

KEY = ["score", "metric", "k", "target", "source"]


def test_the_long_table_has_one_row_per_fact_and_its_schema() -> None:
    truth = random_truth(7)
    evaluation = evaluate_scores(truth, scored(truth, perfect=0.0, noisy=1.0), relevant=2)
    table = evaluation.to_tables()["evaluation"]
    assert table.schema.equals(EVALUATION_SCHEMA)
    assert all(b"description" in field.metadata for field in table.schema)
    assert not evaluation.table.duplicated(KEY).any()
    assert evaluation.scores == ("perfect", "noisy")
    assert evaluation.baselines == ("random", "popularity", "ceiling_ranks", "ceiling_values")
    numbers = 2 * 6 + len(METRICS) - 1  # of negative true values there is no relative accuracy
    assert table.num_rows == (2 + 4) * (1 + 7) * numbers


def test_a_mean_is_the_mean_over_targets_and_within_its_interval() -> None:
    truth = random_truth(8)
    evaluation = evaluate_scores(truth, scored(truth, noisy=1.0), relevant=3)
    table = evaluation.table[evaluation.table["score"] == "noisy"]
    for (metric, k), rows in table.groupby(["metric", "k"], dropna=False):
        mean = rows[rows["target"].isna()].iloc[0]
        per_target = rows.loc[rows["target"].notna(), "value"]
        assert len(per_target) == 8
        assert mean["value"] == pytest.approx(per_target.mean())
        assert mean["low"] <= mean["value"] + 1e-12, (metric, k)
        assert mean["high"] >= mean["value"] - 1e-12, (metric, k)
    assert table.loc[table["target"].notna(), ["low", "high"]].isna().all(axis=None)
    low, high = evaluation.means("spearman").loc["noisy", ["low", "high"]]
    assert low < high


def test_the_truth_as_a_score_is_perfect() -> None:
    rng = np.random.default_rng(0)
    table = random_truth(7).table
    truth = Truth(table.assign(value=rng.permutation(len(table))))  # no ties
    evaluation = evaluate_scores(truth, scored(truth, perfect=0.0), relevant=3)
    summary = evaluation.summary().set_index("score").loc["perfect"]
    correlations = ["spearman", "kendall", "weighted_kendall"]
    assert summary[[*correlations, "precision@1", "precision@3"]].tolist() == pytest.approx([1] * 5)
    assert summary[["regret@1", "regret@3"]].tolist() == [0, 0]
    curve = evaluation.curve("perfect")
    assert curve["k"].tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(curve["recall"], [1 / 3, 2 / 3, 1, 1, 1, 1])
    np.testing.assert_allclose(curve["precision"], [1, 1, 1, 3 / 4, 3 / 5, 1 / 2])
    assert {"precision_low", "precision_high", "recall_low", "recall_high"} < set(curve.columns)


def test_the_same_seed_gives_the_same_evaluation_and_another_one_other_intervals() -> None:
    truth = random_truth(7)
    scores = scored(truth, noisy=1.0)
    first, again, other = (
        evaluate_scores(truth, scores, relevant=2, seed=seed).table for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_series_equal(first["value"], other["value"])
    assert (first["low"].dropna() != other["low"].dropna()).any()


def test_without_resamples_or_with_one_target_there_is_no_interval() -> None:
    truth = random_truth(7)
    one = Truth(truth.table[truth.table["target"] == "model0"])
    for evaluation in (
        evaluate_scores(truth, None, relevant=2, bootstrap=0),
        evaluate_scores(one, None, relevant=2),
    ):
        assert evaluation.table[["low", "high"]].isna().all(axis=None)


def test_targets_with_fewer_sources_keep_their_place_in_every_mean() -> None:
    table = random_truth(7).table
    fewer = table[(table["target"] != "model0") | table["source"].isin(["model1", "model2"])]
    evaluation = evaluate_scores(Truth(fewer), None, relevant=1)
    assert evaluation.num_candidates == (2, 6)
    rows = evaluation.table[evaluation.table["target"] == "model0"]
    rows = rows[rows["score"] == "random"].set_index(["metric", "k"])["value"]
    # Two sources, one relevant: past the second one there is nothing left to find.
    expected = [1 / 2, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6]
    np.testing.assert_allclose([rows["precision", k] for k in range(1, 7)], expected)
    np.testing.assert_allclose([rows["recall", k] for k in range(1, 7)], [0.5, 1, 1, 1, 1, 1])


def test_layers_are_averaged_over_target_and_source_pairs() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (target, source, f"layer{number}", float(rng.normal()))
        for target in ("t", "u")
        for source in ("s", "v")
        for number in range(5)
    ]
    truth = Truth(pd.DataFrame(rows, columns=["target", "source", "layer", "value"]))
    depths = {(source, f"layer{n}"): n for source in ("s", "v") for n in range(5)}
    evaluation = evaluate_scores(truth, scored(truth, s=0.0), relevant=2, known=Known({}, depths))
    assert evaluation.kind == "layers"
    assert evaluation.num_queries == 4
    assert evaluation.baselines == ("random", "popularity", "depth")
    pairs = evaluation.table[["target", "source"]].dropna().drop_duplicates()
    assert pairs.values.tolist() == [["t", "s"], ["t", "v"], ["u", "s"], ["u", "v"]]


def test_what_one_target_does_not_define_has_no_mean() -> None:
    table = random_truth(6).table
    positive = table.assign(value=table["value"].abs())
    is_first = table["target"] == "model0"
    for truth, count in ((positive, 6), (positive.where(~is_first, table), 5)):
        evaluation = evaluate_scores(Truth(truth), None, relevant=2)
        rows = evaluation.table[evaluation.table["metric"] == "relative_accuracy"]
        rows = rows[rows["score"] == "random"]
        assert rows["target"].notna().sum() == count
        mean = evaluation.means("relative_accuracy", 1).loc["random", "value"]
        assert np.isnan(mean) == (count == 5)
        assert np.isnan(evaluation.summary()["relative_accuracy@1"]).all() == (count == 5)


def test_unknown_metrics_and_wrong_numbers_are_refused() -> None:
    truth = random_truth(5)
    evaluation = evaluate_scores(truth, None, relevant=1)
    with pytest.raises(ConfigError, match="no metric 'accuracy' at k = None: it has precision"):
        evaluation.means("accuracy")
    with pytest.raises(ConfigError, match="no metric 'precision' at k = 9"):
        evaluation.means("precision", 9)
    with pytest.raises(SchemaError, match="'depth' has the name of a baseline"):
        evaluate_scores(truth, scored(truth, depth=1.0), relevant=1)
    with pytest.raises(ConfigError, match="bootstrap is -1"):
        evaluate_scores(truth, None, relevant=1, bootstrap=-1)
