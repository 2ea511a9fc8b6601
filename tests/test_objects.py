"""Objects on the canvas: where a box of the picture comes to lie there, and which are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from depara.objects import ProbeObjects
from depara.probes.canvas import decode_canvas
from depara.types import Box, Probe
from tests.probes.pictures import encode

SIDE = 96


def probe(index: int, width: int, height: int, *boxes: Box) -> Probe:
    return Probe(f"{index:064x}", index, "x.png", width, height, None, boxes)


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [(192, 96, (60, 20, 100, 50)), (96, 240, (10, 80, 50, 150)), (300, 200, (60, 30, 140, 190))],
)
def test_a_box_lies_on_the_canvas_where_its_pixels_do(
    width: int, height: int, box: tuple[int, int, int, int]
) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 255
    canvas, *size = decode_canvas(encode(Image.fromarray(pixels)), SIDE)
    objects = ProbeObjects.of([probe(0, *size, Box(*box, "cat"))])
    assert objects is not None
    # Antialiasing spreads an edge: half of full is where it lies.
    rows, columns = np.nonzero(canvas[:, :, 0] >= 128)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(objects.boxes_O4[0] * SIDE, seen, atol=0.6)


def test_what_lies_outside_by_more_than_half_is_dropped_and_counted() -> None:
    # The canvas of a picture of 200x100 is its columns 50 to 150.
    boxes = [
        Box(0, 0, 40, 40, "outside"),
        Box(30, 0, 69, 40, "mostly outside"),
        Box(30, 0, 70, 40, "half"),
        Box(60, 10, 80, 30, "inside"),
    ]
    objects = ProbeObjects.of([probe(0, 200, 100), probe(1, 200, 100, *boxes)])
    assert objects is not None
    assert objects.labels == ("half", "inside")
    assert objects.num_dropped == 2
    assert objects.probe_O.tolist() == [1, 1]
    np.testing.assert_allclose(objects.boxes_O4, [[0, 0, 0.2, 0.4], [0.1, 0.1, 0.3, 0.3]])
    assert objects.places({0}).tolist() == []
    assert objects.places({1}).tolist() == [0, 1]


def test_the_key_is_of_the_boxes_and_not_of_their_classes() -> None:
    one = probe(0, 100, 100, Box(0, 0, 50, 50, "cat"))
    keys = [
        ProbeObjects.of(probes).key  # type: ignore[union-attr]
        for probes in (
            [one],
            [replace(one, boxes=(Box(0, 0, 50, 50, "dog"),))],
            [replace(one, boxes=(Box(0, 0, 50, 51, "cat"),))],
            [replace(one, index=1)],
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_probes_of_which_no_boxes_are_known_have_no_objects() -> None:
    unknown = replace(probe(0, 10, 10), boxes=None)
    assert ProbeObjects.of([unknown]) is None
    none = ProbeObjects.of([unknown, probe(1, 10, 10)])
    assert none is not None
    assert len(none) == 0
