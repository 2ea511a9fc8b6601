"""What the suite's encoders are asked, by image set: the digit zoo's tasks, and some more.

All chance comes from the generator that is passed in; ``N`` pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch.nn import functional

from benchmarks.truth.images import FONTS, LETTERS, PHOTOS, TEXTURES
from examples.digits.tasks import TASKS, Examples, Task

_SHARED = (
    "rotation",
    "mirror",
    "jigsaw",
    "autoencode",
    "denoise",
    "inpaint",
    "deblur",
    "edges",
    "segment",
)


def _of_label(
    function: Callable[[Tensor], Tensor],
) -> Callable[[Tensor, Tensor, Generator], Examples]:
    """The examples of a task that asks for a function of the picture's label."""

    def examples(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
        return Examples(pictures, function(labels))

    return examples


def _one_of(members: Sequence[bool]) -> Callable[[Tensor], Tensor]:
    table = torch.tensor(members).long()
    return lambda labels: table[labels]


def _negative(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    turned_N = torch.randint(2, (len(pictures),), generator=chance)
    inputs = torch.where(turned_N[:, None, None, None] == 1, 1 - pictures, pictures)
    return Examples(inputs, turned_N)


def _upscale(pictures: Tensor, labels: Tensor, chance: Generator) -> Examples:
    small = functional.avg_pool2d(pictures, 4)
    return Examples(functional.interpolate(small, scale_factor=4), pictures)


_FURTHER = {
    "negative": Task("as it is, or its negative?", _negative, num_classes=2),
    "upscale": Task("the picture that was shrunk to 8 px", _upscale, restores=True),
}
_BOLD = [("Bol" in font) for font in FONTS]
_SLANTED = [("Obl" in font or "Ita" in font) for font in FONTS]
_FAMILY = [min(3, ("Serif" in f) + 2 * ("Mono" in f) + 3 * ("STIX" in f)) for f in FONTS]
_PICTURES = {name: TASKS[name] for name in _SHARED} | _FURTHER

TASKS_OF: dict[str, dict[str, Task]] = {
    "digits": TASKS | _FURTHER,
    "mnist": TASKS
    | _FURTHER
    | {"large": Task("five or more?", _of_label(lambda labels: labels // 5), num_classes=2)},
    "letters": {
        "letter": Task("which letter?", _of_label(lambda x: x // len(FONTS)), len(LETTERS)),
        "vowel": Task(
            "a vowel?",
            _of_label(lambda x: _one_of([c in "AEIOU" for c in LETTERS])(x // len(FONTS))),
            2,
        ),
        "bold": Task("bold?", _of_label(lambda x: _one_of(_BOLD)(x % len(FONTS))), 2),
        "slanted": Task("slanted?", _of_label(lambda x: _one_of(_SLANTED)(x % len(FONTS))), 2),
        "family": Task(
            "which family of fonts?",
            _of_label(lambda x: torch.tensor(_FAMILY)[x % len(FONTS)]),
            4,
        ),
    }
    | _PICTURES,
    "photos": {
        "photo": Task("of which photo?", _of_label(lambda x: x), len(PHOTOS)),
        "texture": Task(
            "of a texture?", _of_label(_one_of([name in TEXTURES for name in PHOTOS])), 2
        ),
    }
    | {
        # Half of a patch is above its middle, not its half brightness.
        name: replace(task, question="which pixels are bright?") if name == "segment" else task
        for name, task in _PICTURES.items()
    },
}
"""The tasks of every image set, by name."""
