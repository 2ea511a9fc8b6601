"""Draws pictures with several digits and their boxes: ``python -m examples.detection.data``.

Shape suffixes: ``H W`` picture, ``S`` side of a digit, px.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from examples.digits.data import load_digits, png, write_whole

PICTURES = Path("examples/detection/pictures.parquet")
WIDTH_PX, HEIGHT_PX = 160, 96
"""Wider than high: the canvas is the centre square, so that some digits lie beside it."""

COUNT = 200
SIDES_PX = (20, 44)
"""Least and largest side of a digit."""

MOST_DIGITS = 4
_INK = 64
_TRIES = 40
_GRAIN = 40

Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """One picture (uint8, ``H W``, 0 paper to 255 ink), the boxes of its digits and what they are.

    Boxes are the corners ``x0, y0, x1, y1`` of the ink, px.
    """

    pixels_HW: NDArray[np.uint8]
    boxes: tuple[Corners, ...]
    labels: tuple[str, ...]


def draw_pictures(count: int, seed: int = 0) -> Iterator[Picture]:
    """Yields pictures of 1 to 4 held-out digits of other sizes, which do not touch, on grain."""
    digits = load_digits("held_out")
    rng = np.random.default_rng(seed)
    for _ in range(count):
        pixels_HW = rng.integers(0, _GRAIN, (HEIGHT_PX, WIDTH_PX)).astype(np.uint8)
        boxes: list[Corners] = []
        labels: list[str] = []
        for _ in range(int(rng.integers(1, MOST_DIGITS + 1))):
            row, side = int(rng.integers(len(digits))), int(rng.integers(*SIDES_PX, endpoint=True))
            ink_SS = _resized(digits.pictures_NSS[row], side)
            place = _free_place(rng, side, boxes)
            if place is None:
                continue
            x, y = place
            part = pixels_HW[y : y + side, x : x + side]
            np.maximum(part, ink_SS, out=part)
            boxes.append(_box_of(ink_SS, x, y))
            labels.append(str(digits.labels_N[row]))
        yield Picture(pixels_HW, tuple(boxes), tuple(labels))


def write_pictures(pictures: Sequence[Picture], path: Path) -> None:
    """Writes pictures as Parquet, whole or not at all: ``image``, ``boxes``, ``box_labels``."""
    table = pa.table(
        {
            "image": pa.array([png(one.pixels_HW) for one in pictures], pa.binary()),
            "boxes": pa.array(
                [[list(map(float, box)) for box in one.boxes] for one in pictures],
                pa.list_(pa.list_(pa.float32(), 4)),
            ),
            "box_labels": pa.array([list(one.labels) for one in pictures], pa.list_(pa.string())),
        }
    )
    write_whole(table, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the pictures; returns 0."""
    parser = argparse.ArgumentParser(description="Draws pictures of digits and their boxes.")
    parser.add_argument("--count", type=int, default=COUNT, help="pictures (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=PICTURES, help="Parquet file")
    options = parser.parse_args(arguments)
    pictures = list(draw_pictures(options.count))
    write_pictures(pictures, options.out)
    num_digits = sum(len(one.boxes) for one in pictures)
    print(f"{options.out}: {len(pictures)} pictures with {num_digits} digits")
    return 0


def _resized(picture_SS: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    resized = Image.fromarray(picture_SS).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def _free_place(
    rng: np.random.Generator, side: int, boxes: Sequence[Corners]
) -> tuple[int, int] | None:
    """Returns the corner of a square that touches no box, None where none is soon found."""
    for _ in range(_TRIES):
        x = int(rng.integers(WIDTH_PX - side + 1))
        y = int(rng.integers(HEIGHT_PX - side + 1))
        if all(x >= x1 or x + side <= x0 or y >= y1 or y + side <= y0 for x0, y0, x1, y1 in boxes):
            return x, y
    return None


def _box_of(ink_SS: NDArray[np.uint8], x: int, y: int) -> Corners:
    rows, columns = np.nonzero(ink_SS >= _INK)
    x0, x1 = x + int(columns.min()), x + int(columns.max()) + 1
    y0, y1 = y + int(rows.min()), y + int(rows.max()) + 1
    return x0, y0, x1, y1


if __name__ == "__main__":
    sys.exit(main())
