"""PNG files without the chunks that say nothing of the pixels, however large those are.

Pillow refuses a whole file for a text or colour profile of more than 1 MB. Generators of images
store their work flow there, and editors their history; the pixels are sound.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
_RAW_EXIF = b"Raw profile type exif"
_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)[1-8]')
_MAX_TEXT_BYTES = 64 * 1024**2
_MAX_EXIF_BYTES = 1000**2


def without_large_chunks(data: bytes) -> bytes:
    """Returns the file without texts and colour profile; an orientation in a text stays."""
    kept: list[bytes | memoryview] = [SIGNATURE]
    is_whole = True
    view = memoryview(data)
    for name, start, stop in _chunks(data):
        if name == b"iCCP":
            is_whole = False
        elif name in _TEXTS:
            is_whole = False
            kept.append(_orientation_chunk(name, data[start + 8 : stop - 4]))
        else:
            kept.append(view[start:stop])
    return data if is_whole else b"".join(kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields the name, start and end of each chunk; the last may end past the end of the file."""
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], place, place + 12 + length
        place += 12 + length


def _orientation_chunk(name: bytes, content: bytes) -> bytes:
    """What a text says of the orientation, as a small chunk; empty when it says nothing."""
    keyword, _, rest = content.partition(b"\0")
    if keyword == _XMP:
        found = _ORIENTATION.search(_text(name, rest, _MAX_TEXT_BYTES))
        return _chunk(b"iTXt", _XMP + b"\0\0\0\0\0" + found[0]) if found else b""
    if keyword == _RAW_EXIF:
        text = _text(name, rest, _MAX_EXIF_BYTES)
        return _chunk(b"tEXt", _RAW_EXIF + b"\0" + text) if len(text) < _MAX_EXIF_BYTES else b""
    return b""


def _text(name: bytes, rest: bytes, max_bytes: int) -> bytes:
    """The text behind a keyword, no more than the first bytes of it; empty when damaged."""
    compressed = name == b"zTXt"
    if name == b"iTXt":
        compressed = rest[:1] == b"\1"
        parts = rest[2:].split(b"\0", 2)
        rest = b"\0" + parts[2] if len(parts) == 3 else b""
    elif not compressed:
        return rest[:max_bytes]
    if not compressed:
        return rest[1 : max_bytes + 1]
    try:
        return zlib.decompressobj().decompress(rest[1:], max_bytes)
    except zlib.error:
        return b""


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum
