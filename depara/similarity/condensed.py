"""Symmetric matrices as vectors of half their size with the same inner products.

``N`` probes, ``V = N(N+1)/2`` values of a condensed matrix.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from depara.grams import flat_triangle
from depara.types import Float32, Float64


def condensed_length(num_probes: int) -> int:
    """Returns ``V = N(N+1)/2``."""
    return num_probes * (num_probes + 1) // 2


@lru_cache(maxsize=2)
def diagonal_places(num_probes: int) -> NDArray[np.intp]:
    """Returns where the diagonal stands in a condensed matrix."""
    places = np.concatenate(([0], np.cumsum(np.arange(num_probes, 1, -1))))
    places.flags.writeable = False
    return places


def condense(matrix_NN: Float64, norm: float = 1.0) -> Float32:
    """Returns the upper triangle, row by row, off-diagonal values times ``sqrt(2)``: float32 ``V``.

    For symmetric ``A`` and ``B``, ``<condense(A), condense(B)> = sum_ij a_ij b_ij``, the
    Frobenius inner product: an off-diagonal value stands for the two that mirror each other.

    Args:
        matrix_NN: symmetric; only its diagonal and upper triangle are read.
        norm: what it is divided by.
    """
    count = len(matrix_NN)
    assert matrix_NN.shape == (count, count)
    values_V = matrix_NN.reshape(-1).take(flat_triangle(count, 0))
    values_V /= norm
    diagonal_N = values_V.take(diagonal_places(count))
    values_V *= math.sqrt(2)
    values_V[diagonal_places(count)] = diagonal_N
    return values_V.astype(np.float32)
