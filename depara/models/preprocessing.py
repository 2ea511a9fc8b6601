"""From the shared canvas to one model's input, as linear operations inside the autograd graph.

Shapes: ``N`` probes, ``S`` canvas side, ``C`` channels, ``H W`` the model's input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from depara.types import InputSpec

_LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of R, G and B in the luminance of ITU-R BT.601."""


class Preprocess(nn.Module):
    """Turns ``canvas_N3SS`` float in [0, 1] into a model's input ``N C H W``.

    In order: luminance ``0.299 R + 0.587 G + 0.114 B`` (ITU-R BT.601) for one-channel models, or
    the channels in the model's order; resize to ``side`` (bilinear, antialiased; skipped when the
    canvas has that side); ``(x - mean) / std`` per channel. All are affine and differentiable.
    """

    mean: Tensor
    std: Tensor
    luminance: Tensor

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.side = spec.side
        self.num_channels = len(spec.mean)
        self.channel_order = spec.channel_order
        for name, values in (("mean", spec.mean), ("std", spec.std), ("luminance", _LUMINANCE)):
            self.register_buffer(
                name, torch.tensor(values, dtype=torch.float32)[None, :, None, None]
            )

    def forward(self, canvas_N3SS: Tensor) -> Tensor:
        """Returns the model's input for a batch of canvases."""
        images = canvas_N3SS
        if self.num_channels == 1:
            images = (images * self.luminance).sum(dim=1, keepdim=True)
        elif self.channel_order == "bgr":
            images = images.flip(1)
        if images.shape[-1] != self.side or images.shape[-2] != self.side:
            images = functional.interpolate(
                images, size=(self.side, self.side), mode="bilinear", antialias=True
            )
        return (images - self.mean) / self.std

    def extra_repr(self) -> str:
        """Returns the input's side and channels for printing."""
        order = f", {self.channel_order}" if self.num_channels > 1 else ""
        return f"side={self.side}, num_channels={self.num_channels}{order}"
