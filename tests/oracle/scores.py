"""The label-free scores in float64, pair by pair, from the features, as their papers write them.

Nothing here is fast, nothing is a Gram matrix unless the paper says so, and nothing is shared with
the product.
"""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

Array = NDArray[np.floating]


def zscore(features_ND: Array) -> NDArray[np.float64]:
    """Every dimension over the probes: mean 0 and deviation 1, or 0 when it is constant."""
    out_ND = np.zeros(features_ND.shape)
    for d, column_N in enumerate(features_ND.astype(np.float64).T):
        mean = math.fsum(column_N) / len(column_N)
        deviation = math.sqrt(math.fsum((column_N - mean) ** 2) / len(column_N))
        if deviation > 1e-9 * abs(mean):
            out_ND[:, d] = (column_N - mean) / deviation
    return out_ND


def rsa(source_ND: Array, target_ND: Array) -> float:
    """Kriegeskorte et al. 2008: Spearman of the dissimilarities ``1 - Pearson`` of probe pairs."""
    dissimilarities = [
        [1 - pearsonr(x[i], x[j]).statistic for i, j in combinations(range(len(x)), 2)]
        for x in (source_ND.astype(np.float64), target_ND.astype(np.float64))
    ]
    return float(spearmanr(*dissimilarities).statistic)


def dds(source_ND: Array, target_ND: Array) -> float:
    """Dwivedi et al. 2020: alignment of centred cosine dissimilarities of z-scored features."""
    count = len(source_ND)
    centring = np.eye(count) - np.ones((count, count)) / count
    centred = []
    for x in (zscore(source_ND), zscore(target_ND)):
        dissimilarity = np.zeros((count, count))
        for i in range(count):
            for j in range(count):
                norms = math.sqrt(math.fsum(x[i] ** 2)) * math.sqrt(math.fsum(x[j] ** 2))
                dissimilarity[i, j] = 1 - math.fsum(x[i] * x[j]) / norms
        centred.append(centring @ dissimilarity @ centring)
    return _alignment(*centred)


def debiased_cka(source_ND: Array, target_ND: Array) -> float:
    """Kornblith et al. 2019, Eq. 3, with the HSIC of Song et al. 2012, Eq. 5."""
    source, target = source_ND.astype(np.float64), target_ND.astype(np.float64)
    cross = _unbiased_hsic(source, target)
    return cross / math.sqrt(_unbiased_hsic(source, source) * _unbiased_hsic(target, target))


def biased_cka(source_ND: Array, target_ND: Array) -> float:
    """Kornblith et al. 2019: ``||Y'X||^2 / (||X'X|| ||Y'Y||)`` of centred features."""
    x, y = source_ND - source_ND.mean(axis=0), target_ND - target_ND.mean(axis=0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def hsic_over_quadruples(source_ND: Array, target_ND: Array) -> float:
    """The U-statistic of Song et al. 2012: the mean over all quadruples of distinct probes."""
    kernel, other = source_ND @ source_ND.T, target_ND @ target_ND.T
    terms = [
        kernel[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])
        for i, j, q, r in permutations(range(len(source_ND)), 4)
    ]
    return math.fsum(terms) / len(terms)


def directed(source_ND: Array, target_ND: Array, ridge: float = 1.0) -> float:
    """Fits ``N`` ridge regressions, each without one probe, and predicts that one.

    Source features are z-scored over all probes and scaled to mean squared norm 1, targets
    z-scored: the share of the targets' sum of squares that the predictions explain.
    """
    source, target = zscore(source_ND), zscore(target_ND)
    source /= math.sqrt(float(np.mean(np.sum(source**2, axis=1))))
    squared_error = 0.0
    for left_out in range(len(source)):
        kept = [probe for probe in range(len(source)) if probe != left_out]
        covariance = source[kept].T @ source[kept] + ridge * np.eye(source.shape[1])
        weights = np.linalg.solve(covariance, source[kept].T @ target[kept])
        squared_error += float(np.sum((target[left_out] - source[left_out] @ weights) ** 2))
    return 1 - squared_error / float(np.sum(target**2))


def _unbiased_hsic(source_ND: NDArray[np.float64], target_ND: NDArray[np.float64]) -> float:
    kernel, other = source_ND @ source_ND.T, target_ND @ target_ND.T
    np.fill_diagonal(kernel, 0)
    np.fill_diagonal(other, 0)
    count = len(kernel)
    ones = np.ones(count)
    total = (
        np.trace(kernel @ other)
        + (ones @ kernel @ ones) * (ones @ other @ ones) / ((count - 1) * (count - 2))
        - 2 / (count - 2) * (ones @ kernel @ other @ ones)
    )
    return float(total / (count * (count - 3)))


def _alignment(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.sum(a * b) / math.sqrt(np.sum(a * a) * np.sum(b * b)))


SCORES = {
    "rsa": rsa,
    "rsa_zscore": lambda source, target: rsa(zscore(source), zscore(target)),
    "dds": dds,
    "cka": debiased_cka,
    "directed": directed,
}
