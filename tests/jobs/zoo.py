"""Small models for whole scans: some good, each of the others bad in its own way."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """Two blocks and a code; quick, with an in-place activation after every convolution."""

    def __init__(self, width: int = 4, side: int | None = None) -> None:
        super().__init__()
        self.side = side
        self.block1 = self._block(3, width)
        self.block2 = self._block(width, 2 * width)
        self.code = nn.Conv2d(2 * width, 4, 1)

    @staticmethod
    def _block(channels_in: int, channels_out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, 2, 1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.side is not None and x.shape[-1] != self.side:
            raise ValueError(f"this network takes {self.side} px only")
        return self.code(self.block2(self.block1(x)))


class Classifier(Tiny):
    """Five logits behind the code."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(super().forward(x).mean(dim=(2, 3)))


class ComparesInBatch(Classifier):
    """Its logits, though not its code, depend on the other images of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits - logits.mean(dim=0)


class RaisesLater(Tiny):
    """Passes the dry run with its noise and raises on pictures, whose pixels are like the next."""

    def forward(self, x: Tensor) -> Tensor:
        if x.diff(dim=-1).abs().mean() < 1:
            raise RuntimeError("the sensor is unplugged")
        return super().forward(x)


class GivesNaN(Tiny):
    """Its code is not finite."""

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.block2(self.block1(x)) * float("nan"))


class Kills(Tiny):
    """Ends its process in the real run, as a crash in native code does."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != 2:
            os._exit(139)
        return super().forward(x)


class FiresTwice(Tiny):
    """Uses one block two times."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.block2(self.again(self.again(self.block1(x)))))


class NoTensor(Tiny):
    """Returns text."""

    def forward(self, x: Tensor) -> str:  # type: ignore[override]
        super().forward(x)
        return "a dog"


def count_parameters(model: nn.Module) -> int:
    """Number of values in all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def same_weights() -> nn.Module:
    """A model that comes with its weights, equal each time."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Tiny()


class Dead(Tiny):
    """Its code is zero whatever it sees, its blocks are sound."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(super().forward(x) - 1e3)


class Flat(Tiny):
    """Gives the same for every probe."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0 + 3


class Scaled(Tiny):
    """Features of another magnitude."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.factor


class Cancels(Tiny):
    """Its code rests on small differences of large values, which bfloat16 does not hold."""

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.block2(self.block1(x)) + 300)


class NeedsFloat32(Tiny):
    """Works with float32 alone."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.block1(x)
        if hidden.dtype != torch.float32:
            raise TypeError("expected Float")
        return self.code(self.block2(hidden))
