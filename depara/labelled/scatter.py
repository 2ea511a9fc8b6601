"""Scores from the classes' means and covariances: how far apart they are, how tight each is.

``N`` labelled probes, ``K`` classes, ``D`` features, ``r`` rank of centred features, ``d`` kept
principal components.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from depara.grams import ROUNDING
from depara.labelled.features import LabelledFeatures
from depara.types import Float64

DISTORTION = 1e-4
"""``eps`` of the coding rate, in units of the features' total variance."""

COMPONENTS = 64
"""Principal components in which GBC compares classes, count."""


def h_score(features: LabelledFeatures) -> float:
    """Returns the share of each direction's variance that lies between classes, summed: 0 to K - 1.

    ``tr(S_a^-1 (1 - a) B)`` with ``B`` the covariance of the class means, each counted with its
    probes, and ``S_a = (1 - a) S + a tr(S)/D I`` the features' covariance, shrunk as Ledoit & Wolf
    (2004) do (Bao et al., ICIP 2019; Ibrahim et al., ECML PKDD 2022). Both covariances divide by
    ``N``; common code divides ``B`` by ``N - 1``. ``S_a`` has the principal components as axes, so
    only their variances are inverted; no class mean leaves their span.
    """
    shrinkage = ledoit_wolf_shrinkage(features)
    floor = shrinkage * features.total_variance / features.num_features
    between_r = (features.sizes_K / features.num_probes) @ np.square(
        features.class_means(features.components_Nr)
    )
    shrunk_r = (1.0 - shrinkage) * features.variances_r + floor
    score = float((1.0 - shrinkage) * np.sum(between_r / shrunk_r))
    return min(score, features.num_classes - 1.0)


def ledoit_wolf_shrinkage(features: LabelledFeatures) -> float:
    """Returns the intensity ``a`` in [0, 1] with which the covariance is drawn to the identity.

    ``a = min(b2, d2) / d2``, ``d2 = ||S - m I||^2 / D``, ``m = tr(S) / D``, ``b2 = sum_i ||x_i x_i'
    - S||^2 / (N^2 D)`` of centred features (Ledoit & Wolf, Journal of Multivariate Analysis 2004,
    Lemma 3.2 to 3.4). Of the features only ``||S||^2 = ||K||^2 / N^2`` and ``||x_i||^2 = k_ii`` are
    needed, ``K`` the centred Gram. 0 when all directions have the same variance.
    """
    count = features.num_probes
    squared_norm = float(np.square(features.centred_NN).sum()) / count**2
    spread = squared_norm - features.total_variance**2 / features.num_features
    if spread <= ROUNDING * squared_norm:
        return 0.0
    fourth = float(np.square(np.diagonal(features.centred_NN)).sum())
    noise = max(fourth - count * squared_norm, 0.0) / count**2
    return min(noise / spread, 1.0)


def transrate(features: LabelledFeatures) -> float:
    """Returns the coding rate of all features less the mean coding rate of a class, in nats.

    ``R(Z) - sum_c (n_c / N) R(Z_c)``, ``R(Z) = log det(I + Z'Z / (n eps)) / 2``, ``eps = 1e-4``
    (Huang et al., ICML 2022), of features less the mean of all probes (in the classes too),
    scaled to total variance 1: the authors' code takes features at their own scale, on which the
    rate depends. Their code weighs classes equally; the two agree for classes of equal size.

    The rate counts a class's spare dimensions as compactness. With fewer probes per class than
    dimensions, the usual case for features that are not pooled, it tells more of the spectrum than
    of the classes.
    """
    unit_r = features.variances_r / features.total_variance
    rate = 0.5 * float(np.log1p(unit_r / DISTORTION).sum())
    for number, size in enumerate(features.sizes_K.tolist()):
        (places,) = np.nonzero(features.class_N == number)
        values = np.linalg.eigvalsh(features.centred_NN[np.ix_(places, places)])
        unit = np.maximum(values, 0.0) / (size * features.total_variance)
        rate -= size / features.num_probes * 0.5 * float(np.log1p(unit / DISTORTION).sum())
    return rate


def gbc(features: LabelledFeatures) -> float:
    """Returns minus the summed overlap of all ordered pairs of classes: -K(K - 1) to 0.

    Each class is a spherical Gaussian of its mean and mean variance (divided by its size) in the
    first 64 principal components; the overlap is the Bhattacharyya coefficient ``exp(-D_B)``,
    ``D_B = ||m_a - m_b||^2 / (8 v) + d/2 log(v / sqrt(v_a v_b))``, ``v = (v_a + v_b) / 2`` (Pandy
    et al., CVPR 2022; spherical and 64 as in their experiments). Their code leaves out the factor
    ``d``, which the determinants of their formula bring. A variance below 1e-6 of the mean one
    over all probes counts as that much, so that a class of equal probes is a narrow one; theirs is
    at least 1e-4, whatever the features' scale.
    """
    components_Nd = features.components_Nr[:, :COMPONENTS]
    means_Kd = features.class_means(components_Nd)
    residual_Nd = components_Nd - means_Kd[features.class_N]
    variance_K = features.class_means(np.square(residual_Nd)).mean(axis=1)
    floor = ROUNDING * float(np.mean(np.square(components_Nd)))
    overlap_KK = _overlap(means_Kd, np.maximum(variance_K, floor))
    np.fill_diagonal(overlap_KK, 0.0)
    return 0.0 - float(overlap_KK.sum())


def _overlap(means_Kd: Float64, variance_K: Float64) -> Float64:
    """Returns the Bhattacharyya coefficients of spherical Gaussians: ``(K, K)``, 0 to 1."""
    middle_KK = (variance_K[:, None] + variance_K) / 2
    log_K = np.log(variance_K)
    log_ratio_KK = np.log(middle_KK) - (log_K[:, None] + log_K) / 2
    distance_KK = cdist(means_Kd, means_Kd, "sqeuclidean") / (8 * middle_KK)
    overlap_KK = np.exp(-distance_KK - means_Kd.shape[1] / 2 * log_ratio_KK)
    return np.asarray(np.minimum(overlap_KK, 1.0))
