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
    red, green, blue = attribution_B3SS.unbind(dim=1)  # thrice as fast as mean() channels last
    return (red + green).add_(blue).div_(3)


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


def unit_norm(map_BP: Tensor, length: float = 1.0) -> tuple[Tensor, Tensor]:
    """Returns float16 maps of Euclidean norm 1, ``B P``, and the float32 norms taken out, ``B``.

    With another ``length`` than 1 the maps have that norm.

    A map that is all zero, or below float32's normal range, becomes all zero with norm 0. The norm
    is summed in float64, so that squares of tiny gradients do not vanish. A map that is not finite
    has a norm that is not finite.
    """
    norms_B = torch.linalg.vector_norm(map_BP, dim=1, dtype=torch.float64)
    is_zero_B = norms_B < torch.finfo(torch.float32).tiny
    scale_B = norms_B.reciprocal().mul_(length).masked_fill(is_zero_B, 0).to(map_BP.dtype)
    maps_BP = (map_BP * scale_B[:, None]).to(torch.float16)
    return maps_BP, norms_B.masked_fill(is_zero_B, 0).to(torch.float32)
