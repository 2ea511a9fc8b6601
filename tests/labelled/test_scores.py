"""The scores with labels: against slow oracles, invariances, and what is not defined."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from depara.catalog import LABEL_SCORES
from depara.grams import GraphGrams
from depara.labelled import label_scores, undefined_scores
from tests.labelled.clusters import OF_FEATURES, clustered, values
from tests.oracle import labelled as oracle
from tests.oracle.grams import grams_of

# More dimensions than probes, fewer, and many more than principal components are kept.
CASES = {
    "wide": clustered((12, 9, 11), 60, spread=1.5),
    "narrow": clustered((14, 10, 6, 10), 5, spread=0.8, seed=1),
    "large": clustered((45, 40), 150, spread=3.0, seed=2),
}
# The authors' floor keeps LogME's iteration off the maximum where labels are predicted exactly;
# the mixture stops at a tolerance.
TOLERANCE = {"logme": 5e-4, "nleep": 1e-6}
OF_CENTRED = ["h_score", "transrate", "nleep", "gbc", "parc_zscore", "sfda", "ncti"]
OF_PEARSON = ["parc", "parc_zscore"]


def close(name: str, exact: float = 1e-9) -> float:
    """What the iterative scores may differ by when only rounding does."""
    return 1e-5 if name in TOLERANCE else exact


@pytest.mark.parametrize("case", CASES)
def test_values_agree_with_the_papers(case: str):
    features_ND, labels = CASES[case]
    got = values(features_ND, labels)
    for name, value in got.items():
        expected = oracle.LABEL_SCORES[name](features_ND, labels)
        assert value == pytest.approx(expected, rel=1e-7, abs=TOLERANCE.get(name, 1e-9)), name


def test_shrinkage_is_scikit_learns():
    covariance = pytest.importorskip("sklearn.covariance")
    for features_ND, _ in CASES.values():
        assert oracle.ledoit_wolf(features_ND)[1] == pytest.approx(
            covariance.ledoit_wolf_shrinkage(features_ND), rel=1e-9
        )


@pytest.mark.parametrize("name", OF_FEATURES)
def test_separate_classes_score_above_mixed_ones_above_shuffled_labels(name: str):
    # Few dimensions: with more dimensions than probes per class, TransRate orders spectra.
    near, labels = clustered((60, 60, 60), 4, spread=1.0, seed=3)
    far, _ = clustered((60, 60, 60), 4, spread=0.15, seed=3)
    shuffled = [str(y) for y in np.random.default_rng(0).permutation(labels)]
    assert values(far, labels)[name] > values(near, labels)[name] > values(near, shuffled)[name]


@pytest.mark.parametrize("name", OF_FEATURES)
def test_isotropic_scale_and_order_of_dimensions_do_not_matter(name: str):
    features_ND, labels = CASES["wide"]
    order = np.random.default_rng(2).permutation(features_ND.shape[1])
    for factor in (1e-4, 3000.0):
        changed = values(factor * features_ND[:, order], labels)[name]
        assert changed == pytest.approx(values(features_ND, labels)[name], rel=close(name))


@pytest.mark.parametrize("name", [name for name in OF_FEATURES if name not in OF_PEARSON])
def test_rotations_do_not_matter(name: str):
    features_ND, labels = CASES["wide"]
    size = features_ND.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(5).standard_normal((size, size)))[0]
    turned = values(features_ND @ rotation, labels)[name]
    assert turned == pytest.approx(values(features_ND, labels)[name], rel=close(name))


@pytest.mark.parametrize("name", OF_CENTRED)
def test_a_shift_of_all_probes_does_not_matter(name: str):
    features_ND, labels = CASES["narrow"]
    shift = np.arange(features_ND.shape[1]) - 3.0
    moved = values(features_ND + shift, labels)[name]
    assert moved == pytest.approx(values(features_ND, labels)[name], rel=close(name))


def test_parc_does_not_see_each_probes_shift_and_scale():
    features_ND, labels = CASES["wide"]
    rng = np.random.default_rng(4)
    size = (len(labels), 1)
    changed = features_ND * rng.uniform(1, 9, size) + rng.uniform(-9, 9, size)
    assert values(changed, labels)["parc"] == pytest.approx(values(features_ND, labels)["parc"])


@pytest.mark.parametrize("name", OF_FEATURES)
def test_names_of_classes_and_order_of_probes_do_not_matter(name: str):
    features_ND, labels = CASES["wide"]
    expected = values(features_ND, labels)[name]
    new_names = {"class 0": "zebra", "class 1": "", "class 2": "ant"}
    renamed = [new_names[y] for y in labels]
    assert values(features_ND, renamed)[name] == pytest.approx(expected, rel=close(name))
    order = np.random.default_rng(3).permutation(len(labels))
    moved = values(features_ND[order], [labels[i] for i in order])[name]
    assert moved == pytest.approx(expected, rel=close(name))


@pytest.mark.parametrize("name", OF_FEATURES)
def test_grams_summed_in_single_precision_give_the_same_scores(name: str):
    features_ND, labels = CASES["wide"]
    grams = grams_of(features_ND)
    single = GraphGrams(
        raw_NN=grams.raw_NN.astype(np.float32).astype(np.float64),
        zscored_NN=grams.zscored_NN.astype(np.float32).astype(np.float64),
        raw_sums_N=grams.raw_sums_N.astype(np.float32).astype(np.float64),
        zscored_sums_N=grams.zscored_sums_N.astype(np.float32).astype(np.float64),
        num_features=grams.num_features,
    )
    value = label_scores(single, labels)[name].value
    assert value == pytest.approx(values(features_ND, labels)[name], rel=1e-4)


@pytest.mark.parametrize("name", OF_FEATURES)
def test_probes_without_a_label_are_left_out(name: str):
    features_ND, labels = CASES["wide"]
    kept = [i for i in range(len(labels)) if i % 5]
    part = [y if i in kept else None for i, y in enumerate(labels)]
    value = label_scores(grams_of(features_ND), part)[name].value
    alone = values(features_ND[kept], [labels[i] for i in kept])[name]
    if LABEL_SCORES[name].needs == "raw":
        assert value == pytest.approx(alone, rel=close(name))
    else:  # deviations are those of all probes
        assert value != alone
        assert value == pytest.approx(alone, abs=0.05)


def test_the_same_twice_is_the_same():
    grams = grams_of(CASES["large"][0])
    assert label_scores(grams, CASES["large"][1]) == label_scores(grams, CASES["large"][1])


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([None] * 8, "no probe has a label"),
        (["cat"] * 8, r"the 8 labelled probes are of 1 class \('cat'\), needs 2"),
        ([*"abcdefg", None], "each of the 7 labelled probes is the only one of its class"),
        (["a", "b", *[None] * 6], "each of the 2 labelled probes is the only one"),
    ],
)
def test_labels_without_classes_define_no_score(labels: list[str | None], reason: str):
    grams = grams_of(np.random.default_rng(0).standard_normal((8, 5)))
    scores = label_scores(grams, labels)
    assert scores.keys() == LABEL_SCORES.keys() == undefined_scores(labels).keys()
    for name, score in scores.items():
        assert math.isnan(score.value)
        assert score.reason == undefined_scores(labels)[name]
        assert re.match(reason, score.reason)


def test_a_score_that_needs_more_leaves_the_others_alone():
    features_ND = np.random.default_rng(0).standard_normal((9, 5))
    outputs_NC = features_ND[:, :3].astype(np.float32)
    scores = label_scores(grams_of(features_ND), list("aaaabbbbc"), outputs_NC=outputs_NC)
    assert math.isnan(scores["gbc"].value)
    assert scores["gbc"].reason == "class 'c' has 1 labelled probe, needs 2"
    assert all(math.isfinite(score.value) for name, score in scores.items() if name != "gbc")
    assert all(score.reason is None for name, score in scores.items() if name != "gbc")
    scores = label_scores(grams_of(features_ND[:5]), list("aabbb"), outputs_NC=outputs_NC[:5])
    assert scores["knn"].reason == "5 probes have a label, needs 6"
    assert [name for name, score in scores.items() if math.isnan(score.value)] == ["knn"]


@pytest.mark.parametrize(
    "constant",
    [
        np.zeros((8, 6)),
        np.full((8, 6), 0.1),
        np.tile(np.random.default_rng(0).standard_normal(6), (8, 1)),
    ],
    ids=["zero", "one value", "one probe"],
)
def test_features_that_do_not_differ_define_no_score(constant: np.ndarray):
    for score in label_scores(grams_of(constant), list("aaaabbbb")).values():
        assert math.isnan(score.value)
        assert score.reason == "the features of the 8 labelled probes do not differ"


def test_features_that_differ_only_at_probes_without_a_label_define_no_score():
    features_ND = np.ones((8, 6))
    features_ND[7] = 5.0
    scores = label_scores(grams_of(features_ND), [*"aaabbbb", None])
    assert {score.reason for score in scores.values()} == {
        "the features of the 7 labelled probes do not differ"
    }


def test_a_single_feature_has_no_correlations_and_all_other_scores():
    features_ND = np.random.default_rng(0).standard_normal((20, 1))
    scores = label_scores(grams_of(features_ND), list("ab") * 10)
    undefined = {name for name in OF_FEATURES if math.isnan(scores[name].value)}
    assert undefined == {"parc", "parc_zscore"}
    assert scores["parc"].reason == "these features and labels give no finite value"


def test_a_dead_probe_is_a_probe_like_others():
    features_ND, labels = CASES["wide"]
    dead_ND = features_ND.copy()
    dead_ND[3] = 0.0
    assert all(math.isfinite(value) for value in values(dead_ND, labels).values())


def test_features_that_are_the_labels_give_the_best_values():
    # A saturated classifier: one-hot outputs, equal within a class.
    best = values(np.repeat(np.eye(3), 8, axis=0), [y for y in "abc" for _ in range(8)])
    assert best["knn"] == 1.0
    assert best["nleep"] == pytest.approx(0.0, abs=1e-9)
    assert best["gbc"] == pytest.approx(0.0, abs=1e-9)
    assert best["h_score"] == pytest.approx(2.0, rel=0.1)
    assert best["logme"] > 1.0
    assert best["lfc"] == pytest.approx(1.0)
    assert best["ncti"] == pytest.approx(3.0)
    assert best["parc"] == pytest.approx(best["parc_zscore"])


def test_many_small_classes_are_taken():
    features_ND, labels = clustered((2,) * 40, 30, spread=0.5)
    assert values(features_ND, labels)["h_score"] <= 39


def test_labels_must_be_as_many_as_probes():
    grams = grams_of(CASES["wide"][0])
    with pytest.raises(ValueError, match="31 labels for 32 probes"):
        label_scores(grams, CASES["wide"][1][1:])


def test_a_gram_that_cannot_be_decomposed_is_a_reason_not_an_error(
    monkeypatch: pytest.MonkeyPatch,
):
    def fails(_: np.ndarray) -> None:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    monkeypatch.setattr(np.linalg, "eigh", fails)
    scores = label_scores(grams_of(CASES["wide"][0]), CASES["wide"][1])
    assert "Eigenvalues did not converge" in (scores["logme"].reason or "")
    assert math.isfinite(scores["knn"].value)


def test_the_table_says_what_each_score_is():
    for score in LABEL_SCORES.values():
        assert score.meaning
        assert score.reference
        assert score.min_classes >= 2
