"""`depara show` and `depara graph`: what they write, print, and answer to a mistake."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from depara import open_scan
from depara.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_show_writes_the_picture_and_says_what_is_in_it(scan_folder: str, tmp_path: Path) -> None:
    place = str(tmp_path / "a.png")
    result = run("show", scan_folder, "a", "--against", "b", "-o", place, "--count", "3")
    assert result.exit_code == 0, result.output
    assert Path(place).read_bytes().startswith(b"\x89PNG")
    assert f"written: {place}" in result.output.splitlines()
    assert "node_similarity" in result.output
    table = run("show", scan_folder, "a", "--probe", "3", "--probe", "0", "--csv", "-o", place)
    assert pd.read_csv(StringIO(table.output))["index"].tolist() == [3, 0]
    record = json.loads(run("show", scan_folder, "a", "--json", "-o", place).output)
    assert record["picture"] == place
    assert len(record["probes"]) == 5
    assert record["node_similarity"] is None


def test_graph_writes_the_picture_and_its_edges(scan_folder: str, tmp_path: Path) -> None:
    place = str(tmp_path / "a.svg")
    result = run("graph", scan_folder, "a", "--layer", "block1", "--count", "9", "-o", place)
    assert result.exit_code == 0, result.output
    assert "a at block1" in result.output
    assert 1000 < Path(place).stat().st_size < 2e6
    record = json.loads(
        run("graph", scan_folder, "a", "--against", "c", "--json", "-o", place).output
    )
    table = open_scan(scan_folder).rank_models("a").set_index("source_model")["edge_similarity"]
    assert record["edge_similarity"] == pytest.approx(table["c"], abs=1e-6)
    assert len(record["probes"]) == 24
    assert len(record["edges"]) == 2 * 48


@pytest.mark.parametrize("command", ["show", "graph"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a", "-o", "x.gif"], ".png, .svg, .pdf; got .gif"),
        (["a", "-o", "."], "is a folder"),
        (["zz", "-o", "x.png"], "no model 'zz'"),
        (["a", "--layer", "zz", "-o", "x.png"], "no layer 'zz'"),
        (["a", "--against", "a:zz", "-o", "x.png"], "no layer 'zz'"),
        (["a", "--scan", "zz", "-o", "x.png"], "no finished scan 'zz'"),
    ],
)
def test_a_mistake_is_answered_with_one_message_and_code_2(
    command: str, arguments: list[str], words: str, scan_folder: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = run(command, scan_folder, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert words in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["show", "graph"])
def test_the_help_shows_an_example(command: str) -> None:
    assert f"Example: depara {command} depara-out/digits" in run(command, "--help").output
