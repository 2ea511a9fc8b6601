"""Gram matrices summed over blocks of columns in the host's memory: float32 products, float64 sums.

Shapes: ``N`` probes, ``W`` columns of one block.

Squares of features below about 1e-19 or above 1e18 leave float32's range. Where a probe's or a
column's are near its ends, values are brought to a magnitude of 1 first and the powers of two put
back in float64, which holds them: exact, so that ordinary features give the same bits as without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.types import Float32, Float64

ROUNDING = 1e-6
"""A dimension whose deviation is at most this share of its mean does not vary: it is rounding."""

_ROWS = 128

SAFE_SQUARES = (1e-24, 1e30)
"""Sums of squares between these lose nothing to float32's range, which ends at 1e-38 and 3e38."""


class GramSum:
    """Adds up the inner products of ``N`` probes over blocks of feature columns.

    By numpy's product of a matrix with its own transpose (ssyrk), half the work of a general one.
    `device_gram.DeviceGramSum` is the same for features that lie on a device.

    Args:
        num_probes: ``N``.
        normalize: ``zscore``, ``center`` or ``none``, per column over all probes.
    """

    def __init__(self, num_probes: int, normalize: str) -> None:
        self._normalize = normalize
        self._product_NN = np.empty((num_probes, num_probes), np.float32)
        self._sum_NN = np.zeros((num_probes, num_probes), np.float64)
        self._row_sums_N = np.zeros(num_probes, np.float64)

    def add(self, block_NW: Float32) -> None:
        """Adds a block of columns; its values are overwritten."""
        if self._normalize != "none":
            standardize(block_NW, divide=self._normalize == "zscore")
        self._row_sums_N += block_NW.sum(axis=1, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            np.matmul(block_NW, block_NW.T, out=self._product_NN)
        if _is_sound(np.diagonal(self._product_NN), block_NW):
            self._sum_NN += self._product_NN
        else:
            self._sum_NN += _scaled_product(block_NW)

    @property
    def row_sums_N(self) -> Float64:
        """Sums over the columns of each probe's (normalised) features, ``N``, float64."""
        return self._row_sums_N

    def result(self) -> Float64:
        """Returns the sum, ``N N``, exactly symmetric."""
        return self._sum_NN


def _is_sound(squares_N: NDArray[np.floating], block_NW: Float32) -> bool:
    """Whether no row's squares have left float32's range; rows that are all zero have none."""
    low, high = SAFE_SQUARES
    lost_N = np.flatnonzero(~((squares_N >= low) & (squares_N <= high)))
    return not (lost_N.size and block_NW[lost_N].any())


def _scaled_product(block_NW: Float32) -> Float64:
    """Returns the inner products of rows of any magnitude: each row over its own power of two."""
    with np.errstate(invalid="ignore"):  # what is not finite is found in the sum
        _, exponent_N = np.frexp(np.abs(block_NW).max(axis=1))
        scaled_NW = np.ldexp(block_NW, -exponent_N[:, None])
        product_NN: Float64 = np.matmul(scaled_NW, scaled_NW.T).astype(np.float64)
        scaled_back_NN: Float64 = np.ldexp(product_NN, exponent_N[:, None] + exponent_N)
    return scaled_back_NN


def standardize(block_NW: Float32, *, divide: bool) -> None:
    """Subtracts each column's mean over the probes and divides by its deviation, in place.

    The mean is the float64 mean; it is subtracted in two float32 steps (its rounded value, then the
    rest), so that a large mean costs no precision. The deviation, used if
    ``divide``, is the sample standard deviation
    (``ddof=1``), 0 for one probe. A column whose deviation is at most ``1e-6`` of its mean's
    magnitude is constant up to float32 rounding: it becomes 0.
    """
    mean_W = block_NW.mean(axis=0, dtype=np.float64)
    rounded_W = mean_W.astype(np.float32)
    rest_W = (mean_W - rounded_W).astype(np.float32)
    squares_W = np.zeros(block_NW.shape[1], np.float64)
    for row0 in range(0, len(block_NW), _ROWS):
        rows = block_NW[row0 : row0 + _ROWS]
        rows -= rounded_W
        rows -= rest_W
        if divide:
            with np.errstate(over="ignore", under="ignore"):
                squares_W += np.einsum("nw,nw->w", rows, rows)
    if divide:
        _divide_by_deviation(block_NW, mean_W, squares_W)


def _divide_by_deviation(block_NW: Float32, mean_W: Float64, squares_W: Float64) -> None:
    """Divides centred columns, in place; in float64 where float32 has lost their squares."""
    low, high = SAFE_SQUARES
    lost = np.flatnonzero(~((squares_W >= low) & (squares_W <= high)))
    lost = lost[block_NW[:, lost].any(axis=0)]
    columns_NV = block_NW[:, lost].astype(np.float64)
    squares_W[lost] = np.square(columns_NV).sum(axis=0)
    deviation_W = np.sqrt(squares_W / max(len(block_NW) - 1, 1))
    varies_W = deviation_W > ROUNDING * np.abs(mean_W)
    scale_W = np.zeros_like(deviation_W)
    np.divide(1.0, deviation_W, out=scale_W, where=varies_W)
    columns_NV *= scale_W[lost]
    scale_W[lost] = 0.0
    block_NW *= scale_W.astype(np.float32)
    block_NW[:, lost] = columns_NV
