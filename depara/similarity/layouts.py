"""How a vector holds a matrix: what inner products of vectors are inner products of.

``G`` graphs, ``N`` probes.

A score of two graphs is ``sum_ij a_ij b_ij`` of an ``N x N`` matrix of each. A vector holds its
matrix without what is known beforehand: its mirror image, or its diagonal of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from depara.grams import upper_triangle
from depara.graph.edges import edge_count
from depara.similarity.condensed import condensed_length, diagonal_places
from depara.types import Float32, Float64


@dataclass(frozen=True)
class MatrixSums:
    """What the matrices of some vectors sum to; rows, columns and squares without the diagonal.

    ``squares_G`` are ``sum a_ij^2`` and ``mirrored_G`` are ``sum a_ij a_ji``, over ``i != j``.
    """

    rows_GN: Float64
    columns_GN: Float64
    diagonal_GN: Float64
    squares_G: Float64
    mirrored_G: Float64


@dataclass(frozen=True)
class Layout:
    """The form of a score's vectors.

    ``matrix_length`` gives the values of the matrix from the number of probes; ``sums`` gives, of
    those values of some graphs, one row each, and that number, what their matrices sum to, None
    where they are no matrices of pairs of probes. ``own`` values follow, which are of the graph as
    a whole: what they add to a score is the same for every order of the probes.
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


def sums_of_edges(values_GE: Float32, num_probes: int) -> MatrixSums:
    """Returns the sums of symmetric matrices ``r_ij / sqrt(2)`` with a diagonal of zeros.

    ``sum_{i<j} r_ij r'_ij`` is the inner product of two such matrices.
    """
    diagonal_GN = np.zeros((len(values_GE), num_probes))
    return _sums_of_triangles(values_GE.astype(np.float64), diagonal_GN, skip=1)


def sums_of_condensed(values_GV: Float32, num_probes: int) -> MatrixSums:
    """Returns the sums of the matrices that `condense` was given."""
    off_diagonal_GV = values_GV.astype(np.float64)
    places = diagonal_places(num_probes)
    diagonal_GN = off_diagonal_GV[:, places]
    off_diagonal_GV[:, places] = 0.0
    return _sums_of_triangles(off_diagonal_GV, diagonal_GN, skip=0)


def sums_of_square(values: Float32, num_probes: int) -> MatrixSums:
    """Returns the sums of matrices that are given row by row."""
    matrix_GNN = values.reshape(-1, num_probes, num_probes).astype(np.float64)
    diagonal_GN = np.diagonal(matrix_GNN, axis1=1, axis2=2).copy()
    matrix_GNN.reshape(len(matrix_GNN), -1)[:, :: num_probes + 1] = 0.0
    return MatrixSums(
        rows_GN=matrix_GNN.sum(axis=2),
        columns_GN=matrix_GNN.sum(axis=1),
        diagonal_GN=diagonal_GN,
        squares_G=np.array([np.vdot(one_NN, one_NN) for one_NN in matrix_GNN]),
        mirrored_G=np.array([np.einsum("ij,ji->", one_NN, one_NN) for one_NN in matrix_GNN]),
    )


def _sums_of_triangles(values_GV: Float64, diagonal_GN: Float64, *, skip: int) -> MatrixSums:
    """Sums of symmetric matrices of ``values / sqrt(2)``, which begin at diagonal ``skip``."""
    shape = diagonal_GN.shape
    values, size = values_GV.reshape(-1), diagonal_GN.size
    rows, columns = _bins(*shape, skip)
    sums = np.bincount(rows, values, size) + np.bincount(columns, values, size)
    sums_GN: Float64 = np.divide(sums.reshape(shape), math.sqrt(2))
    squares_G = np.array([values_V @ values_V for values_V in values_GV])
    return MatrixSums(sums_GN, sums_GN, diagonal_GN, squares_G, squares_G)


@lru_cache(maxsize=4)
def _bins(num_graphs: int, num_probes: int, skip: int) -> tuple[NDArray[np.intp], ...]:
    """Returns which row, and which column, of which graph each value of triangles is of."""
    first_G1 = np.arange(num_graphs)[:, None] * num_probes
    return tuple((first_G1 + places).reshape(-1) for places in upper_triangle(num_probes, skip))


EDGES = Layout(edge_count, sums_of_edges)
"""Every pair of probes once; the matrix has a diagonal of zeros."""

CONDENSED = Layout(condensed_length, sums_of_condensed)
"""The upper triangle with its diagonal, as `condense` gives it."""

SQUARE = Layout(square_length, sums_of_square)
"""A whole matrix, row by row, which need not be symmetric."""
