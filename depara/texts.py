r"""Texts of any origin, made fit for tables, JSON and terminals.

File names need not be UTF-8: Python then stands in a lone surrogate for each odd byte, which no
Parquet file, UTF-8 stream or strict JSON reader takes. Names may also hold line breaks, control
sequences of terminals, and signs that turn the direction of writing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Control signs but tab and line break, line separators, and signs that turn the direction."""
_ESCAPED_BYTES = re.compile(r"(?:\\x[89a-f][0-9a-f])+")


def storable(text: str) -> str:
    r"""Returns the text with each byte that is not UTF-8 as ``\xNN``; most texts as they are.

    A lone surrogate that stands for no byte becomes ``\udNNN``. The outcome is always valid UTF-8.
    """
    return text if text.isascii() else _SURROGATE.sub(_escape, text)


def all_storable(value: Any) -> Any:
    """Returns a value whose texts, in its lists and mappings too, are `storable`."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {name: all_storable(one) for name, one in value.items()}
    return [all_storable(one) for one in value] if isinstance(value, list | tuple) else value


def unescaped(text: str) -> str:
    r"""Returns the file name that `storable` wrote: ``\xNN`` from 80 to ff is that byte again."""

    def decode(match: re.Match[str]) -> str:
        return bytes.fromhex(match[0].replace("\\x", "")).decode("utf-8", "surrogateescape")

    return _ESCAPED_BYTES.sub(decode, text)


def shown(text: str) -> str:
    r"""Returns the text as a terminal or log may show it: `storable`, and control signs escaped.

    Tabs and line breaks stay.
    """
    return _UNSHOWN.sub(_escape, storable(text))


def shown_line(text: str) -> str:
    r"""Returns `shown` on one line: tabs and line breaks are ``\t`` and ``\n``."""
    return shown(text).replace("\t", "\\t").replace("\n", "\\n")


def listed(names: Sequence[str]) -> str:
    """Returns names as a sentence lists them: ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def make_streams_total() -> None:
    """Lets this process print every text: what its streams cannot encode is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def bytes_text(count: float) -> str:
    """Returns a number of bytes in a unit that leaves it below 1000, to three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
