"""Encoded bytes of any supported format and mode to an 8-bit RGB image, within bounded memory.

Sizes are checked from the header before any pixel is decoded, see `depara.probes.formats`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import PIL
from PIL import Image
from PIL.ExifTags import Base as ExifTag
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from depara.errors import ProbeError
from depara.probes.foreign import RAW
from depara.probes.formats import FIX_DAMAGED, format_of, open_image

MIN_SIDE_PX = 4
"""An image whose short side is below this says nothing: it would be stretched into flat bands."""
MAX_PIXELS = 128_000_000
"""Most pixels held decoded: 512 MB in Pillow, and at most twice that while a mode is converted."""
MAX_JPEG_PIXELS = 256_000_000
"""Most pixels of a JPEG before it is decoded at reduced scale: libjpeg keeps the coefficients of a
JPEG in several scans whole, 6 bytes a pixel, whatever the scale."""

_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "P", "PA")
_STRIP_PIXELS = 4_000_000
_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_UNREAD_FORM = re.compile(
    r"(?i)unsupported|not supported|unknown (pixel|raw|data|tile|BMP)|cannot handle|can't handle"
    r"|unrecognized|unable to determine J2K|not implemented|not installed|unknown compression"
)
"""In an error of a decoder: the bytes are no damage, but of a form that it was not made for."""
_FIX_FORM = "save it as PNG or JPEG of 8 bits a channel, or take it out of the source"
_FIX_LARGE = "save it smaller or take it out of the source"


@dataclass(frozen=True)
class DecodedImage:
    """An image as stored, in 8-bit RGB, perhaps at reduced scale.

    ``extent_px`` is the width and height, fractional after a reduction, of the original within
    ``rgb``, from its top left corner; ``full_size`` the stored width and height before any
    reduction; ``orientation`` the EXIF orientation (1-8) still to be applied.
    """

    rgb: Image.Image
    extent_px: tuple[float, float]
    full_size: tuple[int, int]
    orientation: int


def decode_image(data: bytes, needed_px: int) -> DecodedImage:
    """Returns the first frame of an encoded image in 8-bit RGB.

    Transparency is laid over white, 16-bit values are divided by 257, floats are taken to be of 0-1
    or 0-255 and 32-bit integers of 0-255 or 0-65535, whichever holds their largest value, CMYK and
    palettes are converted. ICC profiles are ignored, as in the pipelines that vision models are
    trained with.

    Args:
        data: the encoded file.
        needed_px: short side that will be needed, px. A JPEG is decoded at the smallest of the
            scales 1, 1/2, 1/4 and 1/8 that leaves at least twice that.

    Raises:
        ProbeError: an unknown format, damaged, truncated, too small or too large; the text starts
            with a verb, for the caller to put the name before it.
    """
    form = format_of(data)
    try:
        image = open_image(form, data)
        _require_no_raw(image, data)
        stored_size = image.size
        _require_some_pixels(stored_size)
        draft = None
        if isinstance(image, JpegImageFile):
            _require_pixels_below(stored_size, MAX_JPEG_PIXELS)
            draft = image.draft(None, (2 * needed_px, 2 * needed_px))
        held_whole = "progressive" in image.info
        _require_pixels_below(stored_size if held_whole else image.size, _limit_px(image))
        image.load()
        orientation = _orientation(image)
        # A TIFF turns itself upright while loading, so its size is known only now.
        extent_px, full_size = (draft[1][2:], stored_size) if draft else (image.size, image.size)
        return DecodedImage(_in_rgb(image), extent_px, full_size, orientation)
    except (ProbeError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ProbeError(f"is too large ({error}): {_FIX_LARGE}") from error
    # On damaged bytes the decoders raise whatever they trip over, from SyntaxError to struct.error.
    except Exception as error:
        trouble = f"({type(error).__name__}: {error})"
        if _UNREAD_FORM.search(str(error)):
            raise ProbeError(
                f"is a {form.name} image of a form that Pillow {PIL.__version__} does not read "
                f"{trouble}: {_FIX_FORM}"
            ) from error
        raise ProbeError(f"is damaged or truncated {trouble}: {FIX_DAMAGED}") from error


def _require_no_raw(image: Image.Image, data: bytes) -> None:
    """Refuses camera files: what a TIFF decoder finds in one is the small preview."""
    if not isinstance(image, TiffImageFile):
        return
    tags = image.tag_v2
    subfile = tags.get(_SUBFILE_TYPE)
    is_preview = isinstance(subfile, int) and subfile & 1 and _SUB_IFDS in tags
    if _DNG_VERSION in tags or data[8:10] == b"CR" or is_preview:
        raise ProbeError(f"is no image that can be read ({RAW.name}): {RAW.way_out}")


def _require_some_pixels(size: tuple[int, int]) -> None:
    if min(size) < MIN_SIDE_PX:
        raise ProbeError(
            f"is {size[0]} x {size[1]} px, but a probe needs at least {MIN_SIDE_PX} px on its "
            "short side: take it out of the source"
        )


def _require_pixels_below(size: tuple[int, int], limit: int) -> None:
    if size[0] * size[1] > limit:
        raise ProbeError(
            f"is {size[0]} x {size[1]} px, {size[0] * size[1] / 1e6:.0f} megapixels, above the "
            f"limit of {limit / 1e6:.0f}: {_FIX_LARGE}"
        )


def _limit_px(image: Image.Image) -> int:
    """The limit on decoded pixels, below Pillow's own where a decoder checks that while loading."""
    if isinstance(image, (GifImageFile, TiffImageFile)) and Image.MAX_IMAGE_PIXELS is not None:
        return min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS)
    return MAX_PIXELS


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 when there is none, or an EXIF block that cannot be read."""
    try:
        value = image.getexif().get(ExifTag.Orientation, 1)
    except (
        *(SyntaxError, ValueError, TypeError, LookupError, OSError, ArithmeticError),
        *(EOFError, struct.error, Warning),
    ):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _in_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB, converted strip by strip so that only two images are ever held."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    convert = _conversion(image)
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        rgb.paste(convert(strip), (0, top))
    return rgb


def _conversion(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode.startswith("I;16"):
        transparent = image.info.get("transparency")
        # Pillow honours that zero is white in a TIFF of 8 bits, and not in one of 16.
        darkest = 65535 if isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0 else 0
        return partial(_gray_to_rgb, scale=1 / 257, transparent=transparent, darkest=darkest)
    if image.mode in ("I", "F"):
        return partial(_gray_to_rgb, scale=_scale_of_numbers(image), transparent=None)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _over_white
    return lambda strip: strip.convert("RGB")


def _scale_of_numbers(image: Image.Image) -> float:
    """What takes 32-bit integers of 0-255 or 0-65535, or floats of 0-1 or 0-255, to 0-255."""
    extrema: tuple[float, float] = image.getextrema()  # type: ignore[assignment]
    low, high = extrema
    if low >= 0 and image.mode == "I" and high <= 65535:
        return 1 / 257 if high > 255 else 1.0
    if low >= 0 and image.mode == "F" and high <= 255:
        return 255.0 if high <= 1 else 1.0
    expected = "0 to 255 or 0 to 65535" if image.mode == "I" else "0 to 1 or 0 to 255"
    raise ProbeError(
        f"has pixel values from {low:g} to {high:g}, expected {expected}: save it with 8 bits"
    )


def _gray_to_rgb(
    strip: Image.Image, scale: float, transparent: object, darkest: int = 0
) -> Image.Image:
    """Grey values as RGB; where `darkest` is given it is black, and 0 is white."""
    values_HW = np.asarray(strip, dtype=np.float32)
    if not np.isfinite(values_HW).all():
        raise ProbeError("has pixels that are NaN or infinite: save it with 8 bits")
    levels_HW = np.float32(darkest) - values_HW if darkest else values_HW
    gray_HW = np.rint(levels_HW * np.float32(scale)).astype(np.uint8)
    if isinstance(transparent, int):
        gray_HW[values_HW == transparent] = 255
    return Image.fromarray(gray_HW).convert("RGB")


def _over_white(strip: Image.Image) -> Image.Image:
    rgba = strip.convert("RGBA")
    white = Image.new("RGB", strip.size, (255, 255, 255))
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white
