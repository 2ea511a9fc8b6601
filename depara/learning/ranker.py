"""A small pairwise ranker on the scan's own scores: weights that are never negative.

``T`` past targets, ``M`` models, ``K`` scores and the popularity (``F = K + 1`` in all), ``D``
pairs of sources of one target.

The heavy form of such a learner is Model Spider (Zhang et al., NeurIPS 2023), which learns a token
of every model; it would need hundreds of past targets.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from depara.learning.past import Past
from depara.types import Float64

RIDGE = 0.01
"""Weight of the squared weights beside the mean loss of a target."""


def weights(past: Past) -> Float64:
    """Returns the weight of each of the scan's scores and of the popularity, ``F``, at least 0.

    Logistic regression on pairs (RankNet's loss with a linear model, Burges et al., ICML 2005):
    the mean over targets and over their pairs of ``g log(1 + exp(-w (x_a - x_b)))`` for a source
    ``a`` that was better than ``b`` by ``g``, plus `RIDGE` ``|w|^2``. ``x`` are rank fractions. The
    popularity that a past target is shown is that of the others.
    """
    differences_DF, gains_D = _pairs(past)
    num_features = len(past.scores) + 1

    def loss(weights_F: Float64) -> tuple[float, Float64]:
        margin_D = differences_DF @ weights_F
        value = gains_D @ np.logaddexp(0.0, -margin_D) + RIDGE * weights_F @ weights_F
        slope_D = -gains_D / (1 + np.exp(np.minimum(margin_D, 500.0)))
        return float(value), differences_DF.T @ slope_D + 2 * RIDGE * weights_F

    start_F = np.full(num_features, 1 / num_features)
    found = minimize(
        loss, start_F, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * num_features
    )
    weights_F: Float64 = found.x
    return weights_F


def ranker(past: Past, target: int) -> Float64:
    """Returns the weighted sum of scores and popularity of every model for a target, ``M``.

    NaN for what is no source of the target. Arguments as of `factorisation`.
    """
    return _features(past, target) @ weights(past)


def _features(past: Past, target: int) -> Float64:
    popularity_M = past.popularity_M
    return np.concatenate([past.scores_MMK[target], popularity_M[:, None]], axis=1)


def _pairs(past: Past) -> tuple[Float64, Float64]:
    """Returns the differences ``D F`` of better and worse sources and how much each pair counts."""
    differences, gains = [], []
    for row, target in enumerate(past.targets_T):
        features_MF = _features(past.without(int(target)), int(target))
        fraction_M = past.fraction_TM[row]
        measured = np.flatnonzero(np.isfinite(fraction_M) & np.isfinite(features_MF).all(axis=1))
        gain_CC = fraction_M[measured][:, None] - fraction_M[measured]
        better, worse = np.nonzero(gain_CC > 0)
        if len(better):
            differences.append(features_MF[measured[better]] - features_MF[measured[worse]])
            gain_D = gain_CC[better, worse]
            gains.append(gain_D / gain_D.sum() / len(past.targets_T))
    if not differences:
        return np.zeros((0, len(past.scores) + 1)), np.zeros(0)
    return np.concatenate(differences), np.concatenate(gains)
