"""Attributions over their probes: known colours at known pixels, and what an image file holds."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from depara.pictures.overlay import (
    NEGATIVE,
    POSITIVE,
    colour_scale,
    diverging,
    encode,
    faded,
    map_image,
    overlay,
    shown_map,
    thumbnail,
)

WHITE = np.full((4, 4, 3), 255, dtype=np.uint8)


def one_of_each() -> np.ndarray:
    values = np.zeros((4, 4), dtype=np.float32)
    values[0, 0], values[1, 2], values[3, 3] = 2.0, -2.0, 1.0
    return values


def test_a_known_map_has_known_colours_at_known_pixels() -> None:
    picture = overlay(WHITE, one_of_each(), 4, scale=2.0)
    assert picture.dtype == np.uint8
    assert tuple(picture[0, 0]) == POSITIVE
    assert tuple(picture[1, 2]) == NEGATIVE
    halfway = [round((255 + end) / 2) for end in POSITIVE]
    np.testing.assert_allclose(picture[3, 3], halfway, atol=1)
    assert (picture[2] == 255).all()
    np.testing.assert_array_equal(map_image(one_of_each(), 4, 2.0), picture)


def test_the_probe_shows_in_pale_grey_where_the_map_is_zero() -> None:
    canvas = np.zeros((4, 4, 3), dtype=np.uint8)
    canvas[:, 2:] = (255, 0, 0)
    picture = overlay(canvas, np.zeros((4, 4)), 4)
    np.testing.assert_array_equal(picture, faded(canvas))
    assert (picture.max(axis=-1) == picture.min(axis=-1)).all()
    assert picture[0, 0, 0] < picture[0, 3, 0] < 255


def test_signs_are_treated_alike() -> None:
    values = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    ahead, behind = (1 - np.abs(diverging(sign * values / 5) / 255.0) for sign in (1, -1))
    ends = 1 - np.array([POSITIVE, NEGATIVE]) / 255
    share = np.abs(values / 5)[..., None]
    np.testing.assert_allclose(ahead, share * ends[(values < 0).astype(int)], atol=2e-3)
    np.testing.assert_allclose(behind, share * ends[(values > 0).astype(int)], atol=2e-3)
    assert colour_scale(values) == colour_scale(-values)


def test_values_beyond_the_scale_are_cut_and_a_zero_map_has_no_colour() -> None:
    values = one_of_each()
    assert tuple(map_image(values, 4, 0.5)[3, 3]) == POSITIVE
    assert colour_scale(np.zeros((4, 4))) == 0
    assert (map_image(np.zeros((4, 4)), 4) == 255).all()
    lonely = np.zeros((100, 100))
    lonely[0, 0] = 3  # the 99 % quantile is zero, yet the map is not
    assert colour_scale(lonely) == 3


def test_maps_are_averaged_down_and_shown_pixel_by_pixel_up() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(shown_map(values, 2), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(shown_map(values, 8), np.kron(values, np.ones((2, 2))))
    canvas = np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(thumbnail(canvas, 8), canvas.repeat(2, 0).repeat(2, 1))
    assert thumbnail(canvas, 3).shape == (3, 3, 3)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_an_image_file_holds_the_picture(kind: Literal["png", "jpeg", "webp"]) -> None:
    picture = overlay(WHITE, one_of_each(), 64, scale=2.0)
    data = encode(picture, kind, quality=90)
    assert data == encode(picture.copy(), kind, quality=90)
    with Image.open(BytesIO(data)) as image:
        assert image.format == kind.upper()
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    assert pixels.shape == picture.shape
    assert np.abs(pixels - picture).mean() < (0.1 if kind == "png" else 8)
