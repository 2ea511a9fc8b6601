"""The tasks of the digit zoo: what each encoder is shown, and what it must answer.

Shape suffixes: ``N`` pictures, ``S`` side in px, ``K`` classes. Pictures are float32 in [0, 1],
(N, 1, S, S). All chance comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Generator, Tensor
from torch.nn import functional

NOISE_STD = 0.6
HOLE_PX = 14
BLUR_SIGMA_PX = 3.0
JIGSAW_ORDERS = tuple(permutations(range(4)))
"""The 24 ways to lay the four quarters of a picture."""


@dataclass(frozen=True)
class Examples:
    """A batch: ``inputs`` (N, 1, S, S); ``targets`` int64 (N,) for classes, else pictures."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Task:
    """One task of the zoo.

    ``num_classes`` is None where the answer is a picture. ``restores`` marks the tasks whose answer
    is the undamaged input: there, handing the input back is a trivial answer to be beaten.
    """

    question: str
    examples: Callable[[Tensor, Tensor, Generator], Examples]
    num_classes: int | None = None
    restores: bool = False

    def loss(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Returns the training loss: cross entropy of classes, mean squared error of pictures."""
        if self.num_classes is None:
            return functional.mse_loss(answers, targets)
        return functional.cross_entropy(answers, targets)

    def error(self, answers: Tensor, targets: Tensor) -> float:
        """Returns the share of wrong classes, or the mean squared error of pictures."""
        if self.num_classes is None:
            return float(functional.mse_loss(answers, targets))
        return float((answers.argmax(1) != targets).float().mean())


def _class10(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    return Examples(pictures, labels)


def _parity(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    return Examples(pictures, labels % 2)


def _rotation(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    turns_N = torch.randint(4, (len(pictures),), generator=chance)
    turned_4N1SS = torch.stack([pictures.rot90(turns, (2, 3)) for turns in range(4)])
    return Examples(turned_4N1SS[turns_N, torch.arange(len(pictures))], turns_N)


def _mirror(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    mirrored_N = torch.randint(2, (len(pictures),), generator=chance)
    inputs = torch.where(mirrored_N[:, None, None, None] == 1, pictures.flip(3), pictures)
    return Examples(inputs, mirrored_N)


def _jigsaw(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    half = pictures.shape[-1] // 2
    quarters_N4 = torch.stack(
        [pictures[:, :, y : y + half, x : x + half] for y in (0, half) for x in (0, half)], dim=1
    )
    orders_N = torch.randint(len(JIGSAW_ORDERS), (len(pictures),), generator=chance)
    laid_N4 = torch.tensor(JIGSAW_ORDERS)[orders_N]
    quarters_N4 = quarters_N4[torch.arange(len(pictures))[:, None], laid_N4]
    top, bottom = (torch.cat((quarters_N4[:, i], quarters_N4[:, i + 1]), 3) for i in (0, 2))
    return Examples(torch.cat((top, bottom), 2), orders_N)


def _autoencode(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    return Examples(pictures, pictures)


def _denoise(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    noise = NOISE_STD * torch.randn(pictures.shape, generator=chance)
    return Examples((pictures + noise).clamp(0, 1), pictures)


def _inpaint(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    count, side = len(pictures), pictures.shape[-1]
    top_N, left_N = torch.randint(side - HOLE_PX + 1, (2, count), generator=chance)
    place = torch.arange(side)
    rows_NS = (place >= top_N[:, None]) & (place < top_N[:, None] + HOLE_PX)
    columns_NS = (place >= left_N[:, None]) & (place < left_N[:, None] + HOLE_PX)
    hole = (rows_NS[:, :, None] & columns_NS[:, None, :])[:, None]
    return Examples(pictures.masked_fill(hole, 0.5), pictures)


def _deblur(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    reach = int(3 * BLUR_SIGMA_PX)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.softmax(-(offsets**2) / (2 * BLUR_SIGMA_PX**2), 0)
    blurred = functional.conv2d(pictures, weights.view(1, 1, -1, 1), padding=(reach, 0))
    return Examples(
        functional.conv2d(blurred, weights.view(1, 1, 1, -1), padding=(0, reach)), pictures
    )


def _edges(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    """Sobel's gradient magnitude, scaled so that a straight black-white border reads 1."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    kernels = torch.stack((sobel, sobel.T))[:, None]
    gradient = functional.conv2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), kernels)
    return Examples(pictures, gradient.square().sum(1, keepdim=True).sqrt())


def _segment(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    return Examples(pictures, (pictures > 0.5).float())


TASKS: dict[str, Task] = {
    "class10": Task("which digit?", _class10, num_classes=10),
    "parity": Task("odd or even?", _parity, num_classes=2),
    "rotation": Task("turned by 0, 90, 180 or 270 degrees?", _rotation, num_classes=4),
    "mirror": Task("as written, or mirrored?", _mirror, num_classes=2),
    "jigsaw": Task("in which of 24 orders lie the quarters?", _jigsaw, num_classes=24),
    "autoencode": Task("the same picture", _autoencode),
    "denoise": Task("the picture without the noise", _denoise, restores=True),
    "inpaint": Task("the picture without the hole", _inpaint, restores=True),
    "deblur": Task("the picture before the blur", _deblur, restores=True),
    "edges": Task("the picture's edges", _edges),
    "segment": Task("which pixels are ink?", _segment),
}
"""The zoo, in the order of its tables."""
