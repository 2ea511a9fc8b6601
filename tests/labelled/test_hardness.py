"""The hard probes: which they are, and that their scores are those of a graph of them alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depara.catalog import LABEL_SCORES, hard_name, is_of_hard_probes, votes
from depara.labelled import LabelledFeatures, label_scores, score_names
from depara.labelled.centres import margins
from depara.labelled.hardness import hard_probes
from tests.labelled.clusters import clustered
from tests.oracle import labelled as oracle
from tests.oracle.grams import grams_of

FEATURES_ND, LABELS = clustered((12, 9, 11), 60, spread=1.5)


def hardest(percent: int) -> list[int]:
    """Places of the hardest of each class, from the features themselves."""
    margin = oracle.margins(FEATURES_ND, LABELS)
    kept = []
    for members in oracle.classes(LABELS).values():
        ordered = sorted(members, key=lambda i: -margin[i])
        kept += ordered[: math.ceil(len(members) * percent / 100)]
    return sorted(kept)


def test_margins_are_those_of_the_features():
    features = LabelledFeatures.select(grams_of(FEATURES_ND), LABELS)
    np.testing.assert_allclose(margins(features), oracle.margins(FEATURES_ND, LABELS), rtol=1e-9)


def test_all_probes_give_the_plain_scores_bit_for_bit():
    outputs_NC = FEATURES_ND[:, :4].astype(np.float32)
    found = label_scores(grams_of(FEATURES_ND), LABELS, [100], outputs_NC)
    for name in LABEL_SCORES:
        assert math.isfinite(found[name].value)
        assert found[hard_name(name, 100)].value == found[name].value, name


@pytest.mark.parametrize("percent", [50, 25])
def test_scores_of_hard_probes_are_the_papers_of_those_probes(percent: int):
    kept = hardest(percent)
    assert len(kept) == sum(math.ceil(size * percent / 100) for size in (12, 9, 11))
    features = LabelledFeatures.select(grams_of(FEATURES_ND), LABELS)
    part = hard_probes(features, percent)
    np.testing.assert_array_equal(part.raw_NN, features.raw_NN[np.ix_(kept, kept)])
    found = label_scores(grams_of(FEATURES_ND), LABELS, [percent])
    labels = [LABELS[place] for place in kept]
    for name in ("knn", "h_score", "lfc", "gbc", "ncti"):
        expected = oracle.LABEL_SCORES[name](FEATURES_ND[kept], labels)
        assert found[hard_name(name, percent)].value == pytest.approx(expected, rel=1e-7), name
        assert found[hard_name(name, percent)].value != pytest.approx(found[name].value), name


def test_hard_probes_are_harder():
    found = label_scores(grams_of(FEATURES_ND), LABELS, [50])
    assert found["knn@hard50"].value < found["knn"].value


def test_too_few_hard_probes_are_a_reason_that_says_so():
    found = label_scores(grams_of(FEATURES_ND[:9]), list("aaaabbbbc"), [30])
    assert found["gbc@hard30"].reason == (
        "of the hardest 30 %: class 'c' has 1 labelled probe, needs 2"
    )
    assert found["knn@hard30"].reason == "of the hardest 30 %: 5 probes have a label, needs 6"
    alone = label_scores(grams_of(FEATURES_ND[:4]), ["a"] * 4, [50])
    assert alone["knn@hard50"].reason == alone["knn"].reason
    flat = label_scores(grams_of(np.ones((8, 3))), list("aaaabbbb"), [50])
    assert flat["knn@hard50"].reason == "the features of the 8 labelled probes do not differ"


def test_names_are_told_apart():
    names = score_names([25, 50])
    assert len(names) == len(set(names)) == 3 * len(LABEL_SCORES)
    assert [name.partition("@")[0] for name in names] == list(LABEL_SCORES) * 3
    assert [name for name in names if not is_of_hard_probes(name)] == list(LABEL_SCORES)
    assert votes("knn")
    assert not votes("knn@hard25")
    assert not votes("lfc")
