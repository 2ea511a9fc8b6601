"""Figures as files: the suffix decides the format, and the same figure gives the same bytes.

Needs matplotlib, the extra ``plot``; it is imported when a picture is drawn, not before.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from depara.errors import ConfigError
from depara.locations import is_remote, local_path
from depara.store.storage import Storage
from depara.texts import shown_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
_VECTOR = ("svg", "pdf")
DPI = 160
INK, GREY, PALE = "#1A1A1A", "#666666", "#D9D9D9"
WARNING = "#B34700"

_RC: dict[Any, Any] = {
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold $
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "svg.hashsalt": "depara",
    "image.composite_image": False,
}
_SMALL: dict[str, dict[str, Any]] = {"png": {"pil_kwargs": {"optimize": True}}}
_DATES: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


@contextmanager
def drawing() -> Iterator[None]:
    """Sets the style of all pictures for a while, whatever the user's own matplotlib settings are.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib import style
    except ImportError as error:
        raise ConfigError(
            'drawing needs matplotlib, which is not installed: pip install "depara[plot]"'
        ) from error
    with style.context(["default", _RC]):
        yield


def check_place(place: str) -> str:
    """Returns the format of a picture that is to be written, before anything is drawn.

    Raises:
        ConfigError: the name has no suffix that is known, or is an existing folder.
    """
    name = place.rstrip("/").rpartition("/")[2]
    suffix = name.rpartition(".")[2].lower() if "." in name.strip(".") else ""
    is_folder = place.endswith("/") or (not is_remote(place) and local_path(place).is_dir())
    if is_folder:
        raise ConfigError(
            f"{shown_line(place)} is a folder: give a file name, such as "
            f"{shown_line(place.rstrip('/'))}/picture.png"
        )
    if place.lower().startswith(("http://", "https://")):
        raise ConfigError(
            f"{shown_line(place)} is a web address, where nothing can be written: give a local "
            "path or s3://bucket/picture.png"
        )
    if is_remote(place) and "/" not in place.partition("://")[2]:
        raise ConfigError(
            f"{shown_line(place)} names no file: write it as {place.partition('://')[0]}://"
            "bucket/picture.png"
        )
    if suffix not in FORMATS:
        got = f"got .{shown_line(suffix)}" if suffix else "got none"
        raise ConfigError(
            f"{shown_line(place)}: the suffix says what kind of picture to write, one of "
            f"{', '.join(f'.{one}' for one in FORMATS)}; {got}"
        )
    return suffix


def write_picture(figure: Figure, place: str) -> str:
    """Writes a figure to a local path or a URI such as ``s3://``; returns where.

    A file that is there is replaced; missing folders are made.

    Raises:
        ConfigError: the name has no suffix that is known, or is an existing folder.
        StoreError: the place cannot be written.
    """
    kind = check_place(place)
    folder, _, name = place.rpartition("/")
    storage = Storage(folder or ("/" if place.startswith("/") else "."))
    storage.replace(name, encode_figure(figure, kind))
    return storage.location(name)


def encode_figure(figure: Figure, kind: str) -> bytes:
    """Returns a figure as the bytes of a png, svg or pdf file, without a date."""
    stream = BytesIO()
    for image in (one for axes in figure.axes for one in axes.images):
        image.set_interpolation("none" if kind in _VECTOR else "auto")  # none: pixels as they are
    with drawing(), warnings.catch_warnings():
        # A sign that the font lacks is drawn as a box, which is all that can be done for it.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph", category=UserWarning)
        figure.savefig(
            stream, format=kind, dpi=DPI, metadata=_DATES.get(kind), **_SMALL.get(kind, {})
        )
    return stream.getvalue()


def shortened(text: str, length: int) -> str:
    """Returns a text on one line with its middle left out where it is longer than ``length``."""
    line = shown_line(text)
    if len(line) <= length:
        return line
    tail = (length - 1) // 2
    return f"{line[: length - 1 - tail]}…{line[len(line) - tail :]}"


def signed(value: float, digits: int) -> str:
    """Returns a number with so many decimals and a true minus sign; zero has none."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
