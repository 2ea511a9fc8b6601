"""The canvas against its definition in float64, EXIF orientations, extreme shapes, identity."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.Image import Transpose

from depara.identity import canvas_id
from depara.probes import decode_canvas
from tests.probes.pictures import encode, picture, slow_canvas

STORED_AS = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""How an upright picture is turned before it is stored with an orientation that turns it back."""


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(4, 90),
    height=st.integers(4, 90),
    side=st.integers(8, 48),
    seed=st.integers(0, 9),
)
def test_canvas_is_its_definition(width: int, height: int, side: int, seed: int) -> None:
    image = picture(width, height, seed)
    canvas, *size = decode_canvas(encode(image, "PNG", compress_level=1), side)
    assert canvas.dtype == np.uint8
    assert size == [width, height]
    # Two passes, each rounded to 8 bits.
    assert np.abs(canvas - slow_canvas(image, side)).max() <= 1.01


def test_an_image_of_the_canvas_size_is_unchanged() -> None:
    image = picture(64, 64)
    np.testing.assert_array_equal(decode_canvas(encode(image), 64)[0], np.asarray(image))


def test_canvas_can_be_written_and_owns_its_memory() -> None:
    canvas, _, _ = decode_canvas(encode(picture(64, 64)), 64)
    assert canvas.flags.writeable
    assert canvas.flags.c_contiguous
    assert canvas.flags.owndata


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = picture(90, 60)
    turn = STORED_AS[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    expected = decode_canvas(encode(upright, kind, **options), 48)
    canvas, width, height = decode_canvas(
        encode(stored, kind, exif=exif(orientation), **options), 48
    )
    assert (width, height) == (90, 60) == expected[1:]
    # The two passes of the resize, each rounded, swap places when the picture lies on its side.
    assert np.abs(canvas.astype(int) - expected[0]).max() <= 1


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_exif_orientation_of_a_reduced_jpeg(orientation: int) -> None:
    upright = picture(1205, 803)
    stored = upright.transpose(STORED_AS[orientation])
    data = encode(stored, "JPEG", quality=98, exif=exif(orientation))
    canvas, width, height = decode_canvas(data, 48)
    assert (width, height) == (1205, 803)
    assert np.abs(canvas - slow_canvas(upright, 48)).max() <= 4


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_unknown_orientations_are_ignored(orientation: int) -> None:
    image = picture(90, 60)
    data = encode(image, "PNG", exif=exif(orientation))
    np.testing.assert_array_equal(decode_canvas(data, 48)[0], decode_canvas(encode(image), 48)[0])


def test_a_reduced_jpeg_has_nearly_the_canvas_of_the_whole() -> None:
    data = encode(picture(1501, 1003), "JPEG", quality=98)
    image = Image.open(io.BytesIO(data))
    assert np.abs(decode_canvas(data, 48)[0] - slow_canvas(image, 48)).max() <= 3


@pytest.mark.parametrize("size", [(60_000, 4), (4, 60_000)])
def test_extreme_shapes_cost_no_more_than_their_square(size: tuple[int, int]) -> None:
    # Resizing first and cutting then would take 3,840,000 x 256 px.
    image = Image.new("RGB", size, (250, 0, 0))
    centre = [length // 2 for length in size]
    image.paste((0, 0, 250), (centre[0] - 4, centre[1] - 4, centre[0] + 4, centre[1] + 4))
    canvas, width, height = decode_canvas(encode(image), 256)
    assert (width, height) == size
    assert (canvas == np.array([0, 0, 250], dtype=np.uint8)).all()


def test_id_depends_on_pixels_and_shape_alone() -> None:
    canvas = np.zeros((8, 8, 3), dtype=np.uint8)
    assert canvas_id(canvas) == canvas_id(np.asfortranarray(canvas))
    assert len(canvas_id(canvas)) == 64
    one = canvas.copy()
    one[7, 7, 2] = 1
    assert canvas_id(one) != canvas_id(canvas)
    assert canvas_id(np.zeros((16, 4, 3), dtype=np.uint8)) != canvas_id(canvas)


def test_id_is_fixed() -> None:
    """A change here orphans every stored probe set and graph: it needs a new schema version."""
    ramp = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    assert canvas_id(ramp) == hashlib.sha256(b"8x8x3:" + bytes(range(192))).hexdigest()
