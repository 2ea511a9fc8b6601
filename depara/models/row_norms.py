"""Euclidean norms of probes' values, of any magnitude that float32 holds.

Shapes: ``B`` probes of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SAFE = (1e-15, 1e18)
"""Norms between these lose nothing to squares beyond float32's range, at either end."""


def row_norms(values: Tensor) -> Tensor:
    """Returns the Euclidean norm of each probe's values, ``B``; infinite where float32 has none.

    Squares are summed in float32, which is ten times as fast on a CPU; only where one of the norms
    is so small or so large that squares were lost are all computed again in float64, and then
    returned so, as are norms of float64 values.

    Args:
        values: ``B`` first, any shape and memory format.
    """
    rows = _rows(values)
    if rows.dtype != torch.float64:
        norms_B: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32)
        low, high = _SAFE
        if bool(((norms_B >= low) & (norms_B <= high)).all()):
            return norms_B
    norms_B = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return norms_B.masked_fill(norms_B > torch.finfo(torch.float32).max, torch.inf)


def _rows(values: Tensor) -> Tensor:
    """Returns one row per probe, values in the order of memory, without a copy if possible."""
    if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return values.permute(0, 2, 3, 1).flatten(1)
    return values.reshape(len(values), -1)
