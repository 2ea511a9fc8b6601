"""Boxes of objects as a source has them, and the check that they are boxes of their picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from depara.errors import ProbeError
from depara.probes.columns import label_text
from depara.types import Annotation, Box

_SLACK_PX = 1.0
"""How far a box may reach beyond its picture, as annotations that were rounded do: it is cut."""


def read_annotations(boxes: Any, labels: Any) -> tuple[Annotation, ...] | None:
    """Returns the objects of one row of a table, unchecked; None where the row has no list.

    Args:
        boxes: a list of lists of numbers, or None.
        labels: as many classes. What is missing of either is left to `checked_boxes`.
    """
    if boxes is None and labels is None:
        return None
    pairs: Iterable[tuple[Any, Any]] = zip_longest(boxes or (), labels or ())
    return tuple(Annotation(_numbers(box), label_text(label)) for box, label in pairs)


def checked_boxes(found: Sequence[Annotation], width: int, height: int) -> tuple[Box, ...]:
    """Returns the boxes of a picture, cut at its edges.

    A box may reach beyond the picture by 1 px: annotations are rounded.

    Args:
        found: the objects as the source has them.
        width: of the upright picture, px.
        height: likewise.

    Raises:
        ProbeError: one is no box of this picture; says which one, and what was expected. The
            message does not name the picture.
    """
    return tuple(_checked(number, one, width, height) for number, one in enumerate(found, 1))


def _checked(number: int, found: Annotation, width: int, height: int) -> Box:
    numbers, label = found
    shown = f"box {number} {[float(f'{one:.6g}') for one in numbers]}"
    form = "expected [x0, y0, x1, y1], px of the upright picture"
    if len(numbers) != 4:
        raise ProbeError(f"{shown} has {len(numbers)} numbers, {form}: correct or remove it")
    if not all(map(math.isfinite, numbers)):
        raise ProbeError(f"{shown} is not finite, {form}: correct or remove it")
    x0, y0, x1, y1 = numbers
    if not (x0 < x1 and y0 < y1):
        raise ProbeError(
            f"{shown} is empty or turned round, {form} with x0 < x1 and y0 < y1: correct or remove "
            "it (boxes written [x, y, width, height] must be turned into corners)"
        )
    if x0 < -_SLACK_PX or y0 < -_SLACK_PX or x1 > width + _SLACK_PX or y1 > height + _SLACK_PX:
        raise ProbeError(
            f"{shown} reaches outside of its picture of {width}x{height} px, {form}: correct or "
            "remove it (shares of the side must be multiplied by it; where EXIF turns the picture, "
            "so must the boxes be)"
        )
    if label is None:
        raise ProbeError(f"{shown} has no class: give as many classes as boxes, none of them null")
    box = Box(max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)), label)
    if not (box.x0 < box.x1 and box.y0 < box.y1):
        raise ProbeError(f"{shown} lies beside its picture of {width}x{height} px: remove it")
    return box


def _numbers(box: Any) -> tuple[float, ...]:
    """The numbers of a box; a missing one is NaN, a missing box has none."""
    return tuple(math.nan if one is None else float(one) for one in box or ())
