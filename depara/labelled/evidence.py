"""LogME: the evidence of a Bayesian linear model from features to labels, at its maximum.

``N`` labelled probes, ``K`` classes, ``r`` rank of the raw features.
"""

from __future__ import annotations

import numpy as np

from depara.labelled.features import RANK, LabelledFeatures, spectrum
from depara.types import Float64

FLOOR = 1e-5
"""Added to the residual sum of squares and to the squared norm of the weights, as by the authors:
without it the evidence of labels that the features predict without error has no maximum."""

_TOLERANCE = 1e-6
_STEPS = 500


def logme(features: LabelledFeatures) -> float:
    """Returns the mean over the classes of the maximum log evidence per probe, natural logarithm.

    For each class, ``y`` is 1 for its probes and 0 for the others, ``y ~ N(X w, 1/beta)`` with
    ``w ~ N(0, 1/alpha)``, hence ``log p(y) = log N(y; 0, X X'/alpha + I/beta)``, maximised
    over ``alpha`` and ``beta`` by MacKay's fixed-point iteration (You et al., ICML 2021; its
    convergence: You et al., JMLR 2022). Features are raw, not centred, and there is no intercept,
    as in their code. Directions in which no probe has a value cancel, so ``D`` does not enter. (The
    code of the second paper drops one of the two terms that cancel, when ``D > N``.)

    The evidence is free of rotations and isotropic scale. So is the iteration here, unlike theirs,
    which starts at ``alpha = beta = 1`` and adds `FLOOR` whatever the features' scale: features are
    first scaled to mean squared norm 1.
    """
    mean_square = float(np.trace(features.raw_NN)) / features.num_probes
    values_r, vectors_Nr = spectrum(features.raw_NN / mean_square)
    targets_NK = features.indicators_NK
    return float(log_evidence(values_r, vectors_Nr, targets_NK).mean() / features.num_probes)


def logme_regression(features_ND: Float64, targets_NK: Float64) -> float:
    """Returns the mean over continuous targets of the maximum log evidence per row, in nats.

    `logme` with each column of targets for ``y`` (You et al., ICML 2021, their regression): with
    the classes' one-hot columns it is `logme`. Targets are taken as they are, neither centred nor
    scaled, as in the authors' code: a target times ``a`` loses ``log a``, for all features alike.

    Args:
        features_ND: raw features, one row per probe or object.
        targets_NK: one regression problem per column.

    Raises:
        ValueError: a value is not finite, or there are not as many rows of both.
    """
    if len(features_ND) != len(targets_NK) or not len(features_ND):
        raise ValueError(
            f"{len(features_ND)} rows of features, {len(targets_NK)} of targets: give one of each "
            "per probe or object"
        )
    if not (np.isfinite(features_ND).all() and np.isfinite(targets_NK).all()):
        raise ValueError("features or targets are not finite: leave the rows out")
    mean_square = float(np.square(features_ND).sum(axis=1).mean())
    unit_ND = features_ND / np.sqrt(mean_square) if mean_square > 0 else features_ND
    vectors_Nr, roots_r, _ = np.linalg.svd(unit_ND, full_matrices=False)
    values_r = np.square(roots_r)
    is_kept_r = values_r > RANK * values_r.max(initial=0.0)
    evidence_K = log_evidence(values_r[is_kept_r], vectors_Nr[:, is_kept_r], targets_NK)
    return float(evidence_K.mean() / len(targets_NK))


def log_evidence(values_r: Float64, vectors_Nr: Float64, targets_NK: Float64) -> Float64:
    """Returns the maximum log evidence of each column of targets: ``(K,)``, natural logarithm.

    Args:
        values_r: positive eigenvalues of ``X X'``.
        vectors_Nr: their eigenvectors.
        targets_NK: one regression problem per column.
    """
    count = len(vectors_Nr)
    squares_rK = np.square(vectors_Nr.T @ targets_NK)
    outside_K = np.maximum(np.square(targets_NK).sum(axis=0) - squares_rK.sum(axis=0), 0.0)
    values_r1 = values_r[:, None]
    alpha_K = np.ones(targets_NK.shape[1])
    beta_K = np.ones_like(alpha_K)
    for _ in range(_STEPS):
        ridge_K = alpha_K / beta_K
        kept_rK = values_r1 / (values_r1 + ridge_K)
        freedom_K = kept_rK.sum(axis=0)
        weights_K = (np.square(kept_rK) * squares_rK / values_r1).sum(axis=0) + FLOOR
        residual_K = (np.square(1.0 - kept_rK) * squares_rK).sum(axis=0) + outside_K + FLOOR
        alpha_K = freedom_K / weights_K
        beta_K = (count - freedom_K) / residual_K
        if np.all(np.abs(alpha_K / beta_K - ridge_K) <= _TOLERANCE * ridge_K):
            break
    # alpha * weights and beta * residual are freedom and count - freedom: their sum is the count.
    log_det_K = np.log1p(beta_K / alpha_K * values_r1).sum(axis=0) - count * np.log(beta_K)
    return np.asarray(-0.5 * (log_det_K + count * (1.0 + np.log(2.0 * np.pi))))
