"""The pictures of the digit zoo: scikit-learn's 1,797 handwritten digits in two fixed parts.

Shape suffixes: ``N`` pictures, ``S`` side in px.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

Part = Literal["train", "held_out"]

SIDE_PX = 32
"""Side of a picture: the 8x8 scans, enlarged four times."""

PART_SIZES: dict[Part, int] = {"train": 1_200, "held_out": 597}
"""Encoders learn from ``train`` alone; probes and every reported error come from ``held_out``."""

SPLIT_SEED = 20_200
"""Seed of the one permutation that parts the pictures; another seed is another data set."""


@dataclass(frozen=True)
class Digits:
    """Pictures and their digits.

    ``pictures_NSS`` uint8, 0 paper to 255 ink; ``labels_N`` int64, 0 to 9; ``rows_N`` int64, each
    picture's row in scikit-learn's data set.
    """

    pictures_NSS: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    rows_N: NDArray[np.int64]

    def __post_init__(self) -> None:
        assert self.pictures_NSS.dtype == np.uint8
        assert self.pictures_NSS.shape[1:] == (SIDE_PX, SIDE_PX)
        assert self.labels_N.shape == self.rows_N.shape == self.pictures_NSS.shape[:1]

    def __len__(self) -> int:
        return len(self.labels_N)


@cache
def load_digits(part: Part) -> Digits:
    """Returns one part of the data: 1,200 pictures to train on or 597 held out.

    The parts never overlap and depend on nothing but `SPLIT_SEED`: scikit-learn lists the digits
    writer by writer, so the rows are permuted before they are parted.
    """
    from sklearn.datasets import load_digits as load_rows

    rows: Any = load_rows()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(rows.target))
    assert sum(PART_SIZES.values()) == len(order)
    train = PART_SIZES["train"]
    chosen = order[:train] if part == "train" else order[train:]
    return Digits(
        pictures_NSS=np.stack([_enlarge(rows.images[row]) for row in chosen]),
        labels_N=rows.target[chosen].astype(np.int64),
        rows_N=chosen.astype(np.int64),
    )


def draw_digits(digits: Digits, count: int, seed: int) -> Digits:
    """Returns that many of the pictures, drawn without replacement; the same ones for a seed.

    Raises:
        ValueError: there are fewer.
    """
    if not 0 < count <= len(digits):
        raise ValueError(f"{count} digits asked for, there are {len(digits)}")
    chosen = np.random.default_rng(seed).permutation(len(digits))[:count]
    return Digits(digits.pictures_NSS[chosen], digits.labels_N[chosen], digits.rows_N[chosen])


def write_probes(digits: Digits, path: Path) -> None:
    """Writes pictures as a Parquet file of probes: ``image`` (PNG bytes) and ``label`` (text).

    The file appears whole or not at all, and the same pictures give the same bytes.
    """
    table = pa.table(
        {
            "image": pa.array([png(picture) for picture in digits.pictures_NSS], pa.binary()),
            "label": pa.array([str(label) for label in digits.labels_N], pa.string()),
        }
    )
    write_whole(table, path)


def write_whole(table: pa.Table, path: Path) -> None:
    """Writes a table as Parquet, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _enlarge(scan_88: NDArray[np.float64]) -> NDArray[np.uint8]:
    """8x8 values of 0 to 16 as an 8-bit picture; PIL's 8-bit resize is the same on all machines."""
    ink = np.rint(scan_88 * (255 / 16)).astype(np.uint8)
    picture = Image.fromarray(ink).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def png(picture_SS: NDArray[np.uint8]) -> bytes:
    """Returns a picture of one channel as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture_SS).save(buffer, format="PNG")
    return buffer.getvalue()
