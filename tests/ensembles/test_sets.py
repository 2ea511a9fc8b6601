"""Values of sets of models: against slow oracles, copies, and greedy against exhaustive choice."""

from __future__ import annotations

import numpy as np
import pytest

from depara.ensembles import choose, e_leep, ms_leep, predicted_share
from depara.ensembles.smoothers import unit_gram
from depara.labelled import LabelledFeatures, label_scores
from depara.labelled.outputs import expected_predictions
from depara.similarity.scores import score_block, score_vectors
from tests.oracle import ensembles as oracle
from tests.oracle.grams import grams_of

RNG = np.random.default_rng(0)
LABELS = ["a"] * 9 + ["b"] * 7 + ["c"] * 8
NUM = len(LABELS)


def classifier(seed: int, known: str) -> np.ndarray:
    """Logits of three classes that are right about one class of the labels, and noise elsewhere."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((NUM, 3))
    logits[[y == known for y in LABELS], 0] += 4.0
    return logits.astype(np.float32)


def chances(outputs_NC: np.ndarray) -> np.ndarray:
    grams = grams_of(RNG.standard_normal((NUM, 4)))
    return expected_predictions(LabelledFeatures.select(grams, LABELS, outputs_NC))


ZOO = {f"{name}{seed}": classifier(seed, name) for seed, name in enumerate("aabbcc")}
PARTS = {name: chances(outputs) for name, outputs in ZOO.items()}
FEATURES = {f"m{seed}": np.random.default_rng(seed).standard_normal((20, 6)) for seed in range(6)}
GRAMS = {name: unit_gram(grams_of(x).zscored_NN) for name, x in FEATURES.items()}


def target_of(*names: str) -> np.ndarray:
    """Features that some models hold parts of."""
    rng = np.random.default_rng(99)
    parts = [FEATURES[name] @ rng.standard_normal((6, 5)) for name in names]
    return np.hstack(parts) + 0.3 * rng.standard_normal((20, 5 * len(names)))


def test_e_leep_is_the_papers():
    members = ["a0", "b2", "c5"]
    expected = oracle.e_leep([ZOO[name].astype(np.float64) for name in members], LABELS)
    assert e_leep([PARTS[name] for name in members]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("score", [e_leep, ms_leep])
def test_one_member_alone_has_its_leep_and_a_copy_adds_nothing(score):
    grams = grams_of(RNG.standard_normal((NUM, 4)))
    for name, outputs_NC in ZOO.items():
        leep = label_scores(grams, LABELS, outputs_NC=outputs_NC)["leep"].value
        assert score([PARTS[name]]) == leep
        assert score([PARTS[name], PARTS[name]]) == leep


def test_ms_leep_is_the_mean_and_never_above_e_leep():
    members = list(PARTS.values())
    assert ms_leep(members) == pytest.approx(np.mean([e_leep([one]) for one in members]))
    assert ms_leep(members) < e_leep(members)


def test_the_share_of_a_set_is_that_of_regressions_without_each_probe():
    # One probe is left out of the regression; its z-scores are those of all, as in `directed`.
    target = target_of("m0", "m1")
    for names in (["m0"], ["m0", "m1"], ["m0", "m1", "m4"]):
        got = predicted_share([GRAMS[name] for name in names], grams_of(target).zscored_NN)
        expected = oracle.predicted_share([FEATURES[name] for name in names], target)
        assert got == pytest.approx(expected, rel=1e-9), names


def test_the_share_of_labels_is_that_of_regressions_on_one_hot_columns():
    one_hot = np.eye(3)[np.arange(20) % 3]
    centred = one_hot - one_hot.mean(axis=0)
    for names in (["m0"], ["m3", "m4"]):
        got = predicted_share([GRAMS[name] for name in names], centred @ centred.T)
        expected = oracle.predicted_share(
            [FEATURES[name] for name in names], one_hot, is_labels=True
        )
        assert got == pytest.approx(expected, rel=1e-9), names


def test_the_share_of_one_member_is_its_directed_score_and_a_copy_adds_nothing():
    target = grams_of(target_of("m0", "m1"))
    for name, gram_NN in GRAMS.items():
        source_V = score_vectors("directed", grams_of(FEATURES[name]), "source")
        target_V = score_vectors("directed", target, "target")
        directed = float(score_block("directed", source_V[None], target_V[None])[0, 0])
        alone = predicted_share([gram_NN], target.zscored_NN)
        assert alone == pytest.approx(directed, abs=1e-5)
        assert predicted_share([gram_NN] * 3, target.zscored_NN) == pytest.approx(alone, rel=1e-12)


def test_constant_features_predict_nothing():
    zero_NN = unit_gram(np.zeros((20, 20)))
    target = grams_of(target_of("m0", "m1")).zscored_NN
    assert predicted_share([zero_NN], target) == 0.0
    assert predicted_share([GRAMS["m0"]], zero_NN) == 0.0


@pytest.mark.parametrize("pair", [("m0", "m1"), ("m2", "m5"), ("m1", "m4")])
def test_greedy_finds_the_two_that_hold_the_target(pair: tuple[str, str]):
    target = grams_of(target_of(*pair)).zscored_NN
    steps = choose(GRAMS, lambda members: predicted_share(members, target), 3)
    best, value = oracle.best_set(GRAMS, lambda members: predicted_share(members, target), 3)
    assert set(pair) == {step.model_id for step in steps} == best
    assert steps[-1].value == pytest.approx(value)
    assert [step.gain for step in steps[1:]] == pytest.approx([steps[1].value - steps[0].value])
    assert steps[0].gain == steps[0].alone == steps[0].value


def test_greedy_is_near_the_best_set_of_classifiers_and_takes_what_differs():
    steps = choose(PARTS, e_leep, 3)
    assert len({step.model_id[0] for step in steps}) == len(steps) > 1
    _, best = oracle.best_set(PARTS, e_leep, 3)
    worst = min(e_leep([part]) for part in PARTS.values())
    assert (steps[-1].value - worst) >= (1 - 1 / np.e) * (best - worst)
    assert all(step.gain > 0 for step in steps[1:])


def test_each_member_alone_counts_in_ms_leep():
    steps = choose(PARTS, ms_leep, 3)
    assert len(steps) == 1  # any other lowers the mean
    assert steps[0].value == max(ms_leep([part]) for part in PARTS.values())


def test_a_copy_is_not_chosen_and_names_settle_ties():
    copies = {"y": PARTS["a0"], "x": PARTS["a0"]}
    assert [step.model_id for step in choose(copies, e_leep, 2)] == ["x"]
