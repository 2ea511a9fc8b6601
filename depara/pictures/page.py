"""A figure laid out in inches: lines of text from the top, boxes for axes, notes at the bottom."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from depara.pictures.files import GREY, INK, WARNING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EDGE = 0.3
_LEADING = 1.45
_CHARACTER = 0.56  # mean width of a character, in heights: wider than that of most texts


@dataclass(frozen=True)
class Line:
    """One line of text, as it is printed."""

    text: str
    size: float = 8.5
    colour: str = GREY
    weight: str = "normal"

    @property
    def height(self) -> float:
        """Height with its leading, inches."""
        return self.size * _LEADING / 72


def title_lines(titles: Sequence[str], subtitle: str, width: float) -> list[Line]:
    """Returns the lines at the top of a page of this width, inches: titles, then what is shown."""
    heads = [Line(title, 12.5, INK, "bold") for title in titles]
    return [*heads, *_wrapped(subtitle, Line(""), width)]


def grey_lines(text: str, width: float) -> list[Line]:
    """Returns the lines of an explanation below a picture of this width, inches."""
    return _wrapped(text, Line("", 7.5), width)


def note_lines(notes: Sequence[str], width: float) -> list[Line]:
    """Returns the lines at the bottom of a page of this width, inches: what to beware of."""
    pattern = Line("", 7.5, WARNING)
    return [line for note in notes for line in _wrapped(note, pattern, width)]


def height_of(lines: Sequence[Line]) -> float:
    """Returns the height of lines, inches."""
    return sum(line.height for line in lines)


def characters(width: float, size: float) -> int:
    """Returns how many characters of a size, points, surely fit into a width, inches."""
    return int(width * 72 / (size * _CHARACTER))


class Page:
    """A white page whose places are in inches from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure: Figure = Figure(figsize=(width, height), facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Returns new axes without ticks that fill a box."""
        box = (left / self.width, 1 - (top + height) / self.height)
        size = (width / self.width, height / self.height)
        return self.figure.add_axes((*box, *size), xticks=[], yticks=[])

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """Prints a text at a point; `style` is matplotlib's."""
        self.figure.text(left / self.width, 1 - top / self.height, text, **style)

    def lines(self, left: float, top: float, lines: Sequence[Line]) -> None:
        """Prints lines of text downwards from a point."""
        for line in lines:
            style = {"size": line.size, "color": line.colour, "weight": line.weight}
            self.text(left, top, line.text, va="top", **style)
            top += line.height


def _wrapped(text: str, pattern: Line, width: float) -> list[Line]:
    parts = textwrap.wrap(text, characters(width, pattern.size), break_long_words=True)
    return [Line(part, pattern.size, pattern.colour, pattern.weight) for part in parts]
