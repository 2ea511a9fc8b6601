"""How a vector holds a matrix: what inner products of vectors are inner products of.

``N`` probes.

A score of two graphs is ``sum_ij a_ij b_ij`` of an ``N x N`` matrix of each. A vector holds its
matrix without what is known beforehand: its mirror image, or its diagonal of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depara.grams import upper_triangle
from depara.graph.edges import edge_count
from depara.similarity.condensed import condensed_length, diagonal_places
from depara.types import Float32, Float64


@dataclass(frozen=True)
class MatrixSums:
    """What the matrix of a vector sums to; rows, columns and squares without the diagonal.

    ``squares`` is ``sum a_ij^2`` and ``mirrored`` is ``sum a_ij a_ji``, over ``i != j``.
    """

    rows_N: Float64
    columns_N: Float64
    diagonal_N: Float64
    squares: float
    mirrored: float


@dataclass(frozen=True)
class Layout:
    """The form of a score's vectors.

    ``matrix_length`` gives the values of the matrix from the number of probes; ``sums`` gives, of
    those values and that number, what the matrix sums to, None where it is no matrix of pairs of
    probes. ``own`` values follow, which are of the graph as a whole: what they add to a score is
    the same for every order of the probes.
    """

    matrix_length: Callable[[int], int]
    sums: Callable[[Float32, int], MatrixSums] | None = None
    own: int = 0

    def length(self, num_probes: int) -> int:
        """Returns ``V``, the values of a vector."""
        return self.matrix_length(num_probes) + self.own


def square_length(num_probes: int) -> int:
    """Returns ``N^2``."""
    return num_probes**2


def sums_of_edges(values_E: Float32, num_probes: int) -> MatrixSums:
    """Returns the sums of the symmetric matrix ``r_ij / sqrt(2)`` with a diagonal of zeros.

    ``sum_{i<j} r_ij r'_ij`` is the inner product of two such matrices.
    """
    return _sums_of_triangle(values_E.astype(np.float64), np.zeros(num_probes), skip=1)


def sums_of_condensed(values_V: Float32, num_probes: int) -> MatrixSums:
    """Returns the sums of the matrix that `condense` was given."""
    off_diagonal_V = values_V.astype(np.float64)
    places = diagonal_places(num_probes)
    diagonal_N = off_diagonal_V[places]
    off_diagonal_V[places] = 0.0
    return _sums_of_triangle(off_diagonal_V, diagonal_N, skip=0)


def sums_of_square(values: Float32, num_probes: int) -> MatrixSums:
    """Returns the sums of a matrix that is given row by row."""
    matrix_NN = values.reshape(num_probes, num_probes).astype(np.float64)
    diagonal_N = np.diagonal(matrix_NN).copy()
    np.fill_diagonal(matrix_NN, 0.0)
    return MatrixSums(
        rows_N=matrix_NN.sum(axis=1),
        columns_N=matrix_NN.sum(axis=0),
        diagonal_N=diagonal_N,
        squares=float(np.vdot(matrix_NN, matrix_NN)),
        mirrored=float(np.einsum("ij,ji->", matrix_NN, matrix_NN)),
    )


def _sums_of_triangle(values: Float64, diagonal_N: Float64, *, skip: int) -> MatrixSums:
    """Sums of a symmetric matrix of ``values / sqrt(2)``, which begin at diagonal ``skip``."""
    count = len(diagonal_N)
    rows, columns = upper_triangle(count, skip)
    sums_N = np.bincount(rows, values, count) + np.bincount(columns, values, count)
    rows_N = sums_N / math.sqrt(2)
    squares = float(values @ values)
    return MatrixSums(rows_N, rows_N, diagonal_N, squares, squares)


EDGES = Layout(edge_count, sums_of_edges)
"""Every pair of probes once; the matrix has a diagonal of zeros."""

CONDENSED = Layout(condensed_length, sums_of_condensed)
"""The upper triangle with its diagonal, as `condense` gives it."""

SQUARE = Layout(square_length, sums_of_square)
"""A whole matrix, row by row, which need not be symmetric."""
