"""Fingerprints of probes: every ingredient alone changes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from depara.config import ProbesConfig
from depara.fingerprints import probes_fingerprint
from depara.probes import draw_order
from depara.types import Annotation, ProbeRef
from tests.probes.pictures import list_probes

Change = Callable[[list[ProbeRef]], list[ProbeRef]]


def config(**fields: Any) -> ProbesConfig:
    return ProbesConfig.model_validate({"source": "photos", **fields})


@pytest.fixture
def refs(tmp_path: Path) -> list[ProbeRef]:
    found = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"%d" % number)
        found.append(ProbeRef(str(path), "label", "image"))
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda refs: refs[:-1],
        lambda refs: refs[::-1],
        lambda refs: [replace(refs[0], label="other"), *refs[1:]],
        lambda refs: [replace(refs[0], label=None), *refs[1:]],
        lambda refs: [replace(refs[0], column="other"), *refs[1:]],
        lambda refs: [replace(refs[0], objects=()), *refs[1:]],
        lambda refs: [replace(refs[0], objects=(Annotation((0, 0, 1, 1), "cat"),)), *refs[1:]],
    ],
)
def test_the_candidates_and_their_order_change_it(change: Change, refs: list[ProbeRef]) -> None:
    assert probes_fingerprint(change(refs), config(), 32) != probes_fingerprint(refs, config(), 32)


@pytest.mark.parametrize(
    "fields", [{"count": 4}, {"count": None}, {"seed": 1}, {"column": "c"}, {"label_column": "l"}]
)
def test_the_settings_change_it(fields: dict[str, Any], refs: list[ProbeRef]) -> None:
    before = probes_fingerprint(refs, config(), 32)
    assert before is not None
    assert probes_fingerprint(refs, config(**fields), 32) not in (before, None)


def test_the_fields_of_this_test_are_all_that_there_are() -> None:
    fields = {"source", "count", "seed", "column", "label_column"}
    told_by_refs = {"boxes_column", "box_labels_column", "annotations"}
    assert set(ProbesConfig.model_fields) == fields | told_by_refs


def test_fields_that_only_say_where_objects_are_do_not_change_it(refs: list[ProbeRef]) -> None:
    before = probes_fingerprint(refs, config(), 32)
    for fields in ({"boxes_column": "b"}, {"box_labels_column": "c"}, {"annotations": "a.json"}):
        assert probes_fingerprint(refs, config(**fields), 32) == before


def test_canvas_and_versions_change_it(
    refs: list[ProbeRef], monkeypatch: pytest.MonkeyPatch, set_version: Callable[[str], None]
) -> None:
    seen = [probes_fingerprint(refs, config(), side) for side in (32, 64)]
    for package in ("numpy", "pillow"):
        set_version(package)
        seen.append(probes_fingerprint(refs, config(), 32))
    monkeypatch.setattr("depara.fingerprints.probes.PROBES_VERSION", 99)
    seen.append(probes_fingerprint(refs, config(), 32))
    assert None not in seen
    assert len(set(seen)) == len(seen)


def test_the_images_change_it_and_their_neighbours_do_not(
    refs: list[ProbeRef], tmp_path: Path
) -> None:
    before = probes_fingerprint(refs, config(), 32)
    (tmp_path / "other.png").write_bytes(b"other")
    assert probes_fingerprint(refs, config(source="elsewhere"), 32) == before
    path = Path(refs[2].uri)
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert probes_fingerprint(refs, config(), 32) not in (before, None)
    path.unlink()
    assert probes_fingerprint(refs, config(), 32) is None


def test_what_is_listed_can_be_told(photos: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(str(path) for path in sorted(photos.rglob("*.png"))))
    for source in (str(photos), f"{photos}/*/*.png", str(listing)):
        refs = draw_order(list_probes(source), 0)
        assert len(refs) == 24
        assert probes_fingerprint(refs, config(source=source), 32) is not None


def test_rows_are_told_by_their_table(tmp_path: Path) -> None:
    table = tmp_path / "odd#1.parquet"
    table.write_bytes(b"rows")
    refs = [ProbeRef(f"{table}#{row}", None, "image") for row in range(3)]
    before = probes_fingerprint(refs, config(), 32)
    assert before is not None
    table.write_bytes(b"other rows")
    assert probes_fingerprint(refs, config(), 32) not in (before, None)


def test_images_that_ship_in_a_package_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "our_photos"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "inner" / "a.png").write_bytes(b"image")
    monkeypatch.syspath_prepend(str(tmp_path))
    refs = [ProbeRef("package://our_photos/inner/a.png")]
    assert probes_fingerprint(refs, config(), 32) is not None
    assert probes_fingerprint([ProbeRef("package://our_photos.inner/a.png")], config(), 32)
    assert probes_fingerprint([ProbeRef("package://our_photos/b.png")], config(), 32) is None
