"""A report of every kind of scan: without resamples, labels or other scores, with twins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from depara import open_scan
from depara.report.grid import Grid
from tests.jobs.inline import scan_inline, tiny
from tests.report.test_report import Page

MODELS = [tiny(name, seed) for seed, name in enumerate("abc")]


@pytest.mark.parametrize(
    ("sections", "said", "not_said"),
    [
        ({"uncertainty": {"resamples": 0}}, "how sure the rankings are is not known", "safe:"),
        ({"similarity": {"scores": []}}, "generally best source", "also those of"),
        ({"similarity": {"label_scores": False}}, "First choices", "labelled probes themselves"),
        ({"similarity": {"pairs": "all"}}, "First choices", "how sure the rankings are"),
        ({"nulls": 1}, "random-weights twin", "random-weights twins;"),
        ({"defaults": {"layers": "output"}}, "First choices", "No pictures"),
    ],
    ids=["no-resamples", "no-scores", "no-labels", "all-pairs", "twins", "one-layer"],
)
def test_a_report_of(
    photos: Path, tmp_path: Path, sections: dict[str, Any], said: str, not_said: str
) -> None:
    scan_inline(str(tmp_path), photos, MODELS, **sections, labels=True)
    scan = open_scan(str(tmp_path))
    words = Page(Path(scan.report()).read_text()).words
    assert said in words
    assert not_said not in words
    for target in scan.models():
        if target in "abc":
            first = scan.recommend(target).first
            assert f"{first.similarity:.3f}" in words


def test_two_models_and_one_that_failed(photos: Path, tmp_path: Path) -> None:
    models = [*MODELS[:2], {"id": "lost", "source": "python:tests.jobs.zoo:Nowhere"}]
    scan_inline(str(tmp_path), photos, models, labels=True)
    scan = open_scan(str(tmp_path))
    words = Page(Path(scan.report()).read_text()).words
    assert "✕ 1 failed" in words
    assert scan.table("failures")["message"].iloc[0].split()[0] in words
    assert Grid(scan).models == ("a", "b")


def test_a_report_is_no_part_of_what_is_verified_and_goes_with_its_scan(
    scan_folder: str, tmp_path: Path
) -> None:
    import shutil

    from typer.testing import CliRunner

    from depara.cli import app

    output = tmp_path / "out"
    shutil.copytree(scan_folder, output)
    open_scan(str(output)).report()
    done = CliRunner().invoke(app, ["verify", str(output)])
    assert done.exit_code == 0, done.output
