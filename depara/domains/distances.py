"""Distances of two probe sets in the features of one model.

``N`` and ``M`` probes, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depara.domains.transport import transport
from depara.types import Float64

_SHUFFLES = 10


def pooled(one_ND: Float64, other_MD: Float64) -> tuple[Float64, Float64]:
    """Returns both sets on one scale: less their common mean, with common total variance 1.

    Both sets count alike, whatever their sizes. So distances are the same whatever the unit of a
    model's features, and those of several models can be compared. Features that are the same for
    all probes of both come back as 0.
    """
    centre_D = (one_ND.mean(axis=0) + other_MD.mean(axis=0)) / 2
    one, other = one_ND - centre_D, other_MD - centre_D
    variance = (np.mean(np.sum(one**2, axis=1)) + np.mean(np.sum(other**2, axis=1))) / 2
    scale = 1.0 / np.sqrt(variance) if variance > 0 else 0.0
    return one * scale, other * scale


def emd(one_ND: Float64, other_MD: Float64) -> float:
    """Returns the earth mover's distance, Wasserstein's of order 1, in the features' unit.

    See `transport`. 0 for the same set, and for no other.

    Raises:
        ConfigError: see `transport`.
    """
    return transport(one_ND, other_MD)[1]


def frechet(one_ND: Float64, other_MD: Float64) -> float:
    """Returns the squared Frechet distance of two Gaussians of the sets' means and covariances.

    ``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`` (Dowson & Landau, Journal of Multivariate Analysis
    1982; of features: Heusel et al., "FID", NeurIPS 2017), covariances with ``N - 1``, in the
    features' unit squared. The trace of the root is the sum of the singular values of the inner
    products between both sets' centred features, so that no ``D x D`` matrix is made. 0 for the
    same set.

    Args:
        one_ND: at least two probes.
        other_MD: at least two probes.
    """
    means = one_ND.mean(axis=0), other_MD.mean(axis=0)
    one = (one_ND - means[0]) / np.sqrt(len(one_ND) - 1)
    other = (other_MD - means[1]) / np.sqrt(len(other_MD) - 1)
    shared = float(np.linalg.svd(one @ other.T, compute_uv=False).sum())
    apart = float(np.sum((means[0] - means[1]) ** 2))
    return max(apart + float(np.sum(one**2)) + float(np.sum(other**2)) - 2 * shared, 0.0)


def by_chance(
    distance: Callable[[Float64, Float64], float], one_ND: Float64, other_MD: Float64
) -> float:
    """Returns the mean distance where the probes of both sets are dealt out anew, at random.

    Two samples of one distribution are apart too, the more so the fewer they are and the more
    dimensions they have: a distance says something as far as it is above this. 10 seeded shuffles.
    """
    both, num = np.vstack([one_ND, other_MD]), len(one_ND)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(both)) for _ in range(_SHUFFLES)]
    return float(np.mean([distance(both[order[:num]], both[order[num:]]) for order in orders]))
