"""Resampling written out: copies of probes as copies of rows, ranks by sorting, lambda by search.

Efron, "Bootstrap methods: another look at the jackknife", 1979; Song et al., CVPR 2020, Eq. 5.
Nothing here is fast, and nothing is shared with the product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

from tests.oracle.scores import zscore

Array = NDArray[np.floating]


def drawn_probes(weights_N: Array) -> list[int]:
    """The probes of a resample, one entry per copy."""
    return [probe for probe, weight in enumerate(weights_N) for _ in range(round(float(weight)))]


def resampled_edges(edges_E: Array, weights_N: Array) -> Array:
    """The explicit edge list of a resample: all pairs of drawn probes but a probe and its copy."""
    square_NN = squareform(edges_E.astype(np.float64), checks=False)
    pairs = combinations(drawn_probes(weights_N), 2)
    return np.array([square_NN[p, q] for p, q in pairs if p != q], dtype=np.float64)


def resampled_edge_similarity(edges_a: Array, edges_b: Array, weights_N: Array) -> float:
    """Spearman's rho of two explicit edge lists; 0 when either has nothing to rank."""
    left, right = (resampled_edges(edges, weights_N) for edges in (edges_a, edges_b))
    if len(set(left.tolist())) < 2 or len(set(right.tolist())) < 2:
        return 0.0
    return float(spearmanr(left, right).statistic)


def resampled_node_similarity(maps_a: Array, maps_b: Array, weights_N: Array) -> float:
    """Mean inner product of the unit-norm maps of the drawn probes, cut off where float16 makes
    them longer than 1."""
    products = [
        math.fsum(maps_a[probe].astype(np.float64) * maps_b[probe].astype(np.float64))
        for probe in drawn_probes(weights_N)
    ]
    return max(-1.0, min(math.fsum(products) / len(products), 1.0))


def resampled_node_centred(maps_a: Array, maps_b: Array, mean: Array, weights_N: Array) -> float:
    """Cosine of the stacked maps of the drawn probes, each less the mean map of its probe; 0 where
    nothing is left."""
    drawn = drawn_probes(weights_N)
    left = (maps_a.astype(np.float64) - mean)[drawn].ravel()
    right = (maps_b.astype(np.float64) - mean)[drawn].ravel()
    norm = math.sqrt(math.fsum(left**2) * math.fsum(right**2))
    return math.fsum(left * right) / norm if norm > 1e-5 * len(drawn) else 0.0


def resampled_directed(source_ND: Array, target_ND: Array, weights_N: Array) -> float:
    """The share of the drawn probes' target variance that ridge regressions predict, each fitted
    without the probe it predicts, on all others once (see `tests.oracle.scores.directed`)."""
    source, target = zscore(source_ND), zscore(target_ND)
    scale = math.sqrt(float(np.mean(np.sum(source**2, axis=1))))
    source = source / scale if scale else source
    errors, squares = [], []
    for left_out in range(len(source)):
        kept = [probe for probe in range(len(source)) if probe != left_out]
        covariance = source[kept].T @ source[kept] + np.eye(source.shape[1])
        fit = np.linalg.solve(covariance, source[kept].T @ target[kept])
        errors.append(float(np.sum((target[left_out] - source[left_out] @ fit) ** 2)))
        squares.append(float(np.sum(target[left_out] ** 2)))
    drawn = drawn_probes(weights_N)
    variance = math.fsum(squares[probe] for probe in drawn)
    return 1 - math.fsum(errors[probe] for probe in drawn) / variance


def resampled_gulp(
    source_ND: Array, target_ND: Array, weights_N: Array, ridge: float = 1e-2
) -> float:
    """1 less the squared difference of what two ridge regressions, each on all probes, predict of
    random labels at the drawn ones, over ``N - 1`` (see `tests.oracle.scores.gulp`); 0 where
    features are constant."""
    smoothers = []
    for features in (source_ND.astype(np.float64), target_ND.astype(np.float64)):
        x = features - features.mean(axis=0)
        norm = float(np.linalg.norm(x))
        if norm == 0:
            return 0.0
        x = x * math.sqrt(len(x)) / norm
        covariance = x.T @ x / len(x) + ridge * np.eye(x.shape[1])
        smoothers.append(x @ np.linalg.solve(covariance, x.T) / len(x))
    count = len(smoothers[0])
    apart = [float(np.sum((smoothers[0][p] - smoothers[1][p]) ** 2)) for p in range(count)]
    drawn = drawn_probes(weights_N)
    return 1 - count / (count - 1) * math.fsum(apart[probe] for probe in drawn) / len(drawn)


def ranks_by_name(scores: dict[str, float]) -> dict[str, int]:
    """Rank 1 has the highest score; equal scores go by name."""
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return {name: place for place, name in enumerate(order, start=1)}


def first_choice_range(
    node: Sequence[float], edge: Sequence[float], lambda_: float, grid: Sequence[float]
) -> tuple[int, float, float]:
    """The first choice at ``lambda_``, and the grid's ends between which it has no superior.

    ``grid`` must hold ``lambda_`` and be sorted.
    """

    def first(value: float) -> int:
        return max(range(len(node)), key=lambda j: (node[j] + value * edge[j], -j))

    def holds(value: float) -> bool:
        scores = [n + value * e for n, e in zip(node, edge, strict=True)]
        return scores[choice] >= max(scores)

    choice = first(lambda_)
    place = list(grid).index(lambda_)
    low = high = place
    while low > 0 and holds(grid[low - 1]):
        low -= 1
    while high < len(grid) - 1 and holds(grid[high + 1]):
        high += 1
    return choice, grid[low], grid[high]
