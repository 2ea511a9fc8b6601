"""Gram matrices of features that lie on a device: float32 throughout, float64 only for the sums.

Shapes: ``N`` probes, ``T`` of a tile, ``W`` columns of one block, ``K`` pieces of it.

Most GPUs compute float64 at 1/32 or 1/64 of float32's rate, so nothing of size ``N W`` is float64
here. What a float32 sum loses is kept beside it (compensated sums; Knuth, The Art of Computer
Programming 2, 4.2.2), and a column is brought to a magnitude of 1 by a power of two before its
squares are taken, which is exact. The products agree with `gram.GramSum` to 1e-6.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depara.attribution.bus import Bus
from depara.attribution.gram import ROUNDING, SAFE_SQUARES
from depara.attribution.torch_state import arithmetic
from depara.types import Float64

_PIECE = 1024
"""Columns that one float32 product sums over: of few probes, more keep a device's units busy."""

TILE = 256
"""Probes of one side of a product: of many, what lies beyond the diagonal is not computed."""

_ROWS = 32
"""Rows that are summed plainly before they enter a compensated sum."""

_MAX_EXPONENT = 126
"""Of a power of two that float32 holds in full, and so does its reciprocal."""


class DeviceGramSum:
    """Adds up the inner products of ``N`` probes over blocks of feature columns, on their device.

    The blocks stay as they are. Features whose squares leave float32's range need `is_scaled`,
    which costs one more pass over a block: `is_sound` tells afterwards whether it was needed.

    Args:
        num_probes: ``N``.
        normalize: ``zscore``, ``center`` or ``none``, per column over all probes.
        bus: to the device.
        is_scaled: bring each row of a block to a magnitude of 1 first, and put the powers of two
            back in float64.
    """

    def __init__(self, num_probes: int, normalize: str, bus: Bus, *, is_scaled: bool) -> None:
        self._normalize = normalize
        self._bus = bus
        self._is_scaled = is_scaled and normalize != "zscore"  # z-scores are of magnitude 1
        self._sum_NN = torch.zeros((num_probes, num_probes), dtype=torch.float64, device=bus.device)
        self._sums_N = torch.zeros(num_probes, dtype=torch.float64, device=bus.device)

    def add(self, block_NW: Tensor) -> None:
        """Adds a block of columns, float32; its rows may lie apart in memory."""
        if self._normalize != "none":
            block_NW = standardized(block_NW, divide=self._normalize == "zscore")
        if not self._is_scaled:
            self._sums_N += _row_sums(block_NW)
            self._sum_NN += _product(block_NW)
            return
        exponent_N = exponents(torch.linalg.vector_norm(block_NW, ord=torch.inf, dim=1))
        scaled_NW = block_NW * power_of_two(-exponent_N)[:, None]
        scale_N = torch.exp2(exponent_N.double())
        self._sums_N += _row_sums(scaled_NW) * scale_N
        self._sum_NN += _product(scaled_NW).double() * scale_N * scale_N[:, None]

    def is_sound(self) -> bool:
        """Whether no probe's squares have left float32's range; if some have, add all anew, scaled.

        A probe whose features are all zero counts as lost: the device is asked once, at the end.
        """
        if self._is_scaled or self._normalize == "zscore":
            return True
        low, high = SAFE_SQUARES
        squares_N = self._sum_NN.diagonal()
        return self._bus.is_true(((squares_N >= low) & (squares_N <= high)).all())

    @property
    def row_sums_N(self) -> Float64:
        """Sums over the columns of each probe's (normalised) features, ``N``, float64."""
        sums_N: Float64 = self._bus.fetch("grams", self._sums_N).numpy()
        return sums_N

    def result(self) -> Float64:
        """Returns the sum, ``N N``, exactly symmetric."""
        symmetric_NN = (self._sum_NN + self._sum_NN.T) / 2
        sum_NN: Float64 = self._bus.fetch("grams", symmetric_NN).numpy()
        return sum_NN


