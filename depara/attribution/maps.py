"""From attributions per pixel and channel to the nodes of a graph: maps of unit norm.

Shapes: ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels. All on the tensors' device.
"""

from __future__ import annotations

import torch
from torch import Tensor


def reduce_channels(attribution_B3SS: Tensor, channels: str) -> Tensor:
    """Returns the map over pixels, ``B S S``: the signed ``mean`` over RGB, or that of ``abs``."""
    if channels == "abs":
        attribution_B3SS = attribution_B3SS.abs()
    return attribution_B3SS.mean(dim=1)


def sum_pool(map_BSS: Tensor, map_side: int) -> Tensor:
    """Returns the map summed over square cells, ``B P``; the total of each map is conserved.

    Args:
        map_BSS: maps whose side is a multiple of ``map_side``.
        map_side: side of the result, px.
    """
    batch, side = map_BSS.shape[0], map_BSS.shape[-1]
    assert side % map_side == 0
    cell = side // map_side
    if cell == 1:
        return map_BSS.reshape(batch, -1)
    return map_BSS.reshape(batch, map_side, cell, map_side, cell).sum(dim=(2, 4)).flatten(1)


def unit_norm(map_BP: Tensor) -> tuple[Tensor, Tensor]:
    """Returns float16 maps of Euclidean norm 1, ``B P``, and the float32 norms taken out, ``B``.

    A map that is all zero, or below float32's normal range, becomes all zero with norm 0. The norm
    is taken after dividing by the largest magnitude, so that squares of tiny gradients do not
    vanish. A map that is not finite has a norm that is not finite.
    """
    tiny = torch.finfo(map_BP.dtype).tiny
    largest_B1 = torch.linalg.vector_norm(map_BP, ord=float("inf"), dim=1, keepdim=True)
    is_zero_B1 = largest_B1 < tiny
    scaled_BP = (map_BP / largest_B1.clamp_min(tiny)).masked_fill(is_zero_B1, 0)
    length_B1 = torch.linalg.vector_norm(scaled_BP, dim=1, keepdim=True)
    norms_B = (length_B1 * largest_B1).masked_fill(is_zero_B1, 0).squeeze(1)
    return (scaled_BP / length_B1.clamp_min(1)).to(torch.float16), norms_B
