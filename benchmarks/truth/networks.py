"""The architectures of the suite: the digit zoo's three, a wide residual CNN and an MLP-mixer.

All take and give what `examples.digits.encoder.Encoder` does, so that the same heads fit.
Shape suffixes: ``N`` pictures, ``T`` tokens, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from examples.digits.architectures import ARCHITECTURES, PatchStem, TokenCode
from examples.digits.encoder import CODE_CHANNELS, CODE_SIDE_PX, Encoder, ResidualBlock


class WideEncoder(Encoder):
    """`Encoder` with twice the channels of every block: four times its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            ResidualBlock(16, 48, 2),
            ResidualBlock(48, 48, 1),
            ResidualBlock(48, 64, 2),
            ResidualBlock(64, 64, 1),
        )
        self.code = nn.Conv2d(64, CODE_CHANNELS, 1)


class MixerBlock(nn.Module):
    """A perceptron over the tokens and one over the features, each normalised first and added."""

    def __init__(self, num_tokens: int, num_features: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(num_features)
        self.over_tokens = _perceptron(num_tokens, 4 * num_tokens)
        self.norm2 = nn.LayerNorm(num_features)
        self.over_features = _perceptron(num_features, 2 * num_features)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.over_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        y: Tensor = x + self.over_features(self.norm2(x))
        return y


class MixerEncoder(nn.Module):
    """Normalised pictures (N, 1, 32, 32) to codes (N, 8, 4, 4): an MLP-mixer.

    Patches, four blocks of 16 tokens with 48 features, and a code (Tolstikhin et al., NeurIPS
    2021).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = PatchStem(48)
        self.blocks = nn.Sequential(*(MixerBlock(CODE_SIDE_PX**2, 48) for _ in range(4)))
        self.code = TokenCode(48)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.blocks(self.stem(x)))
        return code


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **ARCHITECTURES,
    "wide": WideEncoder,
    "mixer": MixerEncoder,
}
"""The architectures by their name in `suite.ZOOS`."""


def _perceptron(num_values: int, num_hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_values, num_hidden), nn.GELU(), nn.Linear(num_hidden, num_values)
    )
