"""Whole scans of what disks hold: names that are no UTF-8, files that are no images."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cluster.pool.worker import Worker
from cluster.record.summary import print_summary
from depara.errors import ProbeError
from depara.results import open_scan
from depara.store.scans import read_manifest
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny
from tests.probes.pictures import encode, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes, one of a name that is no UTF-8, an image without a sound byte, and others."""
    folder = tmp_path / "photos"
    for number in range(8):
        place = folder / ("caf\udce9" if number % 2 else "bar")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(encode(picture(40, 40, number)))
    (folder / "bar" / "dam\udce4ged\x1b[2J.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for number in range(3):
        (folder / "bar" / f"IMG_{number}.JXL").write_bytes(b"x")
    return folder


def test_names_that_are_no_utf8_cost_nothing(photos: Path, tmp_path: Path) -> None:
    output, models = str(tmp_path / "out"), [tiny("a", 1), tiny("b", 2)]
    probes = {"source": str(photos)}
    summary = scan_inline(output, photos, models, probes=probes, labels=True)
    results = open_scan(output)
    table = results.table("probes")
    assert sorted(Path(uri).name for uri in table["uri"]) == [f"{n}.png" for n in range(8)]
    assert set(table["label"]) == {"bar", r"caf\xe9"}
    assert sum(r"/caf\xe9/" in uri for uri in table["uri"]) == 4
    [message] = results.table("failures")["message"]
    assert r"dam\xe4ged" in message
    assert not results.table("label_scores").empty
    manifest = read_manifest(Storage(output), summary.scan_id)
    assert manifest is not None
    assert manifest["left_out"] == {"JPEG XL": 3}
    notes: list[str] = []
    scan_inline(output, photos, models, probes=probes, notes=notes, labels=True)
    assert any("not decoded again" in note for note in notes)


def test_the_summary_names_what_was_left_out_once_and_shows_no_control_signs(
    photos: Path, tmp_path: Path
) -> None:
    output, models = str(tmp_path / "out"), [tiny("a", 1), tiny("b", 2)]
    notes: list[str] = []
    probes = {"source": str(photos)}
    summary = scan_inline(output, photos, models, probes=probes, notes=notes, labels=True)
    stream = io.StringIO()
    print_summary(Console(file=stream, width=200), summary, open_scan(output))
    text = stream.getvalue() + "\n".join(notes)
    assert text.count("not taken for probes: 3 files: JPEG XL (3). JPEG XL: convert it") == 1
    assert r"dam\xe4ged\x1b[2J.png" in text
    assert "\x1b[2J" not in text


def test_too_few_probes_say_what_else_is_there(photos: Path, tmp_path: Path) -> None:
    for number in range(1, 8):
        (photos / ("caf\udce9" if number % 2 else "bar") / f"{number}.png").unlink()
    with pytest.raises(ProbeError, match=r"1 usable probes .*; left out were 3 files: JPEG XL"):
        scan_inline(
            str(tmp_path / "out"),
            photos,
            [tiny("a", 1)],
            probes={"source": str(photos)},
            labels=True,
        )


def test_more_probes_than_files_are_refused_before_anything_is_decoded(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "run", lambda *_: pytest.fail("a unit was started"))
    probes = {"source": str(photos), "count": 10}
    with pytest.raises(ProbeError, match=r"asks for 10 images but .* has 9; left out were 3 files"):
        scan_inline(str(tmp_path / "out"), photos, [tiny("a", 1)], probes=probes)
