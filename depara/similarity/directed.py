"""The directed score: how well a source's features predict a target's, probe left out by probe.

``N`` probes, ``r`` rank of a low-rank target, ``V = N(N+1)/2``.

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

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, eigh
from scipy.linalg.lapack import dpotri

from depara.grams import GraphGrams
from depara.similarity.condensed import condense
from depara.types import Float32, Float64

RIDGE = 1.0
"""``c``, in units of the mean squared norm of a probe's z-scored features."""


def directed_source(grams: GraphGrams) -> Float32:
    """Returns ``I - R'R`` of a source as a condensed vector; all 0 for constant features."""
    errors_NN = _squared_errors(grams)
    np.negative(errors_NN, out=errors_NN)
    errors_NN[np.diag_indices_from(errors_NN)] += 1.0
    return condense(errors_NN)


def directed_target(grams: GraphGrams) -> Float32:
    """Returns ``K_t / tr(K_t)`` of a target as a condensed vector; all 0 for constant features."""
    return condense(grams.zscored_NN / (np.trace(grams.zscored_NN) or 1.0))


@dataclass(frozen=True)
class LowRankTarget:
    """The cheap form of a target: the ``r`` largest principal components of its features.

    ``factor_Nr`` is float32, its columns ``sqrt(l_k / tr K_t) u_k`` for the ``r`` largest
    eigenpairs of ``K_t``. What it saves is what targets take to store and to read, block after
    block: ``4 N r`` bytes in place of ``2 N^2``, 16 times less at ``N = 1000, r = 32``. `vector`
    rebuilds the condensed vector with ``r N^2`` operations per target, which all sources of a block
    share; a pair then costs ``N^2 / 2``, less than ``r N^2`` from the factor itself.

    ``dropped`` is ``d = sum_{k>r} l_k / tr(K_t)``, in [0, 1], the share of the variance left out;
    the score counts it as not predicted. What is left out is a positive semidefinite ``E`` with
    ``tr(E) = d tr(K_t)``, hence ``0 <= <R'R, E> <= ||R||^2 tr(E)``, and with ``g = ||R||^2``
    (`residual_gain` of the source)

        ``-(g - 1) d <= score - low-rank score <= d``.
    """

    factor_Nr: Float32
    dropped: float

    def __post_init__(self) -> None:
        assert self.factor_Nr.ndim == 2
        assert self.factor_Nr.dtype == np.float32
        assert 0.0 <= self.dropped <= 1.0

    def vector(self) -> Float32:
        """Returns the condensed vector that stands in for `directed_target`."""
        return condense(self.factor_Nr.astype(np.float64) @ self.factor_Nr.T.astype(np.float64))

    def error_bounds(self, gain: float) -> tuple[float, float]:
        """Returns the least and the greatest value of the exact score minus the low-rank one.

        Args:
            gain: `residual_gain` of the source, >= 1.
        """
        return -(gain - 1.0) * self.dropped, self.dropped


def low_rank_target(grams: GraphGrams, rank: int) -> LowRankTarget:
    """Returns the ``rank`` largest principal components of a target's z-scored features.

    Exact (to float32) once ``rank`` reaches the rank of the features, at most ``N - 1``. Constant
    features give a zero factor, of which nothing is dropped.

    Args:
        grams: of the target.
        rank: ``r``, 1 to ``N``.

    Raises:
        ValueError: ``rank`` is out of range.
    """
    count = grams.num_probes
    if not 1 <= rank <= count:
        raise ValueError(f"rank must be 1 to {count}, the number of probes; got {rank}")
    trace = np.trace(grams.zscored_NN) or 1.0
    values_r, vectors_Nr = eigh(grams.zscored_NN, subset_by_index=[count - rank, count - 1])
    shares_r = np.maximum(values_r, 0.0) / trace
    dropped = np.trace(grams.zscored_NN) / trace - shares_r.sum()
    return LowRankTarget(
        factor_Nr=(vectors_Nr * np.sqrt(shares_r)).astype(np.float32),
        dropped=float(np.clip(dropped, 0.0, 1.0)),
    )


def residual_gain(grams: GraphGrams) -> float:
    """Returns ``||R||^2 >= 1``, the largest eigenvalue of ``R'R`` of a source.

    How much leave-one-out prediction can at worst enlarge a target's squared norm; it scales the
    error of a `LowRankTarget`.
    """
    last = grams.num_probes - 1
    values_1 = eigh(_squared_errors(grams), eigvals_only=True, subset_by_index=[last, last])
    # Constant vectors have ||R 1||^2 >= N: only rounding falls below 1.
    return max(float(values_1[0]), 1.0)


def _squared_errors(grams: GraphGrams) -> Float64:
    """Returns ``R'R``, ``N N``; the identity for constant features, which predict the mean."""
    gram_NN = grams.zscored_NN
    mean_square = np.trace(gram_NN) / len(gram_NN) or 1.0
    inverse_NN = gram_NN / mean_square
    inverse_NN[np.diag_indices_from(inverse_NN)] += RIDGE
    inverse_NN = _inverse(inverse_NN)
    inverse_NN /= np.diagonal(inverse_NN)[:, None].copy()
    return inverse_NN.T @ inverse_NN


def _inverse(matrix_NN: Float64) -> Float64:
    """Returns the inverse of a positive definite matrix, by Cholesky."""
    inverse_NN, info = dpotri(cholesky(matrix_NN, lower=True), lower=True)
    if info:
        raise np.linalg.LinAlgError(f"the Gram matrix cannot be inverted (dpotri: {info})")
    lower_NN: Float64 = np.tril(inverse_NN)
    lower_NN += np.tril(inverse_NN, -1).T
    return lower_NN
