"""Symmetric matrices as vectors of half their size with the same inner products.

``N`` probes, ``V = N(N+1)/2`` values of a condensed matrix.
"""

from __future__ import annotations

import math

import numpy as np

from depara.types import Float32, Float64


def condensed_length(num_probes: int) -> int:
    """Returns ``V = N(N+1)/2``."""
    return num_probes * (num_probes + 1) // 2


def condense(matrix_NN: Float64) -> Float32:
    """Returns the upper triangle, row by row, off-diagonal values times ``sqrt(2)``: float32 ``V``.

    For symmetric ``A`` and ``B``, ``<condense(A), condense(B)> = sum_ij a_ij b_ij``, the
    Frobenius inner product: an off-diagonal value stands for the two that mirror each other.

    Args:
        matrix_NN: symmetric; only its diagonal and upper triangle are read.
    """
    count = len(matrix_NN)
    assert matrix_NN.shape == (count, count)
    values_V = np.empty(condensed_length(count), dtype=np.float32)
    start = 0
    for probe, row_N in enumerate(matrix_NN):
        stop = start + count - probe
        values_V[start] = row_N[probe]
        values_V[start + 1 : stop] = row_N[probe + 1 :] * math.sqrt(2)
        start = stop
    return values_V
