"""The scores with boxes: against the papers in float64, by hand, and where they say nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depara.catalog import OBJECT_SCORES, voters
from depara.labelled import Labelling, ObjectFeatures, label_scores, logme_regression, object_scores
from depara.objects import ProbeObjects
from tests.labelled.clusters import clustered
from tests.oracle import labelled as oracle
from tests.oracle.grams import grams_of

TOLERANCE = 5e-4  # the authors add 1e-5 to two sums, the oracle does not


def objects(
    sizes: tuple[int, ...] = (12, 9, 11), dimensions: int = 6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features, boxes in shares of the side, and classes; features know a part of the boxes."""
    features_OD, labels = clustered(sizes, dimensions, spread=1.5, seed=seed)
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1, (len(labels), 2, 2)), axis=1).reshape(-1, 4)
    features_OD[:, :2] += 3 * corners[:, :2]
    return features_OD, corners, labels


def found(features_OD: np.ndarray, corners: np.ndarray, labels: list[str]) -> ObjectFeatures:
    probes = ProbeObjects(np.arange(len(labels)), corners, tuple(labels))
    return ObjectFeatures.select(features_OD, probes)


def scored(features_OD: np.ndarray, corners: np.ndarray, labels: list[str]) -> dict[str, float]:
    scores = object_scores(found(features_OD, corners, labels))
    assert all(score.reason is None for score in scores.values())
    return {name: score.value for name, score in scores.items()}


@pytest.mark.parametrize("dimensions", [3, 6, 40])
def test_values_agree_with_the_papers(dimensions: int) -> None:
    case = objects(dimensions=dimensions)
    got = scored(*case)
    assert got.keys() == OBJECT_SCORES.keys() == oracle.OBJECT_SCORES.keys()
    for name, value in got.items():
        assert value == pytest.approx(oracle.OBJECT_SCORES[name](*case), abs=TOLERANCE), name


def test_regression_on_the_classes_columns_is_logme() -> None:
    features_OD, _, labels = objects()
    one_hot = np.array([[float(y == name) for name in sorted(set(labels))] for y in labels])
    expected = label_scores(grams_of(features_OD), labels)["logme"].value
    assert logme_regression(features_OD, one_hot) == pytest.approx(expected, rel=1e-9)


def test_one_feature_and_one_target_by_hand() -> None:
    # X = (1, 1, 1, 1), y = (1, 1, 1, 1) + noise (+d, -d, +d, -d): the one direction has the
    # eigenvalue 4 and of y it holds z = 4 of 4 + 4 d^2. MacKay's fixed point: with g the kept
    # share of the direction, a = g / (g^2 z / 4), b = (4 - g) / (4 d^2 + (1 - g)^2 z).
    d, share = 0.5, 0.9
    for _ in range(1000):
        alpha = share / (share**2 * 4 / 4)
        beta = (4 - share) / (4 * d**2 + (1 - share) ** 2 * 4)
        share = 4 / (4 + alpha / beta)
    log_det = math.log(1 + beta / alpha * 4) - 4 * math.log(beta)
    expected = -0.5 * (log_det + 4 * (1 + math.log(2 * math.pi))) / 4
    target = np.array([[1 + d], [1 - d], [1 + d], [1 - d]])
    assert logme_regression(np.ones((4, 1)), target) == pytest.approx(expected, abs=1e-5)


def test_a_target_of_another_unit_moves_all_features_alike() -> None:
    (one, corners, _), (other, _, _) = objects(), objects(seed=1)
    shift = [
        logme_regression(x, 100 * corners) - logme_regression(x, corners) for x in (one, other)
    ]
    assert shift == pytest.approx([-math.log(100)] * 2, abs=2e-3)


def test_boxes_that_are_all_alike_leave_the_half_of_the_classes() -> None:
    features_OD, corners, labels = objects()
    same = np.tile([0.1, 0.2, 0.5, 0.6], (len(labels), 1))
    expected = label_scores(grams_of(features_OD), labels)["logme"].value
    assert scored(features_OD, same, labels)["tlogme"] == pytest.approx(expected, rel=1e-9)
    # A coordinate that never changes is left out, the others stay.
    part = np.hstack([corners[:, :3], same[:, 3:]])
    halves = expected, logme_regression(features_OD, corners[:, :3])
    assert scored(features_OD, part, labels)["tlogme"] == pytest.approx(np.mean(halves), rel=1e-9)


def test_one_class_leaves_the_regression_of_the_boxes() -> None:
    features_OD, corners, labels = objects()
    got = scored(features_OD, corners, ["cat"] * len(labels))
    expected = logme_regression(features_OD, corners)
    assert got["tlogme"] == pytest.approx(expected, rel=1e-9)
    assert got["u_logme"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", OBJECT_SCORES)
def test_features_that_know_classes_and_boxes_score_above_shuffled_ones(name: str) -> None:
    features_OD, corners, labels = objects((40, 40))
    shuffled = features_OD[np.random.default_rng(3).permutation(len(labels))]
    assert scored(features_OD, corners, labels)[name] > scored(shuffled, corners, labels)[name]


def test_scale_rotation_order_and_names_of_classes_do_not_matter() -> None:
    features_OD, corners, labels = objects()
    expected = scored(features_OD, corners, labels)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert scored(1e4 * features_OD @ turn, corners, labels) == pytest.approx(expected, abs=1e-5)
    order = np.random.default_rng(2).permutation(len(labels))
    moved = [f"z{labels[i]}" for i in order]
    assert scored(features_OD[order], corners[order], moved) == pytest.approx(expected, abs=1e-5)


def test_undefined_scores_say_why() -> None:
    features_OD, corners, labels = objects()
    cases = {
        "2 objects lie on the canvas, needs 3": found(features_OD[:2], corners[:2], labels[:2]),
        "do not differ": found(np.ones_like(features_OD), corners, labels),
        "one class and one box": found(features_OD, np.tile(corners[0], (32, 1)), ["cat"] * 32),
        "a reason of the layer": "a reason of the layer",
    }
    for reason, case in cases.items():
        score = object_scores(case)["tlogme"]
        assert math.isnan(score.value)
        assert reason in (score.reason or "")


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows of features, 2 of targets"):
        logme_regression(np.ones((3, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="not finite"):
        logme_regression(np.full((3, 2), np.nan), np.ones((3, 1)))


def test_boxes_vote_where_no_class_does() -> None:
    assert voters(["knn", "lfc", "tlogme", "u_logme"]) == {"knn"}
    assert voters(["lfc", "tlogme", "u_logme", "leep@hard25"]) == {"tlogme"}


def test_half_samples_keep_whole_probes_with_their_objects() -> None:
    probe_O = np.repeat(np.arange(10), 3)
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (30, 2, 2)), axis=1).reshape(-1, 4)
    boxes = ProbeObjects(probe_O, corners, tuple("ab" * 15))
    classes = ("x",) * 4 + (None,) * 6 + ("y",) * 4
    whole = Labelling(classes, boxes)
    features_OD = rng.normal(size=(30, 4)).astype(np.float32)
    for half in whole.halves(20, seed=1):
        assert half.kept is not None
        kept = [sum(place in half.kept for place in part) for part in (range(4), range(4, 10))]
        assert kept == [2, 3]
        assert [y for y in half.classes if y] == ["x"] * 2 + ["y"] * 2
        part = ObjectFeatures.select(features_OD, boxes, half.kept)
        assert part.num_objects == 15
        names = half.scores(grams_of(rng.normal(size=(14, 5))), [], None, features_OD)
        assert tuple(names) == whole.names([])
