"""The canvas: the one square image of a probe that every model of a scan sees.

Shape suffix: ``S`` canvas side, px.
"""

from __future__ import annotations

import numpy as np
from PIL.Image import Resampling, Transpose

from depara.probes.image import DecodedImage, decode_image
from depara.types import UInt8

_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What takes an image as stored to upright, by EXIF orientation."""


def decode_canvas(data: bytes, side: int) -> tuple[UInt8, int, int]:
    """Returns an image's canvas (uint8, ``S S 3``, RGB) and its own upright width and height, px.

    The short side is resized to ``side`` (bilinear with antialiasing, either way) and the centre
    square is cut. Both happen in one step that computes the pixels of the square alone, so a
    panorama costs no more than a square image.

    Args:
        data: the encoded file.
        side: canvas side S, px.

    Raises:
        ProbeError: see `depara.probes.image.decode_image`.
    """
    image = decode_image(data, needed_px=side)
    square = image.rgb.resize((side, side), Resampling.BILINEAR, box=_centre_square(image))
    if image.orientation in _TURNS:
        # A centre square and its resize commute with all eight orientations.
        square = square.transpose(_TURNS[image.orientation])
    width, height = image.full_size
    if image.orientation >= 5:
        width, height = height, width
    return np.array(square, dtype=np.uint8), width, height


def _centre_square(image: DecodedImage) -> tuple[float, float, float, float]:
    width, height = image.extent_px
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    return left, top, left + short, top + short
