"""The command that writes the report, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from depara import open_scan
from depara.cli import app


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_report_writes_a_file_and_says_where(scan_folder: str, tmp_path: Path) -> None:
    place = tmp_path / "r.html"
    text = run("report", scan_folder, "-o", str(place))
    assert text.startswith(f"report: {place}\n")
    assert "kB, of which" in text
    assert place.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_report_in_json_and_without_pictures(scan_folder: str, tmp_path: Path) -> None:
    place = tmp_path / "r.html"
    arguments = ("report", scan_folder, "-o", str(place), "--pictures", "0", "--json")
    facts = json.loads(run(*arguments))
    assert facts["location"] == str(place)
    assert facts["num_bytes"] == place.stat().st_size
    assert facts["picture_bytes"] == 0


def test_a_scan_that_is_not_there_is_named(scan_folder: str, tmp_path: Path) -> None:
    assert "no finished scan" in run("report", str(tmp_path), code=2)
    text = run("report", scan_folder, "--scan", "none", "-o", str(tmp_path / "r.html"), code=2)
    assert "'none'" in text


@pytest.mark.parametrize("place", ["folder/", "/proc/no/such/place.html"])
def test_a_place_that_cannot_be_written_is_told(
    scan_folder: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("report", scan_folder, "-o", place, code=2).startswith("error: ")
    assert open_scan(scan_folder).scan_id
