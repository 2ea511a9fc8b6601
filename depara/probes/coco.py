"""The objects of pictures from annotations in COCO's form: one JSON file beside a folder of images.

``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "category_id", "bbox"}],
"categories": [{"id", "name"}]}`` with ``bbox`` = [x, y, width, height] in px (Lin et al.,
"Microsoft COCO: Common Objects in Context", ECCV 2014; cocodataset.org/#format-data).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from depara.errors import ProbeError
from depara.probes.boxes import read_annotations
from depara.probes.storage import read_bytes
from depara.types import Annotation, ProbeRef

_FORM = "expected COCO's form: images, annotations and categories, see docs/scan-file.md"


def annotated(refs: Iterable[ProbeRef], uri: str) -> list[ProbeRef]:
    """Returns the references with the objects that a file of annotations has of their pictures.

    A picture belongs to the entry of ``images`` whose ``file_name`` its path ends with. One without
    an entry keeps what it has; one with an entry and no annotation has no objects. Crowds
    (``iscrowd: 1``) are no objects and left out. Other fields are not read.

    Args:
        refs: of the pictures.
        uri: the JSON file, local or remote.

    Raises:
        ProbeError: unreadable, not in COCO's form, an annotation of an unknown image or category,
            an entry that fits several pictures, or none that fits any.
    """
    known = list(refs)
    objects = _objects(uri)
    by_name: dict[str, list[int]] = {}
    for place, ref in enumerate(known):
        by_name.setdefault(_last(ref.uri), []).append(place)
    taken: dict[int, str] = {}
    for name, found in objects.items():
        places = by_name.get(_last(name), ())
        places = [place for place in places if _ends(known[place].uri, name)]
        if len(places) > 1:
            both = " and ".join(known[place].uri for place in places[:2])
            raise ProbeError(
                f"{uri}: file_name {name!r} may be {both}: write more of the path into file_name"
            )
        for place in places:
            if place in taken:
                raise ProbeError(
                    f"{uri}: {known[place].uri} is both {taken[place]!r} and {name!r} of images: "
                    "keep one of the two"
                )
            taken[place] = name
            known[place] = replace(known[place], objects=found)
    if known and not taken:
        raise ProbeError(
            f"{uri}: none of its {len(objects)} images is among the {len(known)} of the source: "
            f"file_name is {next(iter(objects), '')!r}, a picture of the source {known[0].uri}; "
            "file_name must be the end of the picture's path"
        )
    return known


def _objects(uri: str) -> dict[str, tuple[Annotation, ...]]:
    """Returns the objects of every entry of ``images``, by its ``file_name``."""
    try:
        tree = json.loads(read_bytes(uri))
        names = _unique(uri, "images", tree["images"], "file_name")
        classes = _unique(uri, "categories", tree["categories"], "name")
        rows: Sequence[Mapping[str, Any]] = tree["annotations"]
        found: dict[str, list[Annotation]] = {name: [] for name in names.values()}
        for row in rows:
            if not row.get("iscrowd"):
                name = _meant(uri, row, names, "image")
                label = _meant(uri, row, classes, "category")
                found[name] += read_annotations([_corners(row["bbox"])], [label]) or ()
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ProbeError(f"{uri}: is not read as annotations ({reason}): {_FORM}") from error
    except ValueError as error:
        raise ProbeError(f"{uri}: is no JSON ({error}): {_FORM}") from error
    return {name: tuple(one) for name, one in found.items()}


def _unique(uri: str, part: str, rows: Sequence[Mapping[str, Any]], field: str) -> dict[Any, str]:
    """Returns a field of the entries of a part by their ids, of which each must stand once."""
    found: dict[Any, str] = {}
    for row in rows:
        if row["id"] in found:
            raise ProbeError(f"{uri}: two entries of {part} have the id {row['id']!r}: keep one")
        found[row["id"]] = str(row[field])
    if field == "file_name" and len(set(found.values())) < len(found):
        twice = next(name for name in found.values() if list(found.values()).count(name) > 1)
        raise ProbeError(f"{uri}: two entries of images are of {twice!r}: keep one of the two")
    return found


def _meant(uri: str, row: Mapping[str, Any], known: Mapping[Any, str], kind: str) -> str:
    number = row[f"{kind}_id"]
    if number not in known:
        plural = "images" if kind == "image" else "categories"
        raise ProbeError(
            f"{uri}: annotation {row.get('id', '(no id)')} is of {kind} {number!r}, which is not "
            f"in {plural}: add it there, or remove the annotation"
        )
    return known[number]


def _corners(bbox: Sequence[float]) -> list[float]:
    """Returns [x, y, width, height] as corners; what has not four numbers stays as it is."""
    if len(bbox) != 4:
        return list(bbox)
    x, y, width, height = bbox
    return [x, y, x + width, y + height]


def _ends(uri: str, name: str) -> bool:
    return uri == name or uri.endswith("/" + name.removeprefix("./").removeprefix("/"))


def _last(path: str) -> str:
    return path.rpartition("/")[2]
