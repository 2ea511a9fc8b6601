"""The network of the zoo of thousands: five cut points, and a forward pass of a millisecond."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

WIDTH = 8
NUM_LAYERS = 5


class TinyNetwork(nn.Module):
    """Four strided convolutions and a linear code, 32 px in."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.ReLU())
            for before, after in pairwise(widths)
        )
        self.code = nn.Linear(2 * WIDTH * 4, 16)

    def forward(self, image: Tensor) -> Tensor:
        for block in self.blocks:
            image = block(image)
        code: Tensor = self.code(image.flatten(1))
        return code


def write_weights(folder: Path, start: int, stop: int) -> None:
    """Writes the random weights of some models, one file each; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, stop):
        path = folder / f"m{number:05d}.safetensors"
        if not path.exists():
            torch.manual_seed(number)
            save_file(TinyNetwork().state_dict(), str(path))
