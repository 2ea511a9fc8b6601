"""The digit pictures: parts that never overlap, and probes that are exactly those pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")

from PIL import Image
from sklearn.datasets import load_digits as sklearn_digits

from examples.digits.data import PART_SIZES, load_digits, write_probes


def test_parts_cover_all_digits_once():
    train, held_out = load_digits("train"), load_digits("held_out")
    assert (len(train), len(held_out)) == (1_200, 597) == tuple(PART_SIZES.values())
    rows = np.concatenate([train.rows_N, held_out.rows_N])
    assert np.array_equal(np.sort(rows), np.arange(1_797))


def test_both_parts_hold_every_digit_alike():
    for part in ("train", "held_out"):
        counts = np.bincount(load_digits(part).labels_N, minlength=10)
        assert counts.min() > 0.07 * counts.sum()


def test_pictures_are_the_scans_enlarged():
    digits, scans = load_digits("held_out"), sklearn_digits()
    assert np.array_equal(digits.labels_N, scans.target[digits.rows_N])
    shrunk = digits.pictures_NSS.reshape(-1, 8, 4, 8, 4).mean((2, 4)) / 255
    original = scans.images[digits.rows_N] / 16
    assert np.abs(shrunk - original).mean() < 0.06
    assert np.corrcoef(shrunk.ravel(), original.ravel())[0, 1] > 0.98


def test_probes_are_the_held_out_pictures(tmp_path: Path):
    digits = load_digits("held_out")
    write_probes(digits, tmp_path / "zoo" / "probes.parquet")
    table = pq.read_table(tmp_path / "zoo" / "probes.parquet")
    assert table.column("label").to_pylist() == [str(label) for label in digits.labels_N]
    pictures = [Image.open(io.BytesIO(png)) for png in table.column("image").to_pylist()]
    assert {picture.format for picture in pictures} == {"PNG"}
    assert np.array_equal(np.stack([np.asarray(p) for p in pictures]), digits.pictures_NSS)


def test_probes_are_written_whole_and_alike(tmp_path: Path):
    path = tmp_path / "probes.parquet"
    write_probes(load_digits("held_out"), path)
    first = path.read_bytes()
    write_probes(load_digits("held_out"), path)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]
