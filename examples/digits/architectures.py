"""The other architectures of the mixed digit zoo: a plain CNN and a small vision transformer.

Both take and give what `examples.digits.encoder.Encoder` does, and have about its size, so that the
same heads fit on their codes. Shape suffixes: ``N`` pictures, ``T`` tokens, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.encoder import CODE_CHANNELS, CODE_SIDE_PX, Encoder

PATCH_PX = 8
"""Side of a token's patch: the 32x32 picture makes 4x4 tokens, one per place of the code."""


class PlainEncoder(nn.Module):
    """Normalised pictures (N, 1, 32, 32) to codes (N, 8, 4, 4), without shortcuts.

    A stem and four blocks of one 3x3 convolution, in the manner of VGG (Simonyan and Zisserman,
    2015) with batch norm and three max poolings, then a 1x1 code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(1, 16, pool=True)
        self.blocks = nn.Sequential(
            _convolution(16, 32, pool=True),
            _convolution(32, 32, pool=False),
            _convolution(32, 48, pool=True),
            _convolution(48, 48, pool=False),
        )
        self.code = nn.Conv2d(48, CODE_CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.blocks(self.stem(x)))
        return code


class PatchStem(nn.Module):
    """Pictures (N, 1, 32, 32) to tokens (N, T, D): patches projected, with learned positions."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(1, num_features, PATCH_PX, PATCH_PX)
        self.positions_TD = nn.Parameter(0.02 * torch.randn(CODE_SIDE_PX**2, num_features))

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.project(x).flatten(2).transpose(1, 2) + self.positions_TD
        return tokens


class TransformerBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised first and added (tokens NTD)."""

    def __init__(self, num_features: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(num_features)
        self.queries_keys_values = nn.Linear(num_features, 3 * num_features)
        self.project = nn.Linear(num_features, num_features)
        self.norm2 = nn.LayerNorm(num_features)
        self.perceptron = nn.Sequential(
            nn.Linear(num_features, 2 * num_features),
            nn.GELU(),
            nn.Linear(2 * num_features, num_features),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.project(self._attend(self.norm1(x)))
        y: Tensor = x + self.perceptron(self.norm2(x))
        return y

    def _attend(self, x: Tensor) -> Tensor:
        pictures, tokens, features = x.shape
        shape = (pictures, tokens, 3, self.num_heads, features // self.num_heads)
        queries, keys, values = self.queries_keys_values(x).view(shape).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(queries, keys, values)
        return attended.transpose(1, 2).flatten(2)


class TokenCode(nn.Module):
    """Tokens (N, 16, D) to codes (N, 8, 4, 4): each token gives its place's values."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(num_features)
        self.project = nn.Linear(num_features, CODE_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.project(self.norm(x)).transpose(1, 2)
        return code.reshape(-1, CODE_CHANNELS, CODE_SIDE_PX, CODE_SIDE_PX)


class TransformerEncoder(nn.Module):
    """Normalised pictures (N, 1, 32, 32) to codes (N, 8, 4, 4): a small vision transformer.

    Patches, four blocks of 16 tokens with 40 features, and a code (Dosovitskiy et al., 2021).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = PatchStem(40)
        self.blocks = nn.Sequential(*(TransformerBlock(40, num_heads=4) for _ in range(4)))
        self.code = TokenCode(40)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.blocks(self.stem(x)))
        return code


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "residual": Encoder,
    "plain": PlainEncoder,
    "vit": TransformerEncoder,
}
"""What the mixed zoo is built of; its encoders are called ``<task>-<architecture>``."""


def _convolution(channels_in: int, channels_out: int, *, pool: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
