"""Formats, modes and limits: everything becomes 8-bit RGB or one clear ProbeError."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from depara.errors import ProbeError
from depara.probes import image as image_module
from depara.probes.image import DecodedImage, decode_image
from tests.probes.pictures import encode, picture, png_header

PICTURE = picture(60, 40)
GRAY = np.asarray(PICTURE.convert("L"))


def rgb_of(data: bytes) -> np.ndarray:
    decoded = decode_image(data, needed_px=64)
    assert decoded.rgb.mode == "RGB"
    return np.asarray(decoded.rgb)


def assert_close(actual: np.ndarray, expected: np.ndarray, at_most: int) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual.astype(int) - expected.astype(int)).max() <= at_most


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "GIF", "WEBP", "JPEG2000"])
def test_lossless_formats_keep_every_gray_value(kind: str) -> None:
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    gray = PICTURE.convert("L")
    assert_close(rgb_of(encode(gray, kind, **options)), np.stack([GRAY] * 3, -1), at_most=0)


def test_the_bytes_decide_the_format_and_jpeg_stays_near() -> None:
    assert_close(rgb_of(encode(PICTURE, "JPEG", quality=95)), np.asarray(PICTURE), at_most=16)


def test_palette_and_its_transparent_entry() -> None:
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([200, 10, 20, 0, 0, 250])
    palette.paste(1, (4, 0, 8, 8))
    opaque = rgb_of(encode(palette))
    assert opaque[0, 0].tolist() == [200, 10, 20]
    assert opaque[0, 7].tolist() == [0, 0, 250]
    assert rgb_of(encode(palette, transparency=1))[0, 7].tolist() == [255, 255, 255]
    half = rgb_of(encode(palette, transparency=bytes([255, 128])))
    assert_close(half[0, 7], np.array([127, 127, 252]), at_most=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_laid_over_white(kind: str) -> None:
    options = {"WEBP": {"lossless": True, "exact": True}}.get(kind, {})
    alpha = np.repeat(np.linspace(0, 255, 60, dtype=np.uint8)[None], 40, axis=0)
    image = PICTURE.copy()
    image.putalpha(Image.fromarray(alpha))
    share = alpha[..., None] / 255
    expected = np.rint(np.asarray(PICTURE) * share + 255 * (1 - share))
    assert_close(rgb_of(encode(image, kind, **options)), expected, at_most=1)


def test_gray_with_alpha_and_transparent_colours() -> None:
    gray = Image.new("LA", (8, 8), (100, 0))
    gray.paste((100, 255), (0, 0, 4, 8))
    levels = rgb_of(encode(gray))[0, [0, 7], 0]
    assert levels.tolist() == [100, 255]
    two = Image.new("RGB", (8, 8), (1, 2, 3))
    two.paste((9, 9, 9), (4, 0, 8, 8))
    keyed = rgb_of(encode(two, transparency=(9, 9, 9)))
    assert keyed[0, [0, 7]].tolist() == [[1, 2, 3], [255, 255, 255]]


def test_cmyk_equals_rgb() -> None:
    assert_close(rgb_of(encode(PICTURE.convert("CMYK"), "TIFF")), np.asarray(PICTURE), at_most=1)
    near = rgb_of(encode(PICTURE.convert("CMYK"), "JPEG", quality=95))
    assert_close(near, np.asarray(PICTURE), at_most=16)


def test_bilevel_is_black_and_white() -> None:
    assert set(np.unique(rgb_of(encode(PICTURE.convert("1"))))) == {0, 255}


@pytest.mark.parametrize(
    ("kind", "order"),
    [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2"), ("JPEG2000", "<u2")],
)
def test_16_bit_is_divided_by_257(kind: str, order: str) -> None:
    image = Image.fromarray((GRAY.astype(np.uint16) * 257).astype(order))
    assert_close(rgb_of(encode(image, kind)), np.stack([GRAY] * 3, -1), at_most=0)


def test_16_bit_rounds_to_the_nearest_level() -> None:
    values = np.array([[0, 128, 129, 257, 385, 386, 65406, 65535]] * 4, dtype=np.uint16)
    levels = rgb_of(encode(Image.fromarray(values)))[0, :, 0]
    assert levels.tolist() == [0, 0, 1, 1, 1, 2, 254, 255]


def test_16_bit_transparent_level_is_white() -> None:
    values = np.full((8, 8), 700, dtype=np.uint16)
    values[:, 4:] = 40_000
    levels = rgb_of(encode(Image.fromarray(values), transparency=700))[0, [0, 7], 0]
    assert levels.tolist() == [255, 156]


@pytest.mark.parametrize(
    "values",
    [
        GRAY.astype(np.float32) / 255,
        GRAY.astype(np.float32),
        GRAY.astype(np.int32) * 257,
        GRAY.astype(np.int32),
    ],
    ids=["float 0-1", "float 0-255", "int 0-65535", "int 0-255"],
)
def test_32_bit_values_are_scaled_by_their_range(values: np.ndarray) -> None:
    decoded = rgb_of(encode(Image.fromarray(values), "TIFF"))
    assert_close(decoded, np.stack([GRAY] * 3, -1), at_most=0)


@pytest.mark.parametrize("bad", [-1.0, 256.0, np.inf, np.nan])
def test_32_bit_values_out_of_range_are_refused(bad: float) -> None:
    values = GRAY.astype(np.float32)
    values[3, 5] = bad
    with pytest.raises(ProbeError, match="save it with 8 bits"):
        decode_image(encode(Image.fromarray(values), "TIFF"), needed_px=64)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(PICTURE.convert("RGBA"))
    whole = rgb_of(data)
    monkeypatch.setattr(image_module, "_STRIP_PIXELS", 7 * 60)
    np.testing.assert_array_equal(rgb_of(data), whole)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_first_frame_of_several(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert rgb_of(data)[8, 8].tolist() == [250, 0, 0]


@pytest.mark.parametrize(
    ("size", "needed_px", "reduced"),
    [
        ((400, 240), 64, (400, 240)),
        ((400, 256), 64, (200, 128)),
        ((3000, 1000), 64, (750, 250)),
        ((1030, 1025), 64, (129, 129)),
        ((3000, 10), 64, (3000, 10)),
    ],
)
def test_jpeg_is_reduced_to_no_less_than_twice_the_need(
    size: tuple[int, int], needed_px: int, reduced: tuple[int, int]
) -> None:
    decoded = decode_image(encode(picture(*size), "JPEG"), needed_px)
    assert decoded.full_size == size
    assert decoded.rgb.size == reduced
    assert min(decoded.extent_px) >= min(*size, 2 * needed_px)
    scale = round(size[0] / reduced[0])
    assert decoded.extent_px == (size[0] / scale, size[1] / scale)


def test_pillows_own_limit_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "PPM", "JPEG2000"):
        assert rgb_of(encode(PICTURE, kind)).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["TIFF", "GIF"])
def test_decoders_that_apply_pillows_own_limit_never_reach_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(PICTURE, kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2399)
    with pytest.raises(ProbeError, match=r"is 60 x 40 px, .* megapixels, above the limit"):
        decode_image(data, needed_px=64)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2400)
    assert rgb_of(data).shape == (40, 60, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 3), (500, 3)])
def test_tiny_images_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ProbeError, match=rf"is {size[0]} x {size[1]} px, .*at least 4 px"):
        decode_image(encode(Image.new("RGB", size)), needed_px=64)


def test_smallest_image_is_taken() -> None:
    assert decode_image(encode(Image.new("RGB", (4, 4))), needed_px=64).full_size == (4, 4)


def test_200_megapixels_are_refused_from_the_header() -> None:
    with pytest.raises(ProbeError, match=r"is 20000 x 10000 px, 200 megapixels, .* 128"):
        decode_image(png_header(20_000, 10_000), needed_px=224)


def test_200_megapixel_jpeg_is_decoded_at_reduced_scale() -> None:
    data = encode(Image.new("L", (20_000, 10_000), 77), "JPEG")
    decoded = decode_image(data, needed_px=224)
    assert decoded.full_size == (20_000, 10_000)
    assert decoded.rgb.size == (2500, 1250)
    assert decoded.rgb.getpixel((2000, 1000)) == (77, 77, 77)


def decode_under_limits(
    data: bytes, monkeypatch: pytest.MonkeyPatch, decoded: int, jpeg: int
) -> DecodedImage:
    monkeypatch.setattr(image_module, "MAX_PIXELS", decoded)
    monkeypatch.setattr(image_module, "MAX_JPEG_PIXELS", jpeg)
    return decode_image(data, needed_px=20)


def test_limits_of_a_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    large = picture(400, 400)
    plain = encode(large, "JPEG")
    assert decode_under_limits(plain, monkeypatch, 10_000, 200_000).rgb.size == (50, 50)
    with pytest.raises(ProbeError, match="megapixels"):
        decode_under_limits(plain, monkeypatch, 10_000, 100_000)
    with pytest.raises(ProbeError, match="megapixels"):
        decode_under_limits(plain, monkeypatch, 2000, 200_000)
    with pytest.raises(ProbeError, match="megapixels"):
        decode_under_limits(encode(large, "JPEG", progressive=True), monkeypatch, 10_000, 200_000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
def test_truncated_images_are_refused(kind: str) -> None:
    data = encode(picture(300, 200), kind)
    with pytest.raises(ProbeError, match=r"damaged or truncated .*replace the file"):
        decode_image(data[: len(data) * 2 // 3], needed_px=64)


def test_truncated_jpeg_is_refused_at_reduced_scale() -> None:
    data = encode(picture(1600, 1200), "JPEG")
    with pytest.raises(ProbeError, match="truncated"):
        decode_image(data[: len(data) * 9 // 10], needed_px=64)


@pytest.mark.parametrize("data", [b"", b"hello"])
def test_other_bytes_are_refused_and_shown(data: bytes) -> None:
    with pytest.raises(ProbeError, match=r"is empty|starts with b'hello") as caught:
        decode_image(data, needed_px=64)
    assert "JPEG, PNG" in str(caught.value)


def test_an_eps_file_never_reaches_its_interpreter() -> None:
    with pytest.raises(ProbeError, match="PostScript"):
        decode_image(encode(PICTURE, "EPS"), needed_px=64)


def test_a_damaged_exif_block_does_not_cost_the_image() -> None:
    data = encode(PICTURE, "JPEG", exif=b"Exif\0\0nothing of the kind")
    assert decode_image(data, needed_px=64).orientation == 1


WHOLE = {kind: encode(picture(48, 32), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP")}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    keep=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
)
def test_damaged_bytes_give_an_image_or_a_probe_error(
    kind: str, keep: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(WHOLE[kind])
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        decoded = decode_image(bytes(data[: int(keep * len(data))]), needed_px=8)
    except ProbeError:
        return
    assert decoded.rgb.mode == "RGB"
