"""The formats that are decoded: told by their first bytes, each with its decoder and suffixes.

Pillow's own limit on pixels is a module global whose warning cannot be silenced safely while other
threads decode. So the decoder is chosen here by the file's signature and built directly, which
skips that check. This also leaves out formats that start other programs (EPS).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from PIL import ImageFile, features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.QoiImagePlugin import QoiImageFile
from PIL.TgaImagePlugin import TgaImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from depara.errors import ProbeError
from depara.probes.foreign import AVIF, HEIC, Kind, kind_of_bytes
from depara.probes.png import SIGNATURE, without_large_chunks

FIX_DAMAGED = "replace the file or take it out of the source"

Decoder = Callable[[io.BytesIO], ImageFile.ImageFile]


@dataclass(frozen=True)
class ImageFormat:
    """A format that is decoded: its name, suffixes in lower case, first bytes by offset, decoder.

    ``prepare`` makes of the file what the decoder is given.
    """

    name: str
    suffixes: tuple[str, ...]
    signatures: tuple[tuple[int, bytes], ...]
    decoder: Decoder
    prepare: Callable[[bytes], bytes] = bytes


def _heif_decoder(file: io.BytesIO) -> ImageFile.ImageFile:
    from pillow_heif import HeifImageFile

    image: ImageFile.ImageFile = HeifImageFile(file)
    return image


def _avif_decoder(file: io.BytesIO) -> ImageFile.ImageFile:
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile(file)


_AVIF = ImageFormat("AVIF", AVIF.suffixes, (), _avif_decoder)
_HEIC = ImageFormat("HEIC", HEIC.suffixes, (), _heif_decoder)
_TGA = ImageFormat("TGA", (".tga",), (), TgaImageFile)
_JPEG_2000 = (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx")


def _optional_formats() -> dict[Kind, ImageFormat]:
    """Those that need a part of Pillow or a package which is there."""
    found = {}
    if "avif" in features.modules and features.check("avif"):
        found[AVIF] = _AVIF
    if find_spec("pillow_heif") is not None:
        found[HEIC] = _HEIC
    return found


OPTIONAL = _optional_formats()
FORMATS = (
    ImageFormat(
        "JPEG", (".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"), ((0, b"\xff\xd8\xff"),), JpegImageFile
    ),
    ImageFormat(
        "PNG", (".apng", ".png"), ((0, SIGNATURE),), PngImageFile, prepare=without_large_chunks
    ),
    ImageFormat("WebP", (".webp",), ((8, b"WEBP"),), WebPImageFile),
    ImageFormat("GIF", (".gif",), ((0, b"GIF8"),), GifImageFile),
    ImageFormat(
        "TIFF",
        (".tif", ".tiff"),
        tuple((0, start) for start in (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b")),
        TiffImageFile,
    ),
    ImageFormat("BMP", (".bmp", ".dib"), ((0, b"BM"),), BmpImageFile),
    ImageFormat(
        "JPEG 2000",
        _JPEG_2000,
        ((0, b"\x00\x00\x00\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")),
        Jpeg2KImageFile,
    ),
    ImageFormat(
        "PNM",
        (".pbm", ".pgm", ".pnm", ".ppm"),
        tuple((0, b"P%d" % kind) for kind in range(1, 7)),
        PpmImageFile,
    ),
    ImageFormat("QOI", (".qoi",), ((0, b"qoif"),), QoiImageFile),
    _TGA,
    *OPTIONAL.values(),
)
"""All of them, whatever the file's name says: the bytes decide."""

IMAGE_SUFFIXES = tuple(sorted(suffix for form in FORMATS for suffix in form.suffixes))
"""Suffixes, in any case, by which a folder or glob finds images."""

_NAMES = f"{', '.join(form.name for form in FORMATS[:-1])} or {FORMATS[-1].name}"


def format_of(data: bytes) -> ImageFormat:
    """Returns the format of an encoded image.

    Raises:
        ProbeError: none of them; the text says what it is where that is known, and what to do.
    """
    for form in FORMATS:
        if any(data[at : at + len(start)] == start for at, start in form.signatures):
            return form
    kind = kind_of_bytes(data)
    if kind in OPTIONAL:
        return OPTIONAL[kind]
    if kind is not None:
        raise ProbeError(f"is no image that can be read ({kind.name}): {kind.way_out}")
    if _looks_like_tga(data):
        return _TGA
    if not data:
        raise ProbeError(f"is empty (0 bytes), which is no {_NAMES} image: {FIX_DAMAGED}")
    if not data.strip(b"\0"):
        raise ProbeError(
            f"holds {len(data)} bytes that are all zero, as a download or disk that broke off "
            f"leaves them: {FIX_DAMAGED}"
        )
    raise ProbeError(f"starts with {data[:24]!r}, which is no {_NAMES} image: {FIX_DAMAGED}")


def open_image(form: ImageFormat, data: bytes) -> ImageFile.ImageFile:
    """Returns the image of an encoded file, its header read and its pixels not yet.

    Raises:
        Exception: whatever the decoder trips over.
    """
    return form.decoder(io.BytesIO(form.prepare(data)))


def _looks_like_tga(data: bytes) -> bool:
    """TGA has no signature: a header whose fields are all possible, and enough bytes after it."""
    header: Sequence[Any] = data[:18]
    if len(header) < 18 or len(data) < 19:
        return False
    width, height = header[12] + 256 * header[13], header[14] + 256 * header[15]
    return (
        header[1] in (0, 1)
        and header[2] in (1, 2, 3, 9, 10, 11)
        and header[16] in (8, 15, 16, 24, 32)
        and (header[1] == 1) == (header[2] in (1, 9))
        and width > 0
        and height > 0
    )
