"""A simulation with known truth: do 90 % intervals hold it nine times in ten?

Probes are drawn from a distribution, graphs are fixed functions of a probe; the truth is the score
with very many probes. Nothing but the probes is random, as in a scan.
"""

from __future__ import annotations

import numpy as np
import pytest

from depara.graph import edges_from_gram
from depara.types import Float64
from depara.uncertainty import resampled_scores
from depara.uncertainty.weights import probe_weights
from tests.oracle.similarity import unit_maps
from tests.similarity.engine.array_block import ArrayBlock

LATENT, FEATURES, PIXELS = 4, 12, 20
NUM_PROBES, NUM_TRIALS, NUM_RESAMPLES = 36, 150, 150
PLENTY_BYTES = 1 << 30


class Zoo:
    """Graph 0 is the target; the others resemble it less and less."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        shared = rng.standard_normal((LATENT, FEATURES))
        own = rng.standard_normal((4, LATENT, FEATURES))
        likeness = np.array([1, 0.9, 0.6, 0])[:, None, None]
        self.encoders = list(likeness * shared + (1 - likeness) * own)
        self.shared_map = rng.standard_normal((LATENT, PIXELS))
        self.own_maps = rng.standard_normal((4, LATENT, PIXELS))

    def graphs(self, num_probes: int, seed: int) -> ArrayBlock:
        latent = np.random.default_rng(seed).standard_normal((num_probes, LATENT))
        maps, edges = [], []
        for place, encoder in enumerate(self.encoders):
            features = np.tanh(latent @ encoder)
            edges.append(edges_from_gram(features @ features.T))
            shared = latent @ self.shared_map * (1 - 0.3 * place)
            own = np.sin(latent @ self.own_maps[place]) * (0.6 + 0.3 * place)
            maps.append(unit_maps(shared + own))
        return ArrayBlock(np.stack(maps), np.stack(edges))


def scores(graphs: ArrayBlock, num_resamples: int) -> Float64:
    """Node, edge and summed similarity of the three sources, as resampled: ``(3, 3, 1 + R)``."""
    num_probes = graphs.maps_GNP.shape[1]
    weights = probe_weights(num_probes, num_resamples=num_resamples, seed=1).weights_RN
    target, sources = graphs.part(slice(0, 1)), graphs.part(slice(1, 4))
    found = resampled_scores(sources, target, weights, memory_bytes=PLENTY_BYTES)
    node, edge = found.node_BAR[0].astype(np.float64), found.edge_BAR[0].astype(np.float64)
    return np.stack([node, edge, node + 2 * edge])


@pytest.fixture(scope="module")
def trials() -> Float64:
    """``(trials, 3 scores, 3 sources, 1 + R)``."""
    zoo = Zoo()
    seeds = range(NUM_TRIALS)
    return np.stack([scores(zoo.graphs(NUM_PROBES, seed), NUM_RESAMPLES) for seed in seeds])


def test_intervals_hold_the_truth_nine_times_in_ten(trials: Float64):
    zoo = Zoo()
    truth = np.mean([scores(zoo.graphs(700, 10_000 + seed), 0) for seed in range(4)], axis=0)
    low, high = np.quantile(trials[..., 1:], (0.05, 0.95), axis=-1)
    covered = ((low <= truth[..., 0]) & (truth[..., 0] <= high)).mean(axis=0)
    # Two binomial deviations of 150 trials are 0.05; few probes cost a little more.
    assert (covered > 0.82).all(), covered
    assert (covered < 0.97).all(), covered


def test_resamples_spread_like_scores_of_fresh_probes(trials: Float64):
    fresh = trials[..., 0].std(axis=0)
    ratio = trials[..., 1:].std(axis=-1).mean(axis=0) / fresh
    ratio = np.delete(ratio, 0, axis=1)  # rho 0.995: its distribution leans on the bound
    np.testing.assert_allclose(ratio, 1, atol=0.25)


def test_resampling_edges_instead_of_probes_would_be_overconfident(trials: Float64):
    """Edges that share a probe go together: 630 edges tell no more than their 36 probes."""
    edges_E = Zoo().graphs(NUM_PROBES, 0).edges_GE[[0, 3]]
    rng = np.random.default_rng(0)
    ranks = np.argsort(np.argsort(edges_E, axis=1), axis=1)
    rho = [np.corrcoef(ranks[:, rng.integers(0, 630, 630)])[0, 1] for _ in range(200)]
    assert np.std(rho) < 0.6 * trials[:, 1, 2, 0].std()
