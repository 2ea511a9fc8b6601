"""Whether other setups would agree: against one pair of setups at a time, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from depara.errors import ConfigError
from depara.evaluation import EVALUATION_TABLES, Truth, evaluate_scores
from depara.evaluation.setups import SETUP_METRICS, draw_setups, mean_kendall
from tests.evaluation.transfers import random_truth, scored
from tests.oracle import evaluation as oracle

SCORES = {"good": 0.3, "fair": 0.6, "poor": 1.5, "bad": 4.0}


def test_agreement_and_winner_are_those_of_pairs_of_setups() -> None:
    truth = random_truth(8)
    scores = scored(truth, **SCORES)
    found = evaluate_scores(truth, scores, relevant=2).stability(12).set_index(["metric", "k"])
    table = scores.merge(truth.table, on=["target", "source"])
    queries = evaluate_scores(truth, scores, relevant=2).matched.queries
    means = []
    for places, names in draw_setups(queries, 12, 0):
        assert len(places) == len(names) == 4
        rows = []
        for place in places:
            mine = table[(table["target"] == queries[place].target) & table["source"].isin(names)]
            if mine["value"].nunique() > 1:
                rows.append([oracle.spearman(mine[s], mine["value"]) for s in SCORES])
        means.append(np.mean(rows, axis=0).round(12).tolist())
    pairs = list(itertools.combinations(means, 2))
    row = found.loc[("spearman", float("nan"))]
    assert row["agreement"] == pytest.approx(np.mean([oracle.kendall(a, b) for a, b in pairs]))
    same = [np.argmax(a) == np.argmax(b) for a, b in pairs]
    assert row["same_winner"] == pytest.approx(np.mean(same))
    wins = [list(SCORES)[int(np.argmax(one))] for one in means]
    assert row["p_winner"] == wins.count(row["winner"]) / 12
    assert row["num_setups"] == 12
    assert 0.2 < row["agreement"] < 1


def test_rows_are_the_defined_metrics_with_their_schema() -> None:
    truth = random_truth(8)
    evaluation = evaluate_scores(truth, scored(truth, **SCORES), relevant=2)
    rows = evaluation.stability(5)
    defined = [metric.name for metric in SETUP_METRICS if metric.name != "relative_accuracy"]
    assert rows["metric"].tolist() == defined
    table = evaluation.to_tables(setups=rows)["setups"]
    assert table.schema.equals(EVALUATION_TABLES["setups"])
    assert table.num_rows == len(rows)
    pd.testing.assert_frame_equal(rows, evaluation.stability(5))
    assert set(rows["winner"]) <= {"good", "fair"}  # of a regret too, which is better when lower


def test_a_clear_order_is_stable_and_scores_of_noise_are_not() -> None:
    rng = np.random.default_rng(0)
    truth = random_truth(16)
    clear = scored(truth, good=0.1, fair=1.0, bad=5.0)
    noise = truth.table[truth.keys].copy()
    for name in "abc":
        noise[name] = rng.normal(size=len(noise))
    agreements = [
        evaluate_scores(truth, scores, relevant=2).stability(20).set_index("metric")["agreement"]
        for scores in (clear, noise)
    ]
    assert agreements[0]["spearman"] > 0.9
    assert agreements[1]["spearman"] < 0.7


def test_mean_kendall_by_hand() -> None:
    # 1 2 3 and 1 3 2 agree in two pairs of three: tau 1/3. With 3 2 1: -1 and -1/3.
    rows = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [3.0, 2.0, 1.0]])
    assert mean_kendall(rows) == pytest.approx((1 / 3 - 1 - 1 / 3) / 3)
    assert mean_kendall(np.vstack([rows[:2], np.ones(3)])) == pytest.approx(1 / 3)
    assert np.isnan(mean_kendall(np.vstack([rows[:1], np.ones(3)])))


def test_scores_that_tie_share_the_win() -> None:
    truth = random_truth(6)
    scores = scored(truth, a=0.0).assign(b=lambda t: t["a"])
    row = evaluate_scores(truth, scores, relevant=2).stability(6).set_index("metric").iloc[0]
    assert np.isnan(row["agreement"])
    assert row["same_winner"] == row["p_winner"] == 0.5


def test_three_sources_are_drawn_at_least() -> None:
    truth = random_truth(4)
    queries = evaluate_scores(truth, None, relevant=1).matched.queries
    for places, names in draw_setups(queries, 5, 0):
        assert len(places) == 2
        assert len(names) == 3


def test_what_is_too_small_is_refused() -> None:
    truth = random_truth(6)
    two = evaluate_scores(truth, scored(truth, a=0.0, b=1.0), relevant=2)
    with pytest.raises(ConfigError, match="stability of 1 setups: give at least 2"):
        two.stability(1)
    with pytest.raises(ConfigError, match="at least 2 scores"):
        evaluate_scores(truth, scored(truth, a=0.0), relevant=2).stability(5)
    # Of 12 sources all but one are equally good, and that one is in no setup.
    names = [f"source{number:02}" for number in range(12)]
    judged = {}
    for best in names:
        rows = [("t", name, float(name == best)) for name in names]
        truth = Truth(pd.DataFrame(rows, columns=["target", "source", "value"]))
        judged[best] = evaluate_scores(truth, scored(truth, a=0.1, b=0.2), relevant=1)
    drawn = [found for _, found in draw_setups(judged[names[0]].matched.queries, 2, 0)]
    absent = next(name for name in names if not any(name in found for found in drawn))
    with pytest.raises(ConfigError, match="too small"):
        judged[absent].stability(2)
