"""SFDA: how well a regularised discriminant analysis tells classes that were made hard to tell.

``N`` labelled probes, ``K`` classes, ``r`` rank of centred features.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax

from depara.grams import ROUNDING
from depara.labelled.features import LabelledFeatures
from depara.types import Float64

STRENGTH = 5.0
"""``a`` of the regularisation ``exp(-a sigma)``, as in the authors' code."""


def sfda(features: LabelledFeatures) -> float:
    """Returns the mean probability of the true class in the self-challenging Fisher space, 0 to 1.

    Shao et al., "Not All Models Are Equal", ECCV 2022. The posterior is that of Gaussians with the
    classes' means and the common covariance ``(1 - l) S_W + l m I``, ``S_W`` the covariance within
    classes, ``m`` the mean of its eigenvalues and ``l = exp(-5 sigma)`` of the largest one:
    projecting on all Fisher directions is multiplying by the inverse of that matrix. Then each
    probe is mixed with the mean of the other classes' means, the more the less it is sure: ``p x +
    (1 - p) o``, ``p`` the softmax of the posteriors; and the posterior is computed anew with the
    same ``l``.

    All of it stays in the span of the features and does not see a shift, so the principal
    components give exactly what the features would, also with fewer probes than dimensions.

    Our reading: ``l`` depends on the features' scale, so they are scaled to total variance 1; and
    ``m``, which stands in the authors' code only, is of the directions that the features have, all
    dimensions where there are more probes than those: else classes would be told apart by
    directions of which nothing is known, always without error. As in the code, the mean is of
    probabilities, not of their logarithms.
    """
    unit_Nr = features.components_Nr / np.sqrt(features.total_variance)
    ridge = float(np.exp(-STRENGTH * np.linalg.eigvalsh(_within(features, unit_Nr))[-1]))
    rows_N = np.arange(features.num_probes)
    sure_N = softmax(_posterior(features, unit_Nr, ridge), axis=1)[rows_N, features.class_N]
    means_Kr = features.class_means(unit_Nr)
    others_Kr = (means_Kr.sum(axis=0) - means_Kr) / (features.num_classes - 1)
    mixed_Nr = sure_N[:, None] * unit_Nr + (1.0 - sure_N)[:, None] * others_Kr[features.class_N]
    return float(_posterior(features, mixed_Nr, ridge)[rows_N, features.class_N].mean())


def _within(features: LabelledFeatures, values_Nr: Float64) -> Float64:
    """Returns the covariance within classes, divided by ``N``: ``(r, r)``."""
    residual_Nr = values_Nr - features.class_means(values_Nr)[features.class_N]
    return np.asarray(residual_Nr.T @ residual_Nr) / features.num_probes


def _posterior(features: LabelledFeatures, values_Nr: Float64, ridge: float) -> Float64:
    """Returns each probe's probability of each class, ``(N, K)``."""
    within_rr = _within(features, values_Nr)
    covariance_rr = (1.0 - ridge) * within_rr
    mean_variance = max(float(np.trace(within_rr)) / len(within_rr), ROUNDING)
    covariance_rr[np.diag_indices_from(covariance_rr)] += ridge * mean_variance
    means_Kr = features.class_means(values_Nr)
    weights_rK = cho_solve(cho_factor(covariance_rr, lower=True), means_Kr.T)
    offsets_K = np.log(features.sizes_K / features.num_probes)
    offsets_K = offsets_K - np.einsum("kr,rk->k", means_Kr, weights_rK) / 2
    return np.asarray(softmax(values_Nr @ weights_rK + offsets_K, axis=1))
