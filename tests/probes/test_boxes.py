"""Boxes of objects: read from Parquet and COCO, refused with the picture and a way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.errors import ProbeError
from depara.probes import BoxColumns, decode_probe, decode_probes, find_probes
from depara.types import Box, ProbeRef
from tests.probes.pictures import encode, picture

WIDTH, HEIGHT = 40, 30
BOXES = [[[1.0, 2.0, 11.0, 12.0], [20.0, 5.0, 40.0, 30.0]], [], None]
LABELS = [["cat", "dog"], [], None]


def write(path: Path, boxes: Any, labels: Any, **options: Any) -> str:
    images = [encode(picture(WIDTH, HEIGHT, seed)) for seed in range(len(boxes))]
    pq.write_table(pa.table({"image": images, "boxes": boxes, "box_labels": labels}), path)
    return str(path)


def found(uri: str, labels: str = "box_labels") -> list[ProbeRef]:
    return list(find_probes(uri, boxes=BoxColumns("boxes", labels)).refs)


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.list_(pa.float64())), pa.large_list(pa.list_(pa.int32(), 4))],
    ids=["lists", "fixed"],
)
def test_a_table_gives_each_picture_its_boxes(tmp_path: Path, kind: pa.DataType) -> None:
    uri = write(tmp_path / "p.parquet", pa.array(BOXES, kind), LABELS)
    first, empty, unknown = (decode_probe(ref, 16) for ref in found(uri))
    assert first.boxes == (Box(1, 2, 11, 12, "cat"), Box(20, 5, 40, 30, "dog"))
    assert empty.boxes == ()
    assert unknown.boxes is None
    assert all(ref.objects is None for ref in find_probes(uri).refs)


def test_classes_may_be_numbers(tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", [[[0, 0, 3, 3]]], [[7]])
    assert decode_probe(found(uri)[0], 16).boxes == (Box(0, 0, 3, 3, "7"),)


def test_boxes_reach_over_the_edge_by_what_is_rounded_and_are_cut(tmp_path: Path) -> None:
    uri = write(tmp_path / "p.parquet", [[[-0.5, 0, 40.9, 30.5]]], [["cat"]])
    assert decode_probe(found(uri)[0], 16).boxes == (Box(0, 0, 40, 30, "cat"),)


@pytest.mark.parametrize(
    ("box", "labels", "message"),
    [
        ([5, 5, 5, 9], ["cat"], r"box 1 \[5.0, 5.0, 5.0, 9.0\] is empty or turned round"),
        ([5, 9, 8, 7], ["cat"], r"x0 < x1 and y0 < y1: .*\[x, y, width, height\]"),
        ([5, 5, 60, 9], ["cat"], "reaches outside of its picture of 40x30 px"),
        ([5, -7, 8, 9], ["cat"], "reaches outside of its picture"),
        ([-0.9, 1, -0.1, 9], ["cat"], "lies beside its picture"),
        ([5, 5, float("nan"), 9], ["cat"], "is not finite"),
        ([5, 5, None, 9], ["cat"], "is not finite"),
        ([5, 5, 9], ["cat"], "has 3 numbers, expected .x0, y0, x1, y1."),
        ([5, 5, 9, 9], [None], "has no class: give as many classes as boxes"),
        ([5, 5, 9, 9], [], "has no class"),
        ([5, 5, 9, 9], ["cat", "dog"], r"box 2 \[\] has 0 numbers"),
    ],
)
def test_a_bad_box_costs_its_picture_and_says_why(
    tmp_path: Path, box: list[Any], labels: list[Any], message: str
) -> None:
    boxes = pa.array([[box], [[1, 1, 9, 9]]], pa.list_(pa.list_(pa.float64())))
    uri = write(tmp_path / "p.parquet", boxes, pa.array([labels, ["cat"]], pa.list_(pa.string())))
    decoded, failures = decode_probes(found(uri), 16)
    assert [probe.uri for probe in decoded] == [f"{uri}#1"]
    (failure,) = failures
    assert failure.message.startswith(f"{uri}#0: ")
    with pytest.raises(ProbeError, match=message):
        raise ProbeError(failure.message)


@pytest.mark.parametrize(
    ("boxes", "labels", "name", "message"),
    [
        ([[1.0, 2.0, 3.0, 4.0]], [["cat"]], "box_labels", r"boxes_column: column 'boxes' holds"),
        ([[["a"] * 4]], [["cat"]], "box_labels", "expected a list of .x0, y0, x1, y1. in px"),
        ([[[1.0] * 4]], ["cat"], "box_labels", "box_labels_column: column 'box_labels' holds"),
        ([[[1.0] * 4]], [["cat"]], "box_label", "has no column 'box_label'; did you mean 'box_la"),
    ],
)
def test_columns_of_another_kind_are_refused(
    tmp_path: Path, boxes: Any, labels: Any, name: str, message: str
) -> None:
    uri = write(tmp_path / "p.parquet", boxes, labels)
    with pytest.raises(ProbeError, match=message):
        found(uri, name)


def test_a_source_without_any_list_of_boxes_is_refused(tmp_path: Path) -> None:
    picture(WIDTH, HEIGHT).save(tmp_path / "a.png")
    with pytest.raises(ProbeError, match=r"no picture of .* has a list of boxes"):
        found(str(tmp_path))


def coco(folder: Path) -> dict[str, Any]:
    """A folder of three pictures, two of them annotated; returns the annotations."""
    for number in range(3):
        target = folder / "pictures" / "train" / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        picture(WIDTH, HEIGHT, number).save(target)
    return {
        "images": [
            {"id": 10, "file_name": "0.png", "width": WIDTH},
            {"id": 11, "file_name": "train/1.png"},
            {"id": 12, "file_name": "elsewhere.png"},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 3, "bbox": [1, 2, 10, 10], "iscrowd": 0},
            {"id": 2, "image_id": 10, "category_id": 5, "bbox": [20.0, 5.0, 20.0, 25.0]},
            {"id": 3, "image_id": 10, "category_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
    }


def annotated(folder: Path, tree: dict[str, Any] | str) -> list[ProbeRef]:
    path = folder / "annotations.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    source = find_probes(str(folder / "pictures"), annotations=str(path))
    return list(source.refs)


def test_coco_gives_pictures_their_objects_as_corners(tmp_path: Path) -> None:
    first, empty, unknown = annotated(tmp_path, coco(tmp_path))
    assert decode_probe(first, 16).boxes == (Box(1, 2, 11, 12, "cat"), Box(20, 5, 40, 30, "dog"))
    assert empty.objects == ()
    assert unknown.objects is None


def _drop(part: str) -> Callable[[dict[str, Any]], Any]:
    return lambda tree: tree.pop(part)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop("categories"), "is not read as annotations .KeyError: 'categories'.: expected COCO"),
        (lambda t: t["annotations"][0].update(category_id=4), "annotation 1 is of category 4, whi"),
        (lambda t: t["annotations"][0].update(image_id=4), "annotation 1 is of image 4, which is"),
        (lambda t: t["images"][1].update(id=10), "two entries of images have the id 10"),
        (lambda t: t["images"][1].update(file_name="0.png"), "two entries of images are of '0.png"),
        (lambda t: t["images"][1].update(file_name="train/0.png"), "is both '0.png' and 'train/0"),
        (lambda t: t.update(images=[], annotations=[]), "none of its 0 images is among the 3"),
        (lambda t: t["annotations"][0].update(bbox=None), "is not read as annotations .TypeError"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], Any], message: str
) -> None:
    tree = coco(tmp_path)
    spoil(tree)
    with pytest.raises(ProbeError, match=message) as caught:
        annotated(tmp_path, tree)
    assert str(tmp_path / "annotations.json") in str(caught.value)


def test_a_name_that_fits_two_pictures_is_refused(tmp_path: Path) -> None:
    tree = coco(tmp_path)
    again = tmp_path / "pictures" / "val"
    again.mkdir()
    picture(WIDTH, HEIGHT, 9).save(again / "0.png")
    with pytest.raises(ProbeError, match=r"file_name '0.png' may be .*train/0.png and .*val/0.png"):
        annotated(tmp_path, tree)


def test_a_file_that_is_no_json_and_a_bad_box_are_told(tmp_path: Path) -> None:
    tree = coco(tmp_path)
    with pytest.raises(ProbeError, match="is no JSON"):
        annotated(tmp_path, "{")
    tree["annotations"][0]["bbox"] = [1, 2, 100, 10]
    first = annotated(tmp_path, tree)[0]
    with pytest.raises(ProbeError, match=r"0\.png: box 1 .* reaches outside of its picture"):
        decode_probe(first, 16)
