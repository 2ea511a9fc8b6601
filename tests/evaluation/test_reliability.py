"""How far a truth can be met: repeats, their reliability, the noise ceiling and weighed means."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from depara.errors import ConfigError
from depara.evaluation import Evaluation, Truth, describe, evaluate_scores, evaluation_table
from depara.evaluation.baselines import NOISE_CEILING
from depara.evaluation.bootstrap import draw_resamples
from depara.evaluation.reliability import noise_ceiling, reliability
from tests.evaluation.transfers import random_truth, scored
from tests.oracle import evaluation as oracle


def repeated(
    truth: Truth, noise: dict[str, float], repeats: int = 3, otherwise: float = 0.5
) -> Truth:
    """The truth measured several times, with an error of a standard deviation for each target."""
    rng = np.random.default_rng(5)
    deviation = truth.table["target"].map(noise).fillna(otherwise)
    parts = [
        truth.table.assign(
            repeat=f"seed{number}",
            value=truth.table["value"] + deviation * rng.normal(size=len(truth.table)),
        )
        for number in range(repeats)
    ]
    return Truth(pd.concat(parts), "repeated truth")


def test_a_reliability_by_hand() -> None:
    # Ranks 1 2 3 4 against 2 1 3 4: rho = 1 - 6 * 2 / (4 * 15) = 0.8; of two: 1.6 / 1.8.
    two = np.array([[1.0, 2.0, 3.0, 4.0], [20.0, 10.0, 30.0, 40.0]])
    assert reliability(two) == pytest.approx(1.6 / 1.8)
    # A third repeat in the first one's order: mean rho (0.8 + 1 + 0.8) / 3.
    mean = 2.6 / 3
    assert reliability(np.vstack([two, two[0]])) == pytest.approx(3 * mean / (1 + 2 * mean))
    assert noise_ceiling(np.array([0.81])) == pytest.approx(0.9)


def test_reliability_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    for repeats in (2, 3, 5):
        values_RC = np.arange(7.0) + 3 * rng.normal(size=(repeats, 7)).round(1)
        assert reliability(values_RC) == pytest.approx(oracle.reliability(values_RC.tolist()))


def test_repeats_that_disagree_or_tell_nothing_have_no_reliability() -> None:
    rising = np.arange(4.0)
    assert reliability(np.array([rising, -rising])) == 0
    assert reliability(np.array([rising, np.ones(4)])) == 0
    assert reliability(np.array([rising, rising])) == 1
    assert np.isnan(reliability(rising[None]))


def test_the_square_root_of_the_reliability_is_what_a_perfect_score_reaches() -> None:
    rng = np.random.default_rng(0)
    true_C = rng.normal(size=400)
    found, reached = [], []
    for _ in range(50):
        repeats_RC = true_C + 1.2 * rng.normal(size=(3, 400))
        found.append(reliability(repeats_RC))
        reached.append(oracle.spearman(true_C.tolist(), repeats_RC.mean(axis=0).tolist()))
    assert np.sqrt(np.mean(found)) == pytest.approx(np.mean(reached), abs=0.02)
    # Of values, not ranks, it would be 1 / (1 + 1.44 / 3).
    assert np.mean(found) == pytest.approx(1 / (1 + 1.44 / 3), abs=0.03)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    truth = repeated(random_truth(8), {"model3": 30.0, "model5": 0.0})
    return evaluate_scores(truth, scored(random_truth(8), noisy=0.5), relevant=3)


def test_the_ceiling_is_a_row_of_one_metric_for_each_target_and_their_mean(
    evaluation: Evaluation,
) -> None:
    assert evaluation.baselines[-1] == NOISE_CEILING
    rows = evaluation.table[evaluation.table["score"] == NOISE_CEILING]
    assert set(rows["metric"]) == {"spearman"}
    targets = evaluation.targets().set_index("target")
    repeats = evaluation.matched.queries
    for query in repeats:
        assert query.repeats_RC is not None
        expected = oracle.reliability(query.repeats_RC.tolist())
        assert targets.loc[query.target, "reliability"] == pytest.approx(expected)
    by_target = rows[rows["target"].notna()].set_index("target")["value"]
    np.testing.assert_allclose(by_target, np.sqrt(targets["reliability"]))
    assert targets.loc["model5", "reliability"] == 1
    mean = evaluation.means("spearman").loc[NOISE_CEILING, "value"]
    assert mean == pytest.approx(by_target.mean())
    assert np.isnan(evaluation.means("precision", 1).loc[NOISE_CEILING, "value"])


def test_what_is_mostly_noise_is_named(evaluation: Evaluation) -> None:
    console = Console(width=80, file=StringIO())
    console.print(evaluation_table(evaluation))
    text = " ".join(console.file.getvalue().split())
    reached = evaluation.means("spearman").loc[NOISE_CEILING, "value"]
    assert f"this truth can be met to a Spearman of at most {reached:.2f}" in text
    noise = evaluation.targets().set_index("target").loc["model3", "reliability"]
    assert noise < 0.5
    assert f"mostly noise (reliability below 0.5): 'model3' ({noise:.2f})" in text
    record = describe(evaluation)
    assert record["mostly_noise"] == [f"'model3' ({noise:.2f})"]
    assert record["targets"][3]["reliability"] == pytest.approx(noise)
    assert record["means"][NOISE_CEILING]["precision@1"]["value"] is None
    assert NOISE_CEILING not in record["curves"]


def test_weighed_means_and_intervals_are_their_definitions() -> None:
    truth = repeated(random_truth(6), {"model3": 30.0})
    scores = scored(random_truth(6), noisy=2.0)
    plain, weighed = (
        evaluate_scores(truth, scores, relevant=2, weigh_by_reliability=weigh, bootstrap=200)
        for weigh in (False, True)
    )
    weights = plain.targets()["reliability"].tolist()
    values = plain.values["noisy"][:, 0].tolist()  # precision at 1
    counts = (draw_resamples(6, 200, 0) * 6).round().astype(int)
    found = weighed.means("precision", 1).loc["noisy"]
    assert found["value"] == pytest.approx(oracle.mean_of_resample(values, [1] * 6, weights))
    means = [oracle.mean_of_resample(values, one.tolist(), weights) for one in counts]
    assert found["low"] == pytest.approx(np.quantile(means, 0.05))
    assert found["high"] == pytest.approx(np.quantile(means, 0.95))
    assert found["value"] != plain.means("precision", 1).loc["noisy", "value"]
    assert describe(weighed)["weighed_by_reliability"]
    per_target = plain.table["target"].notna()
    pd.testing.assert_series_equal(
        plain.table.loc[per_target, "value"], weighed.table.loc[per_target, "value"]
    )


def test_resamples_of_weightless_targets_are_left_out() -> None:
    weights_BQ = draw_resamples(2, 400, 0, np.array([0.0, 0.5]))
    np.testing.assert_array_equal(weights_BQ, np.tile([0.0, 1.0], (len(weights_BQ), 1)))
    # Twice the first of the two is drawn in a quarter of the resamples.
    assert len(weights_BQ) == pytest.approx(300, abs=30)


def test_a_truth_that_was_measured_once_cannot_be_weighed() -> None:
    table = repeated(random_truth(5), {}).repeats
    assert table is not None
    once = table[(table["target"] != "model2") | (table["repeat"] == "seed0")]
    evaluation = evaluate_scores(Truth(once), None, relevant=2)
    assert NOISE_CEILING not in evaluation.baselines
    assert evaluation.left_out[0] == "the noise ceiling, as these were measured once: 'model2'"
    assert (
        np.isnan(evaluation.targets()["reliability"]).tolist() == [False] * 2 + [True] + [False] * 2
    )
    for truth in (Truth(once), random_truth(5)):
        with pytest.raises(ConfigError, match=r"measured once: .*'model2'.* column 'repeat'"):
            evaluate_scores(truth, None, relevant=2, weigh_by_reliability=True)


def test_a_truth_whose_repeats_agree_nowhere_cannot_be_weighed() -> None:
    rows = [
        ("t", source, repeat, sign * value)
        for value, source in enumerate("abc", start=1)
        for repeat, sign in (("1", 1.0), ("2", -2.0))
    ]
    truth = Truth(pd.DataFrame(rows, columns=["target", "source", "repeat", "value"]))
    with pytest.raises(ConfigError, match="its repeats agree on no target"):
        evaluate_scores(truth, None, relevant=1, weigh_by_reliability=True)


def test_layers_have_a_reliability_for_each_pair() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (target, source, f"layer{number}", repeat, number + float(rng.normal()))
        for target in ("t", "u")
        for source in ("s", "v")
        for number in range(5)
        for repeat in ("1", "2")
    ]
    names = ["target", "source", "layer", "repeat", "value"]
    evaluation = evaluate_scores(Truth(pd.DataFrame(rows, columns=names)), None, relevant=2)
    assert evaluation.targets()[["target", "source"]].to_numpy().tolist() == [
        ["t", "s"],
        ["t", "v"],
        ["u", "s"],
        ["u", "v"],
    ]
    assert evaluation.targets()["reliability"].between(0, 1).all()
    assert NOISE_CEILING in evaluation.baselines
