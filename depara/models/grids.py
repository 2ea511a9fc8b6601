"""Where on the image a layer's positions are: the grid of a feature map, or of tokens.

Shapes: ``B`` batch, ``C`` channels, ``H W`` positions of a square image, ``T`` tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from torch import Tensor

from depara.models.outputs import channel_dim

_FIRST_TOKENS = 2
"""Most tokens before those of the image: a class token, and one for distillation."""
_LARGEST_STRIDE = 32
_QUERIES = "decoder"
"""In the names of modules whose tokens are queries, which lie nowhere on the image."""


@dataclass(frozen=True)
class Grid:
    """Rows and columns of a layer's positions, and how many tokens come before them."""

    height: int
    width: int
    num_first: int = 0

    def maps(self, values: Tensor) -> Tensor:
        """Returns a layer's output as ``B C H W``."""
        if values.ndim == 3:
            stop = self.num_first + self.height * self.width
            tokens = values[:, self.num_first : stop].transpose(1, 2)
            return tokens.reshape(*tokens.shape[:2], self.height, self.width)
        return values.movedim(channel_dim(values.shape), 1)


def find_grid(name: str, shape: Sequence[int], input_side: int, num_last: int = 0) -> Grid | str:
    """Returns the grid of a layer's positions, or why it has none that is known.

    A feature map ``C H W`` or ``H W C`` has one. Tokens ``T C`` are taken for the image's, row by
    row, where they are a square number, after at most 2 others, that divides the input's side into
    patches of at most 32 px, and the layer is not part of a decoder, whose tokens are queries.

    Args:
        name: of the layer.
        shape: of one probe's output.
        input_side: of the model's input, px.
        num_last: tokens after those of the image, such as the detection tokens of YOLOS.
    """
    shown = "x".join(map(str, shape)) or "one value"
    if len(shape) == 3:
        kept = channel_dim((1, *shape)) - 1
        height, width = (size for place, size in enumerate(shape) if place != kept)
        return Grid(height, width) if height * width > 1 else f"{shown} is one position"
    if len(shape) != 2:
        return f"its output {shown} has no positions on the image"
    if _QUERIES in name.lower():
        return f"its output {shown} is of a decoder's queries, which have no place on the image"
    for num_first in range(_FIRST_TOKENS + 1):
        count = max(shape[0] - num_first - num_last, 0)
        side = isqrt(count)
        is_grid = side > 1 and side**2 == count and input_side % side == 0
        if is_grid and input_side // side <= _LARGEST_STRIDE:
            return Grid(side, side, num_first)
    return f"its {shape[0]} tokens are no grid over the input of {input_side} px"
