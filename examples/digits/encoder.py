"""The architecture of the digit zoo, and the small heads that the encoders are trained with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_MEAN = 0.31
INPUT_STD = 0.35
"""Of the training pictures' pixels in [0, 1]; `scan.yaml` states the same."""

CODE_CHANNELS = 8
CODE_SIDE_PX = 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut (He et al., 2016)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Encoder(nn.Module):
    """Normalised pictures (N, 1, 32, 32) to codes (N, 8, 4, 4): stem, four blocks, a 1x1 code."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            ResidualBlock(16, 24, 2),
            ResidualBlock(24, 24, 1),
            ResidualBlock(24, 32, 2),
            ResidualBlock(32, 32, 1),
        )
        self.code = nn.Conv2d(32, CODE_CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.code(self.blocks(self.stem(x)))
        return code


class ClassHead(nn.Module):
    """Codes (N, 8, 4, 4) to class scores (N, ``num_classes``)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(CODE_CHANNELS * CODE_SIDE_PX**2, 64)
        self.scores = nn.Linear(64, num_classes)

    def forward(self, code: Tensor) -> Tensor:
        scores: Tensor = self.scores(functional.relu(self.hidden(code.flatten(1))))
        return scores


class PictureHead(nn.Module):
    """Codes (N, 8, 4, 4) to pictures (N, 1, 32, 32), doubling the side three times."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.Conv2d(CODE_CHANNELS, 64, 3, 1, 1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(16, 48, 3, 1, 1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(12, 4, 3, 1, 1),
            nn.PixelShuffle(2),
        )

    def forward(self, code: Tensor) -> Tensor:
        picture: Tensor = self.up(code)
        return picture


def normalize(pictures: Tensor) -> Tensor:
    """Returns what the encoder takes: pixels in [0, 1] to about zero mean and unit deviation."""
    return (pictures - INPUT_MEAN) / INPUT_STD


def build_head(num_classes: int | None) -> nn.Module:
    """Returns an untrained head: for that many classes, or for pictures when None."""
    return PictureHead() if num_classes is None else ClassHead(num_classes)


def code_of(encoder: nn.Module, pictures: Tensor) -> Tensor:
    """Returns the codes (N, 8, 4, 4) of pictures (N, 1, 32, 32) with pixels in [0, 1]."""
    code: Tensor = encoder(normalize(pictures))
    assert code.shape[1:] == torch.Size((CODE_CHANNELS, CODE_SIDE_PX, CODE_SIDE_PX))
    return code
