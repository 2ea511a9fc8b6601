"""Is A better than B: paired differences against resamples one by one."""

from __future__ import annotations

import numpy as np
import pytest

from depara.errors import ConfigError
from depara.evaluation import EVALUATION_TABLES, Evaluation, evaluate_scores
from depara.evaluation.bootstrap import draw_resamples
from depara.evaluation.paired import paired_differences
from tests.evaluation.transfers import random_truth, scored
from tests.oracle import evaluation as oracle


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    truth = random_truth(7)
    return evaluate_scores(truth, scored(truth, good=0.3, bad=2.0, same=0.3), relevant=2)


def test_a_hand_worked_case() -> None:
    # Two targets, drawn twice with replacement: both, the first twice, the second twice.
    weights_BQ = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    first, second = np.array([[0.9, 0.1], [0.2, 0.1]]), np.array([[0.5, 0.3], [0.6, 0.1]])
    found = paired_differences(first, second, weights_BQ, None, np.array([False, True]))
    np.testing.assert_allclose(found.mean_X, [0.0, -0.1], atol=1e-12)
    # Resampled means: 0, 0.4, -0.4, 0 and -0.1, -0.2, 0, -0.1, of which lower is better.
    np.testing.assert_allclose(found.p_better_X, [(1 + 2 / 2) / 4, (3 + 1 / 2) / 4])
    np.testing.assert_allclose(found.low_X, [-0.34, -0.185])


def test_differences_are_those_of_resamples_one_by_one(evaluation: Evaluation) -> None:
    paired = evaluation.compare("good", "bad").set_index(["metric", "k"])
    table = evaluation.table[evaluation.table["target"].notna()]
    counts = (draw_resamples(7, 1000, 0) * 7).round().astype(int)
    for metric, k, sign in (("spearman", None, 1), ("regret", 1, -1), ("precision", 2, 1)):
        at_k = table["k"].isna() if k is None else table["k"] == k
        rows = table[(table["metric"] == metric) & at_k].pivot(
            index="target", columns="score", values="value"
        )
        gaps = (rows["good"] - rows["bad"]).tolist()
        means = [oracle.mean_of_resample(gaps, one.tolist(), [1.0] * 7) for one in counts]
        rounded = np.round(means, 12) * sign
        expected = [
            np.mean(gaps),
            np.quantile(means, 0.05),
            np.quantile(means, 0.95),
            (rounded > 0).mean() + (rounded == 0).mean() / 2,
        ]
        row = paired.loc[(metric, float("nan") if k is None else k)]
        np.testing.assert_allclose(
            row[["difference", "low", "high", "p_better"]].astype(float), expected
        )


def test_the_other_way_round_has_the_signs_turned(evaluation: Evaluation) -> None:
    there, back = evaluation.compare("good", "bad"), evaluation.compare("bad", "good")
    np.testing.assert_allclose(there["difference"], -back["difference"])
    np.testing.assert_allclose(there["low"], -back["high"])
    np.testing.assert_allclose(there["p_better"], 1 - back["p_better"])
    regret = there[(there["metric"] == "regret") & (there["k"] == 1)].iloc[0]
    assert regret["difference"] < 0
    assert regret["p_better"] > 0.9


def test_a_difference_is_surer_than_two_intervals() -> None:
    """Targets of unlike difficulty: intervals overlap, while one score is better on each."""
    rng = np.random.default_rng(0)
    level = rng.uniform(size=(12, 1))
    weights_BQ = draw_resamples(12, 1000, 0)
    found = paired_differences(level + 0.05, level, weights_BQ, None, np.array([False]))
    assert found.low_X[0] == pytest.approx(0.05)
    assert found.p_better_X[0] == 1
    spread = np.quantile(weights_BQ @ level, [0.05, 0.95])
    assert spread[1] - spread[0] > 0.1


def test_equal_scores_are_even_and_baselines_can_be_compared(evaluation: Evaluation) -> None:
    twins = evaluate_scores(
        random_truth(7), scored(random_truth(7), a=0.0).assign(b=lambda t: t["a"]), relevant=2
    ).compare("a", "b")
    assert (twins[["difference", "low", "high"]] == 0).all(axis=None)
    assert (twins["p_better"] == 0.5).all()
    assert evaluation.compare("good", "random").iloc[0]["p_better"] == 1
    # Negative true values have no relative accuracy, and so no difference of it.
    assert "relative_accuracy" not in set(evaluation.compare("good", "bad")["metric"])


def test_one_target_or_no_resample_has_a_difference_alone() -> None:
    truth = random_truth(7)
    evaluation = evaluate_scores(truth, scored(truth, a=0.1, b=1.0), relevant=2, bootstrap=0)
    rows = evaluation.compare("a", "b")
    assert rows[["low", "high", "p_better"]].isna().all(axis=None)
    assert rows["difference"].notna().all()


def test_the_rows_have_their_schema(evaluation: Evaluation) -> None:
    rows = evaluation.compare("good", "bad")
    table = evaluation.to_tables(paired=rows)["paired"]
    assert table.schema.equals(EVALUATION_TABLES["paired"])
    assert table.num_rows == len(rows) == len(evaluation.headline()) - 1
    assert evaluation.to_tables()["paired"].num_rows == 0


def test_unknown_scores_are_refused(evaluation: Evaluation) -> None:
    with pytest.raises(ConfigError, match="no score 'goood'; did you mean 'good'"):
        evaluation.compare("goood", "bad")
    with pytest.raises(ConfigError, match="'bad' is compared with itself"):
        evaluation.compare("bad", "bad")
