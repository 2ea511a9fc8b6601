"""Small smooth pictures and their encodings, and the canvas computed slowly from its definition."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from depara.probes import find_probes
from depara.types import ProbeRef


def list_probes(source: str | Sequence[str], **columns: str) -> list[ProbeRef]:
    """The references of a source."""
    return list(find_probes(source, **columns).refs)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth colour picture, so that no encoder or resize changes it much."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one byte of pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def slow_canvas(image: Image.Image, side: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The canvas of an upright image in float64: triangle filter, short side to S, centre square.

    The filter is as wide as the scale when shrinking and one pixel wide when enlarging.
    """
    pixels_HWC = np.asarray(image.convert("RGB"), dtype=np.float64)
    height, width, _ = pixels_HWC.shape
    short = min(height, width)
    rows = _weights(height, (height - short) / 2, short, side)
    columns = _weights(width, (width - short) / 2, short, side)
    narrowed_HSC = np.einsum("sw,hwc->hsc", columns, pixels_HWC, optimize=True)
    return np.einsum("sh,htc->stc", rows, narrowed_HSC, optimize=True)


def _weights(
    length: int, start: float, extent: float, side: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    scale = extent / side
    centres = start + (np.arange(side) + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, None])
    weights = np.maximum(0.0, 1 - distances / max(scale, 1.0))
    return weights / weights.sum(axis=1, keepdims=True)
