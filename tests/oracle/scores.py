"""The label-free scores in float64, pair by pair, from the features, as their papers write them.

Nothing here is fast, nothing is a Gram matrix unless the paper says so, and nothing is shared with
the product.
"""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

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
        [1 - np.corrcoef(x[i], x[j])[0, 1] for i, j in combinations(range(len(x)), 2)]
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
    return _debiased(*(x @ x.T for x in (source_ND.astype(np.float64), target_ND.astype(float))))


def rbf_cka(source_ND: Array, target_ND: Array, bandwidth: float = 0.5) -> float:
    """The same with the kernels of Kornblith et al. 2019."""
    kernels = []
    for x in (source_ND.astype(np.float64), target_ND.astype(np.float64)):
        apart = [[math.dist(one, other) for other in x] for one in x]
        sigma = bandwidth * np.median([apart[i][j] for i, j in combinations(range(len(x)), 2)])
        kernels.append(np.exp(-(np.array(apart) ** 2) / (2 * sigma**2)))
    return _debiased(*kernels)


def gulp(source_ND: Array, target_ND: Array, ridge: float = 1e-2) -> float:
    """Boix-Adsera et al. 2022: 1 less the squared distance, by covariances, over ``N - 1``."""
    x, y = (each - each.mean(axis=0) for each in (source_ND, target_ND))
    x, y = (math.sqrt(len(each)) * each / np.linalg.norm(each) for each in (x, y))
    count = len(x)
    of_x, of_y, across = x.T @ x / count, y.T @ y / count, x.T @ y / count
    inverse_x = np.linalg.inv(of_x + ridge * np.eye(len(of_x)))
    inverse_y = np.linalg.inv(of_y + ridge * np.eye(len(of_y)))
    squared = (
        np.trace(inverse_x @ of_x @ inverse_x @ of_x)
        + np.trace(inverse_y @ of_y @ inverse_y @ of_y)
        - 2 * np.trace(inverse_x @ across @ inverse_y @ across.T)
    )
    return float(1 - squared / (count - 1))


def mutual_knn(source_ND: Array, target_ND: Array, nearest: int = 20) -> float:
    """Huh et al. 2024: the mean share of common neighbours, here by cosine of centred features."""
    shares = []
    x, y = (each - each.mean(axis=0) for each in (source_ND, target_ND))
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        sets = [
            set(sorted(others, key=lambda j: -_cosine(each[i], each[j]))[:nearest])
            for each in (x, y)
        ]
        shares.append(len(sets[0] & sets[1]) / nearest)
    return math.fsum(shares) / len(shares)


def lsim(source_ND: Array, target_ND: Array) -> float:
    """Chen et al. 2021: the mean cosine of the two rows of each probe in the cosine graphs."""
    graphs = [
        np.array(
            [[0 if i == j else _cosine(x[i], x[j]) for j in range(len(x))] for i in range(len(x))]
        )
        for x in (source_ND.astype(np.float64), target_ND.astype(np.float64))
    ]
    return math.fsum(map(_cosine, *graphs)) / len(source_ND)


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


def _debiased(kernel_NN: NDArray[np.float64], other_NN: NDArray[np.float64]) -> float:
    own = _unbiased_hsic(kernel_NN, kernel_NN) * _unbiased_hsic(other_NN, other_NN)
    return _unbiased_hsic(kernel_NN, other_NN) / math.sqrt(own)


def _cosine(a: Array, b: Array) -> float:
    return math.fsum(a * b) / math.sqrt(math.fsum(a * a) * math.fsum(b * b))


def _unbiased_hsic(kernel_NN: NDArray[np.float64], other_NN: NDArray[np.float64]) -> float:
    kernel, other = kernel_NN.copy(), other_NN.copy()
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
    "rbf_cka": rbf_cka,
    "gulp": gulp,
    "mutual_knn": mutual_knn,
    "lsim": lsim,
    "directed": directed,
}
