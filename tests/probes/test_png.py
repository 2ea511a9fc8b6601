"""Texts and profiles of a PNG cost nothing, whatever their size; its orientation stays."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from depara.probes.image import decode_image
from depara.probes.png import without_large_chunks
from tests.probes.pictures import encode, picture

PICTURE = picture(60, 40)
XMP = '<x:xmpmeta tiff:Orientation="6">{}</x:xmpmeta>'


def with_text(keyword: str, text: str, *, compress: bool, itxt: bool) -> bytes:
    info = PngImagePlugin.PngInfo()
    (info.add_itxt if itxt else info.add_text)(keyword, text, zip=compress)
    return encode(PICTURE, pnginfo=info)


@pytest.mark.parametrize("itxt", [False, True])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("keyword", ["workflow", "XML:com.adobe.xmp", "Raw profile type exif"])
def test_texts_of_any_size_leave_the_pixels(keyword: str, compress: bool, itxt: bool) -> None:
    data = with_text(keyword, "x" * 3_000_000, compress=compress, itxt=itxt)
    decoded = decode_image(data, needed_px=64)
    assert decoded.orientation == 1
    np.testing.assert_array_equal(np.asarray(decoded.rgb), np.asarray(PICTURE))


def test_a_large_profile_and_a_text_named_like_a_setting() -> None:
    for data in (
        encode(PICTURE, icc_profile=b"\0" * 2_000_000),
        with_text("transparency", "soon", compress=False, itxt=False),
    ):
        rgb = decode_image(data, needed_px=64).rgb
        np.testing.assert_array_equal(np.asarray(rgb), np.asarray(PICTURE))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("itxt", [False, True])
@pytest.mark.parametrize("size", [0, 3_000_000])
def test_an_orientation_in_a_text_is_kept(size: int, itxt: bool, compress: bool) -> None:
    text = XMP.format("y" * size)
    data = with_text("XML:com.adobe.xmp", text, compress=compress, itxt=itxt)
    assert decode_image(data, needed_px=64).orientation == 6
    if not size:
        assert Image.open(io.BytesIO(data)).getexif()[274] == 6


def test_an_exif_chunk_stays_and_a_file_without_texts_is_left_alone() -> None:
    exif = Image.Exif()
    exif[274] = 8
    data = encode(PICTURE, exif=exif)
    assert without_large_chunks(data) is data
    assert decode_image(data, needed_px=64).orientation == 8


def test_an_animation_keeps_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 2_000_000, zip=True)
    data = encode(frames[0], save_all=True, append_images=frames[1:], pnginfo=info)
    assert decode_image(data, needed_px=8).rgb.getpixel((8, 8)) == (250, 0, 0)
