"""One attribution over its probe as a small picture: an array, or the bytes of an image file.

Positive attribution is vermillion, negative is blue, the more opaque the larger; the probe lies
below in pale grey. The two hues are Okabe and Ito's (*Color Universal Design*, 2008), which differ
for every kind of colour vision. Legend: ``S`` canvas side, ``M`` map side, ``T`` side shown, px.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from depara.types import Float32, UInt8

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFormat = Literal["png", "jpeg", "webp"]

POSITIVE = (213, 94, 0)
NEGATIVE = (0, 114, 178)
SCALE_QUANTILE = 0.99
"""Full colour is the absolute value that this share of the pixels stays below; the rest is cut."""

_LUMINANCE = (0.299, 0.587, 0.114)
_FADE = 0.45


def overlay(
    canvas_SS3: UInt8, map_MM: NDArray[np.floating], side: int, scale: float | None = None
) -> UInt8:
    """Returns an attribution over its probe, (T, T, 3) uint8.

    Args:
        canvas_SS3: the probe's canvas.
        map_MM: its signed attribution; finite.
        side: T, px.
        scale: absolute value of full colour, linear below, cut above; None is the picture's own
            (`colour_scale`). Give one scale to pictures that are to be compared.
    """
    ground = faded(thumbnail(canvas_SS3, side)).astype(np.float32)
    return _coloured(ground, signed_share(shown_map(map_MM, side), scale))


def map_image(map_MM: NDArray[np.floating], side: int, scale: float | None = None) -> UInt8:
    """Returns an attribution alone, white where it is zero, (T, T, 3) uint8; see `overlay`."""
    return diverging(signed_share(shown_map(map_MM, side), scale))


def diverging(share: NDArray[np.floating]) -> UInt8:
    """Returns the colours of values -1 to 1, with a last axis of 3: blue, white, vermillion."""
    return _coloured(np.full((*share.shape, 3), 255, np.float32), share)


def shown_map(map_MM: NDArray[np.floating], side: int) -> Float32:
    """Returns a map at the side shown, (T, T): means over the pixels that fall together."""
    from PIL import Image

    if map_MM.shape == (side, side):
        return map_MM.astype(np.float32)
    image = Image.fromarray(np.ascontiguousarray(map_MM, dtype=np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float32)


def in_cells(map_MM: NDArray[np.floating], cells: int) -> Float32:
    """Returns a map as sums over at most ``cells`` x ``cells`` cells; its total stays.

    What is signed and changes from pixel to pixel cancels within a cell, and what is left tells
    where a model looks; a map that has no more cells stays as it is.
    """
    side = map_MM.shape[0]
    if side <= cells:
        return map_MM.astype(np.float32)
    return shown_map(map_MM, cells) * np.float32((side / cells) ** 2)


def colour_scale(*maps: NDArray[np.floating]) -> float:
    """Returns one scale of full colour for maps as shown, 0 where all are zero."""
    values = np.concatenate([np.abs(one).ravel() for one in maps])
    scale = float(np.quantile(values, SCALE_QUANTILE))
    return scale or float(values.max())


def signed_share(map_TT: Float32, scale: float | None = None) -> Float32:
    """Returns the map in shares of the scale, cut to -1 and 1; zeros where the scale is zero."""
    scale = colour_scale(map_TT) if scale is None else scale
    if scale <= 0:
        return np.zeros_like(map_TT)
    share: Float32 = np.clip(map_TT / np.float32(scale), -1, 1)
    return share


def thumbnail(canvas_SS3: UInt8, side: int) -> UInt8:
    """Returns a canvas at another side, (T, T, 3): averaged down, or pixel by pixel up."""
    from PIL import Image

    if canvas_SS3.shape[0] == side:
        return canvas_SS3
    way = Image.Resampling.LANCZOS if side < canvas_SS3.shape[0] else Image.Resampling.NEAREST
    return np.asarray(_image(canvas_SS3).resize((side, side), way))


def faded(image_TT3: UInt8) -> UInt8:
    """Returns an image in pale grey, so that colours over it can be read."""
    grey = image_TT3.astype(np.float32) @ np.array(_LUMINANCE, dtype=np.float32)
    pale = np.rint(255 - _FADE * (255 - grey)).astype(np.uint8)
    return np.repeat(pale[..., None], 3, axis=-1)


def encode(image_TT3: UInt8, kind: ImageFormat = "png", quality: int = 80) -> bytes:
    """Returns an image (H, W, 3) uint8 as the bytes of a file, the same bytes for the same pixels.

    Args:
        kind: png is exact; webp is the smallest of photos, 1 to 3 kB at 64 px.
        quality: of jpeg and webp, 1 to 100.
    """
    stream = BytesIO()
    image = _image(image_TT3)
    if kind == "png":
        image.save(stream, kind, optimize=True)
    else:
        image.save(stream, kind, quality=quality, method=6)
    return stream.getvalue()


def _coloured(ground: Float32, share: NDArray[np.floating]) -> UInt8:
    """Returns a ground (..., 3) with colour over it, of shares -1 to 1 of shape (...)."""
    signed = share[..., None]
    ends = np.array([NEGATIVE, POSITIVE], dtype=np.float32)
    colour = np.where(signed > 0, ends[1], ends[0])
    pixels: UInt8 = np.rint(ground * (1 - np.abs(signed)) + colour * np.abs(signed)).astype(
        np.uint8
    )
    return pixels


def _image(pixels: UInt8) -> Image:
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels))