def standardized(block_NW: Tensor, *, divide: bool) -> Tensor:
    """Returns the same as `gram.standardize` as a new float32 tensor, without float64.

    Each column is first divided by the power of two of its largest value; then no sum overflows,
    and no square that counts is lost. The mean is subtracted in two steps, the second one the mean
    of what the first one left.
    """
    exponent_W = exponents(torch.linalg.vector_norm(block_NW, ord=torch.inf, dim=0))
    values_NW = block_NW * power_of_two(-exponent_W)
    count = len(values_NW)
    mean_W = compensated_sum(values_NW) / count
    values_NW -= mean_W
    values_NW -= compensated_sum(values_NW) / count
    if not divide:
        return values_NW.mul_(power_of_two(exponent_W))
    deviation_W = (compensated_sum(values_NW, squares=True) / max(count - 1, 1)).sqrt()
    varies_W = deviation_W > ROUNDING * mean_W.abs()
    return values_NW.mul_(torch.where(varies_W, deviation_W.reciprocal(), 0.0))


def compensated_sum(values_NW: Tensor, *, squares: bool = False) -> Tensor:
    """Returns the sum over the probes of each column, or of its squares, ``W``, float32.

    What is lost when one number is added to another is known exactly, in the same precision
    (Knuth's two-sum): it is summed beside them and added at the end.
    """
    total_W = torch.zeros_like(values_NW[0])
    lost_W = torch.zeros_like(total_W)
    for row0 in range(0, len(values_NW), _ROWS):
        rows = values_NW[row0 : row0 + _ROWS]
        part_W = (rows.square() if squares else rows).sum(dim=0)
        sum_W = total_W + part_W
        taken_W = sum_W - total_W
        lost_W += (total_W - (sum_W - taken_W)) + (part_W - taken_W)
        total_W = sum_W
    return total_W + lost_W


def exponents(magnitude: Tensor) -> Tensor:
    """Returns the exponents of the powers of two just above some magnitudes, -126 to 126, int32."""
    _, exponent = torch.frexp(magnitude)
    return exponent.clamp_(-_MAX_EXPONENT, _MAX_EXPONENT).int()


def power_of_two(exponent: Tensor) -> Tensor:
    """Returns ``2^e`` in float32 for integers from -126 to 126, exactly: its bits are known."""
    return torch.bitwise_left_shift(exponent + 127, 23).view(torch.float32)


def _product(block_NW: Tensor) -> Tensor:
    """Returns the inner products of the rows, float32: on one side of the diagonal, then both."""
    product_NN = block_NW.new_empty((len(block_NW), len(block_NW)))
    tiles = [slice(row, row + TILE) for row in range(0, len(block_NW), TILE)]
    with arithmetic("fp32"):
        for place, rows in enumerate(tiles):
            for columns in tiles[place:]:
                product_NN[rows, columns] = _tile(block_NW[rows], block_NW[columns])
                if rows != columns:
                    product_NN[columns, rows] = product_NN[rows, columns].T
    return product_NN


def _tile(one_TW: Tensor, other_TW: Tensor) -> Tensor:
    """Returns the inner products of rows with others: of all pieces at once, then their sum."""
    whole = one_TW.shape[1] // _PIECE * _PIECE
    product = one_TW[:, whole:] @ other_TW[:, whole:].T
    if whole:
        ones_KTW, others_KTW = (_pieces(rows, whole).transpose(0, 1) for rows in (one_TW, other_TW))
        product += torch.bmm(ones_KTW, others_KTW.mT).sum(dim=0)
    return product


def _row_sums(block_NW: Tensor) -> Tensor:
    """Returns each row's sum, float64: of pieces in float32, of their sums in float64."""
    whole = block_NW.shape[1] // _PIECE * _PIECE
    sums_N = block_NW[:, whole:].sum(dim=1).double()
    if whole:
        sums_N += _pieces(block_NW, whole).sum(dim=2).sum(dim=1).double()
    return sums_N


def _pieces(block_NW: Tensor, whole: int) -> Tensor:
    """Returns the first columns in pieces, ``N K W``, without a copy."""
    return block_NW[:, :whole].view(len(block_NW), -1, _PIECE)


def bytes_per_column(num_probes: int) -> int:
    """Returns what a column of a block takes on the device: standardised, and its products."""
    products = min(num_probes, TILE) ** 2 // _PIECE
    return 4 * (num_probes + products + 2 * _ROWS)
