"""N-LEEP: how well the clusters that a graph's features form foretell the labels.

``N`` labelled probes, ``K`` classes, ``d`` kept principal components, ``V`` mixture components.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from depara.labelled.features import LabelledFeatures
from depara.types import Float64

ENERGY = 0.8
"""Share of the variance that the kept principal components hold at least."""

COMPONENTS_PER_CLASS = 5
"""Mixture components for every class, count."""

PROBES_PER_COMPONENT = 4
"""Fewest probes for each mixture component, on average: bounds their number for many classes."""

_FLOOR = 1e-6
_TOLERANCE = 1e-6
_STEPS = 200


def nleep(features: LabelledFeatures) -> float:
    """Returns the mean log probability of the true labels given the probes' clusters, at most 0.

    The principal components that hold 80 % of the variance, in units of the features' total
    deviation, are fitted by a Gaussian mixture of ``V = 5 K`` components (at most ``N / 4``); its
    posteriors ``p(v|x)`` take the place of a classifier's in LEEP: ``mean_i log sum_v p(y_i|v)
    p(v|x_i)``, ``p(y|v) = sum_(i of y) p(v|x_i) / sum_i p(v|x_i)`` (Li et al., CVPR 2021; LEEP:
    Nguyen et al., ICML 2020). Natural logarithm. ``V`` and 80 % as in the paper.

    Covariances are diagonal: a probe set has a handful of probes per mixture component, too few for
    full ones. The start is not random: Ward's hierarchical clustering cut to ``V`` clusters, as for
    mclust (Fraley & Raftery, JASA 2002), so that no seed, and no order of the probes, is part of
    the result.
    """
    posterior_NV = diagonal_mixture(_kept_components(features), _num_components(features))
    chance_KV = features.indicators_NK.T @ posterior_NV / posterior_NV.sum(axis=0)
    likelihood_N = (posterior_NV * chance_KV[features.class_N]).sum(axis=1)
    return float(np.mean(np.log(np.minimum(likelihood_N, 1.0))))


def diagonal_mixture(values_Nd: Float64, num_components: int) -> Float64:
    """Returns the posteriors of a Gaussian mixture with diagonal covariances: ``(N, V)``.

    Rows sum to 1, and no column is all 0: components without probes are left out.
    Expectation-maximisation from Ward's clusters until the mean log likelihood gains less than
    1e-6, at most 200 steps. 1e-6 is added to every variance.

    Args:
        values_Nd: in units of about the total deviation, with which the 1e-6 must agree.
        num_components: ``V``, at least 1; fewer when that many clusters cannot be told apart.
    """
    clusters_N = fcluster(linkage(values_Nd, "ward"), num_components, "maxclust")
    posterior_NV: Float64 = np.eye(int(clusters_N.max()))[clusters_N - 1]
    previous = -np.inf
    for _ in range(_STEPS):
        log_joint_NV = _log_joint(values_Nd, posterior_NV[:, posterior_NV.sum(axis=0) > _FLOOR])
        highest_N1 = log_joint_NV.max(axis=1, keepdims=True)
        posterior_NV = np.exp(log_joint_NV - highest_N1)
        total_N1 = posterior_NV.sum(axis=1, keepdims=True)
        posterior_NV /= total_N1
        likelihood = float(np.mean(highest_N1 + np.log(total_N1)))
        if likelihood - previous < _TOLERANCE:
            break
        previous = likelihood
    return np.asarray(posterior_NV[:, posterior_NV.sum(axis=0) > 0])


def _log_joint(values_Nd: Float64, posterior_NV: Float64) -> Float64:
    """Returns ``log p(v) p(x|v)`` of the components that fit the posteriors best: ``(N, V)``."""
    mass_V = posterior_NV.sum(axis=0)
    mean_Vd = posterior_NV.T @ values_Nd / mass_V[:, None]
    square_Vd = posterior_NV.T @ np.square(values_Nd) / mass_V[:, None]
    variance_Vd = np.maximum(square_Vd - np.square(mean_Vd), 0.0) + _FLOOR
    squares_NV = (
        np.square(values_Nd) @ (1.0 / variance_Vd).T
        - 2.0 * values_Nd @ (mean_Vd / variance_Vd).T
        + (np.square(mean_Vd) / variance_Vd).sum(axis=1)
    )
    log_det_V = np.log(2.0 * np.pi * variance_Vd).sum(axis=1)
    return np.asarray(np.log(mass_V / len(values_Nd)) - 0.5 * (log_det_V + squares_NV))


def _kept_components(features: LabelledFeatures) -> Float64:
    """Returns the leading principal components, in units of the features' total deviation."""
    share_r = np.cumsum(features.variances_r) / features.variances_r.sum()
    kept = int(np.searchsorted(share_r, ENERGY)) + 1
    return np.asarray(features.components_Nr[:, :kept] / np.sqrt(features.total_variance))


def _num_components(features: LabelledFeatures) -> int:
    most = max(features.num_probes // PROBES_PER_COMPONENT, 1)
    return min(COMPONENTS_PER_CLASS * features.num_classes, most)
