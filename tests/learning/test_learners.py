"""The learners against their slow forms, and on pasts whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from depara.learning.factorisation import FACTORS, RIDGES, factorisation, low_rank
from depara.learning.past import Past, past_of
from depara.learning.ranker import RIDGE, ranker, weights
from tests.learning.pasts import pair_scores, source_quality, truth_of
from tests.oracle import learning as oracle


def noisy_past(seed: int = 0) -> Past:
    scores = pair_scores(seed)
    rng = np.random.default_rng(seed)
    values = scores["cka"] + 0.2 * rng.normal(size=len(scores))
    kept = rng.uniform(size=len(scores)) < 0.8
    return past_of(scores, truth_of(scores[kept], values[kept]), "cka")


def test_factors_complete_what_is_of_so_few() -> None:
    rng = np.random.default_rng(0)
    values_TM = rng.normal(size=(8, 1)) @ rng.normal(size=(1, 10))
    known_TM = rng.uniform(size=values_TM.shape) < 0.9
    np.testing.assert_allclose(low_rank(values_TM, known_TM, 1), values_TM, atol=1e-3)
    everything = np.ones_like(known_TM)
    np.testing.assert_allclose(low_rank(values_TM, everything, 1), values_TM, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_target_is_placed_by_kernel_ridge_regression(seed: int) -> None:
    past = noisy_past(seed).without(5)
    popularity_M = past.popularity_M
    known_TM = np.isfinite(past.fraction_TM)
    residual_TM = np.where(known_TM, past.fraction_TM - popularity_M, 0.0)
    product_TM = low_rank(residual_TM, known_TM, FACTORS)
    kernel_TT = past.likeness_MM[np.ix_(past.targets_T, past.targets_T)]
    ridge = min(RIDGES, key=lambda one: oracle.left_out_error(kernel_TT, product_TM, one))
    expected_M = popularity_M + oracle.placed(
        kernel_TT, past.likeness_MM[5, past.targets_T], product_TM, ridge
    )
    np.testing.assert_allclose(factorisation(past, 5), expected_M, atol=1e-9)


def test_a_target_like_no_other_gets_popularity() -> None:
    past = noisy_past().without(5)
    likeness_MM = past.likeness_MM.copy()
    likeness_MM[5, :5] = likeness_MM[5, 6:] = 0.0
    past = replace(past, likeness_MM=likeness_MM)
    np.testing.assert_allclose(factorisation(past, 5), past.popularity_M, atol=1e-12)


def test_a_target_inherits_what_served_its_twin() -> None:
    """Two families of targets want opposite sources; popularity cannot tell them apart."""
    scores = pair_scores()
    place = {name: number for number, name in enumerate(sorted(set(scores["target"])))}
    family = scores["target"].map(place) % 2 * 2 - 1
    truth = truth_of(scores, family * source_quality(scores))
    past = past_of(scores, truth, "cka")
    twins_MM = np.equal.outer(np.arange(12) % 2, np.arange(12) % 2).astype(np.float64)
    past = replace(past, likeness_MM=twins_MM)
    for target in range(12):
        others = past.without(target)
        measured = past.candidates(target)
        row = past.targets_T.tolist().index(target)
        truth_C = past.fraction_TM[row][measured]
        learned = np.corrcoef(factorisation(others, target)[measured], truth_C)[0, 1]
        assert learned > 0.9
        assert abs(np.corrcoef(others.popularity_M[measured], truth_C)[0, 1]) < 0.9


@pytest.mark.parametrize("seed", [0, 1])
def test_the_weights_minimise_the_loss_among_those_that_are_not_negative(seed: int) -> None:
    past = noisy_past(seed)
    features = [
        np.column_stack([past.scores_MMK[target], past.without(int(target)).popularity_M])
        for target in past.targets_T
    ]
    found_F = weights(past)
    assert (found_F >= 0).all()
    lowest = oracle.pair_loss(found_F, features, past.fraction_TM, RIDGE)
    rng = np.random.default_rng(seed)
    for size in (1e-2, 1e-1, 1.0):
        for _ in range(20):
            other_F = np.maximum(found_F + size * rng.normal(size=len(found_F)), 0)
            loss = oracle.pair_loss(other_F, features, past.fraction_TM, RIDGE)
            assert loss >= lowest - 1e-7


def test_the_ranker_finds_the_score_that_made_the_truth_and_drops_what_contradicts_it() -> None:
    scores = pair_scores()
    scores["upside_down"] = -scores["node_similarity"]
    past = past_of(scores, truth_of(scores, scores["node_similarity"]), "cka")
    by_name = dict(zip((*past.scores, "popularity"), weights(past), strict=True))
    assert max(by_name, key=lambda name: by_name[name]) == "node_similarity"
    assert by_name["upside_down"] == 0
    ranked_M = ranker(past.without(2), 2)
    assert np.isnan(ranked_M[2])
    measured = past.candidates(2)
    truth_C = past.scores_MMK[2, measured, past.scores.index("node_similarity")]
    assert np.corrcoef(ranked_M[measured], truth_C)[0, 1] > 0.9


def test_targets_that_tell_nothing_apart_teach_nothing() -> None:
    scores = pair_scores()
    past = past_of(scores, truth_of(scores, np.ones(len(scores))), "cka")
    np.testing.assert_allclose(weights(past), 0, atol=1e-6)
