"""The directed score's cheap form: a low-rank target, and the bounds of its error."""

from __future__ import annotations

import numpy as np
import pytest

from depara.grams import GraphGrams
from depara.similarity.directed import LowRankTarget, low_rank_target, residual_gain
from depara.similarity.scores import score_block, score_vectors
from tests.oracle import scores as oracle

N = 40


def zoo() -> list[GraphGrams]:
    """Six models of falling spectra that see parts of the same things."""
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((N, 30)) * 0.85 ** np.arange(30)
    return [
        GraphGrams.from_features(
            seen[:, part] @ rng.standard_normal((part.stop - part.start, width))
            + noise * rng.standard_normal((N, width))
        )
        for width, part, noise in [
            (9, slice(0, 5), 0.1),
            (30, slice(0, 25), 0.3),
            (200, slice(5, 30), 0.0),
            (64, slice(20, 30), 0.5),
            (3, slice(0, 30), 0.1),
            (500, slice(0, 1), 1.0),
        ]
    ]


def block(targets: np.ndarray) -> np.ndarray:
    sources = np.stack([score_vectors("directed", grams, "source") for grams in zoo()])
    return score_block("directed", sources, targets)


def exact() -> np.ndarray:
    return block(np.stack([score_vectors("directed", grams, "target") for grams in zoo()]))


def low_rank(rank: int) -> tuple[np.ndarray, list[LowRankTarget]]:
    targets = [low_rank_target(grams, rank) for grams in zoo()]
    return block(np.stack([target.vector() for target in targets])), targets


@pytest.mark.parametrize("rank", [1, 2, 4, 8, 16, 32])
def test_the_error_of_a_low_rank_target_lies_within_its_bounds(rank: int):
    values_AB, targets = low_rank(rank)
    error_AB = exact() - values_AB
    for source, grams in enumerate(zoo()):
        gain = residual_gain(grams)
        assert gain >= 1
        for number, target in enumerate(targets):
            low, high = target.error_bounds(gain)
            assert low <= 0 <= high
            assert low - 1e-6 <= error_AB[source, number] <= high + 1e-6


def test_the_bounds_are_reached_where_all_that_is_left_out_is_predicted():
    """Source and target hold the same two independent things; half of the target is left out."""
    one = np.tile([1.0, 1.0, -1.0, -1.0], N)
    other = np.tile([1.0, -1.0, 1.0, -1.0], N)
    grams = GraphGrams.from_features(np.column_stack([one, other]))
    target = low_rank_target(grams, 1)
    assert target.dropped == pytest.approx(0.5, abs=1e-12)
    source_1V = score_vectors("directed", grams, "source")[None]
    full = score_block("directed", source_1V, score_vectors("directed", grams, "target")[None])
    half = score_block("directed", source_1V, target.vector()[None])
    assert full[0, 0] > 0.99
    assert full[0, 0] - half[0, 0] == pytest.approx(target.error_bounds(1.0)[1], abs=0.01)


def test_the_share_left_out_falls_with_the_rank_to_nothing():
    ranks = [1, 2, 4, 8, 16, 32, N - 1]
    dropped = np.array([[target.dropped for target in low_rank(rank)[1]] for rank in ranks])
    assert (np.diff(dropped, axis=0) <= 1e-12).all()
    np.testing.assert_allclose(dropped[-1], 0, atol=1e-12)
    np.testing.assert_allclose(low_rank(N - 1)[0], exact(), rtol=0, atol=1e-6)


def test_the_share_left_out_is_that_of_the_principal_components():
    features_ND = np.random.default_rng(0).standard_normal((N, 6)) @ np.diag([5, 3, 1, 1, 1, 1.0])
    singular = np.linalg.svd(oracle.zscore(features_ND), compute_uv=False)
    target = low_rank_target(GraphGrams.from_features(features_ND), 2)
    expected = (singular[2:] ** 2).sum() / (singular**2).sum()
    assert target.dropped == pytest.approx(expected, rel=1e-9)
    assert target.factor_Nr.shape == (N, 2)
    assert target.factor_Nr.dtype == np.float32


def test_the_gain_is_the_largest_growth_of_a_left_out_residual():
    """Against the residual maker built column by column: ridge without one probe, for every one."""
    features_ND = np.random.default_rng(0).standard_normal((N, 7))
    scaled = oracle.zscore(features_ND)
    scaled /= np.sqrt(np.mean(np.sum(scaled**2, axis=1)))
    residual = np.eye(N)
    for i in range(N):
        kept = np.delete(np.arange(N), i)
        kernel = scaled[kept] @ scaled[kept].T + np.eye(N - 1)
        residual[i, kept] = -np.linalg.solve(kernel, scaled[kept] @ scaled[i])
    expected = np.linalg.norm(residual, ord=2) ** 2
    grams = GraphGrams.from_features(features_ND)
    assert residual_gain(grams) == pytest.approx(expected, rel=1e-9)
    largest = np.max(np.sum(scaled**2, axis=1))
    assert residual_gain(grams) <= (1 + largest) ** 2


def test_constant_features_have_no_components_and_no_gain():
    grams = GraphGrams.from_features(np.full((N, 5), 0.1))
    target = low_rank_target(grams, 3)
    assert (target.vector() == 0).all()
    assert target.dropped == 0
    assert residual_gain(grams) == 1


@pytest.mark.parametrize("rank", [0, N + 1])
def test_a_rank_beyond_the_probes_is_refused(rank: int):
    with pytest.raises(ValueError, match=f"rank must be 1 to {N}.*got {rank}"):
        low_rank_target(zoo()[0], rank)
