"""The matrices that scores are made of, from a graph's Grams.

``N`` probes, ``D`` features, ``H = I - 11'/N`` the centring matrix.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from depara.grams import ROUNDING, below_diagonal, flat_triangle
from depara.types import Float64


def cosine_matrix(gram_NN: Float64) -> Float64:
    """Returns ``g_ij / sqrt(g_ii g_jj)``, ``N N`` in [-1, 1]; 0 in the row of a zero feature."""
    squares_N = np.diagonal(gram_NN)
    inverse_N = np.zeros_like(squares_N)
    np.divide(1.0, np.sqrt(np.maximum(squares_N, 0)), out=inverse_N, where=squares_N > 0)
    cosine_NN: Float64 = gram_NN * inverse_N[:, None]
    cosine_NN *= inverse_N
    np.clip(cosine_NN, -1.0, 1.0, out=cosine_NN)
    return cosine_NN


def pearson_matrix(gram_NN: Float64, sums_N: Float64, num_features: int) -> Float64:
    """Returns Pearson's correlation over the ``D`` dimensions of every two probes' features.

    The cosines of ``g_ij - r_i r_j / D`` with ``r`` the sums over the dimensions: ``N N`` in
    [-1, 1]. A probe whose features do not vary over the dimensions (variance at most 1e-6 of their
    mean square) correlates 0 with every other and with itself.
    """
    covariance_NN: Float64 = gram_NN - np.outer(sums_N, sums_N / num_features)
    is_constant_N = np.diagonal(covariance_NN) <= ROUNDING * np.diagonal(gram_NN)
    covariance_NN[is_constant_N, is_constant_N] = 0.0  # the cosine of a zero feature
    return cosine_matrix(covariance_NN)


def distances(gram_NN: Float64) -> Float64:
    """Returns the Euclidean distance of every two probes' features, ``N N``; the diagonal is 0."""
    squares_N = np.diagonal(gram_NN)
    distances_NN: Float64 = gram_NN * -2.0
    distances_NN += squares_N
    distances_NN += squares_N[:, None]
    np.maximum(distances_NN, 0.0, out=distances_NN)
    return np.sqrt(distances_NN, out=distances_NN)


def gaussian_kernel(distances_NN: Float64, bandwidth: float) -> Float64:
    """Returns ``exp(-d_ij^2 / (2 sigma^2))``, ``sigma`` in medians of the distances that are not 0.

    Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, set the
    width so: the median frees it of the features' scale.

    Args:
        distances_NN: symmetric, some of them not 0.
        bandwidth: ``sigma`` over the median.
    """
    of_pairs = distances_NN.reshape(-1).take(flat_triangle(len(distances_NN), 1))
    sigma = bandwidth * float(np.median(of_pairs[of_pairs > 0]))
    kernel_NN: Float64 = distances_NN / (math.sqrt(2) * sigma)
    np.square(kernel_NN, out=kernel_NN)
    np.negative(kernel_NN, out=kernel_NN)
    return np.exp(kernel_NN, out=kernel_NN)


def diagonal_of(matrix_NN: Float64) -> Float64:
    """Returns the diagonal of a matrix to be written to, however it lies in memory."""
    diagonal_N: Float64 = np.einsum("ii->i", matrix_NN)
    return diagonal_N


def inverse(matrix_NN: Float64) -> Float64:
    """Returns the inverse of a positive definite matrix, by Cholesky.

    Raises:
        LinAlgError: it is not positive definite, or not finite.
    """
    if not np.isfinite(matrix_NN).all():  # LAPACK would carry NaN through, and say nothing
        raise np.linalg.LinAlgError("the Gram matrix holds NaN or infinity: it has no inverse")
    factor_NN, info = dpotrf(matrix_NN, lower=True, clean=False)
    if info:
        raise np.linalg.LinAlgError(f"the Gram matrix is not positive definite (dpotrf: {info})")
    inverse_NN, info = dpotri(factor_NN, lower=True, overwrite_c=True)
    if info:
        raise np.linalg.LinAlgError(f"the Gram matrix cannot be inverted (dpotri: {info})")
    upper_NN: Float64 = inverse_NN.T  # of Fortran's order: its lower triangle is what was computed
    np.copyto(upper_NN, inverse_NN, where=below_diagonal(len(upper_NN)))
    return upper_NN


def u_centred(matrix_NN: Float64) -> Float64:
    """Returns the U-centred matrix of a symmetric matrix of ``N >= 4`` probes: diagonal 0.

    ``k_ij - sum_l k_il / (N-2) - sum_l k_lj / (N-2) + sum_lm k_lm / ((N-1)(N-2))`` off the
    diagonal, of ``K`` without its own diagonal (Szekely & Rizzo, "Partial Distance Correlation with
    Methods for Dissimilarities", Annals of Statistics 2014, Definition 2). The inner product of
    two of them, over ``N(N-3)``, is the unbiased HSIC of Song et al., "Feature Selection via
    Dependence Maximization", JMLR 2012.
    """
    count = len(matrix_NN)
    assert count >= 4
    centred_NN = matrix_NN.copy()
    np.fill_diagonal(centred_NN, 0.0)
    means_N = centred_NN.sum(axis=0) / (count - 2)
    means_N -= means_N.sum() / (2 * (count - 1))
    centred_NN -= means_N
    centred_NN -= means_N[:, None]
    np.fill_diagonal(centred_NN, 0.0)
    return centred_NN
