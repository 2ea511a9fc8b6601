"""The directed score: how well a source's features predict a target's, probe left out by probe.

``N`` probes, ``V = N(N+1)/2``.

Both Grams are of z-scored features, scaled to mean diagonal 1. With ridge ``c = 1`` the kernel
ridge smoother ``H = K_s (K_s + c I)^-1`` predicts all probes from all; leaving probe ``i`` out of
the fit turns its residual into ``((I - H) y)_i / (1 - h_ii)`` (Allen's PRESS, Technometrics 1974;
Golub, Heath & Wahba, Technometrics 1979), so that ``R = diag(1 - h_ii)^-1 (I - H)`` maps targets to
leave-one-out residuals. Means and deviations are those of all ``N`` probes. The score is the share
of the target's variance that is predicted,

    ``1 - tr(R K_t R') / tr(K_t) = <I - R'R, K_t / tr(K_t)>``,

one matrix of the source times one of the target. With ``M = (K_s + c I)^-1`` the ridge cancels:
``I - H = c M``, hence ``R = diag(M)^-1 M``. Since ``c m_ii >= c / (c + k_ii) > 0`` it is always
defined, and at least ``1 - (1 + max_i k_ii / c)^2``.
"""

from __future__ import annotations

import numpy as np

from depara.grams import GraphGrams
from depara.similarity.condensed import condense
from depara.similarity.grams import diagonal_of, inverse
from depara.types import Float32, Float64

RIDGE = 1.0
"""``c``, in units of the mean squared norm of a probe's z-scored features."""


def directed_source(grams: GraphGrams) -> Float32:
    """Returns ``I - R'R`` of a source as a condensed vector; all 0 for constant features."""
    residuals_NN = leave_one_out_residuals(grams)
    errors_NN = residuals_NN.T @ residuals_NN
    np.negative(errors_NN, out=errors_NN)
    diagonal_of(errors_NN)[:] += 1.0
    return condense(errors_NN)


def directed_target(grams: GraphGrams) -> Float32:
    """Returns ``K_t / tr(K_t)`` of a target as a condensed vector; all 0 for constant features."""
    return condense(grams.zscored_NN / (np.trace(grams.zscored_NN) or 1.0))


def leave_one_out_residuals(grams: GraphGrams) -> Float64:
    """Returns ``R`` of a source, ``N N``; the identity for constant features.

    ``R y`` are the residuals of the targets ``y`` at each probe, left out of the fit.
    """
    return smoother_residuals(grams.zscored_NN)


def smoother_residuals(gram_NN: Float64) -> Float64:
    """Returns the same ``R`` of any Gram matrix of centred features, ``N N``."""
    mean_square = np.trace(gram_NN) / len(gram_NN) or 1.0
    inverse_NN: Float64 = gram_NN / mean_square
    diagonal_of(inverse_NN)[:] += RIDGE
    inverse_NN = inverse(inverse_NN)
    inverse_NN /= np.diagonal(inverse_NN)[:, None].copy()
    return inverse_NN
