"""Scores of what a classifier returned: by hand, against the papers, and where there is nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depara.labelled import label_scores
from tests.labelled.clusters import clustered
from tests.oracle import labelled as oracle
from tests.oracle.grams import grams_of

FEATURES_ND, LABELS = clustered((12, 9, 11), 20, spread=1.5)
OUTPUTS_NC = (3 * np.random.default_rng(1).standard_normal((32, 5))).astype(np.float32)


def scored(outputs_NC: np.ndarray, labels: list[str | None]) -> dict[str, float]:
    grams = grams_of(FEATURES_ND[: len(labels)])
    found = label_scores(grams, labels, outputs_NC=outputs_NC.astype(np.float32))
    return {name: found[name].value for name in ("leep", "nce")}


def test_values_agree_with_the_papers():
    found = scored(OUTPUTS_NC, list(LABELS))
    assert found["leep"] == pytest.approx(oracle.leep(OUTPUTS_NC, LABELS), rel=1e-9)
    assert found["nce"] == pytest.approx(oracle.nce(OUTPUTS_NC, LABELS), rel=1e-9)


def test_two_probes_of_each_class_by_hand():
    # Probabilities of the first source class: 3/4, 3/4 of a; 1/4, 1/4 of b: P(a | z1) = 3/4, and
    # each probe expects (3/4)^2 + (1/4)^2 = 5/8. The predicted class tells a from b.
    outputs_NC = np.log([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0], [1.0, 3.0]])
    found = scored(outputs_NC, list("aabb"))
    assert found["leep"] == pytest.approx(math.log(5 / 8), rel=1e-6)
    assert found["nce"] == pytest.approx(0.0, abs=1e-12)
    # A model that always says the same leaves the entropy of the labels.
    same = scored(np.tile([2.0, 1.0], (4, 1)), list("aabb"))
    assert same["leep"] == pytest.approx(math.log(1 / 2), rel=1e-6)
    assert same["nce"] == pytest.approx(math.log(1 / 2), rel=1e-6)


def test_the_order_of_the_models_classes_and_a_shift_of_logits_do_not_matter():
    expected = scored(OUTPUTS_NC, list(LABELS))
    moved = scored(OUTPUTS_NC[:, [3, 1, 4, 0, 2]] + 7, list(LABELS))
    assert moved == pytest.approx(expected, rel=1e-5)


def test_probes_without_a_label_are_left_out():
    part = [y if i % 4 else None for i, y in enumerate(LABELS)]
    kept = [i for i in range(32) if i % 4]
    expected = oracle.leep(OUTPUTS_NC[kept], [LABELS[i] for i in kept])
    assert scored(OUTPUTS_NC, part)["leep"] == pytest.approx(expected, rel=1e-9)


def test_large_logits_do_not_overflow():
    assert scored(1e6 * OUTPUTS_NC, list(LABELS))["leep"] == pytest.approx(
        oracle.nce(OUTPUTS_NC, LABELS), rel=1e-6
    )


def test_a_graph_without_a_return_value_says_why_there_is_no_score():
    found = label_scores(grams_of(FEATURES_ND), LABELS, [50])
    for name in ("leep", "nce", "leep@hard50"):
        assert math.isnan(found[name].value)
        assert "no return value of the model is kept beside this graph" in (
            found[name].reason or ""
        )
        assert "store_outputs" in (found[name].reason or "")
