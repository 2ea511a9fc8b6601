"""`depara query`, as a user types it."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from depara.cli import app
from tests.jobs.inline import tiny
from tests.maintenance.outputs import graph_of

ARGUMENTS = ("--source", "python:tests.jobs.zoo:Tiny", "--weights", "random:7")


@pytest.fixture
def output(scan_folder: str, tmp_path: Path) -> str:
    return str(shutil.copytree(scan_folder, tmp_path / "out"))


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["query", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_it_says_what_to_start_from_and_where_the_model_would_serve(output: str) -> None:
    layers = ("--layers", "block?, code", "--id", "new")
    first = run(output, *ARGUMENTS, *layers)
    assert first.stdout.startswith("new: start from ")
    assert "new as a source for the scan's models" in first.stdout
    assert "computing graphs ..." in first.stderr
    assert "written:" in first.stdout
    again = run(output, *ARGUMENTS, *layers)
    assert "taken from" in again.stdout
    assert again.stdout.splitlines()[:10] == first.stdout.splitlines()[:10]


def test_a_file_with_one_entry_and_every_form_of_the_answer(output: str, tmp_path: Path) -> None:
    entry = tmp_path / "my.yaml"
    entry.write_text(yaml.safe_dump({"models": [tiny("new", 7, layers=["block?", "code"])]}))
    tree = json.loads(run(output, str(entry), "--json").stdout)
    assert (tree["reused"], tree["model"]["id"]) == (False, "new")
    assert tree["recommendation"]["target"] == "new"
    for name, key in (("targets", "targets"), ("cuts", "cuts"), ("own-cuts", "own_cuts")):
        read = pd.read_csv(io.StringIO(run(output, str(entry), "--csv", "--show", name).stdout))
        assert len(read) == len(tree[key])
    read = pd.read_csv(io.StringIO(run(output, str(entry), "--csv").stdout))
    assert list(read["source_model"]) == [
        one["model"] for one in tree["recommendation"]["candidates"]
    ]


@pytest.mark.parametrize("wanted", [None, "ACTIVE"])
def test_waiting_threads_sleep_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str | None
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", wanted or "")  # so that it is put back
    if wanted is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    run(str(tmp_path / "nothing"), *ARGUMENTS, code=2)
    assert os.environ["OMP_WAIT_POLICY"] == (wanted or "PASSIVE")


def test_graphs_left_out_are_said_beside_the_answer(output: str) -> None:
    (scan,) = (Path(output) / "scans").iterdir()
    shutil.rmtree(graph_of(Path(output), scan.name, "b"))
    result = run(output, *ARGUMENTS, "--layers", "output", "--csv")
    assert "left out: model 'b', layer 'code'" in result.stderr
    assert "run the scan again" in result.stderr
    assert set(pd.read_csv(io.StringIO(result.stdout))["source_model"]) == {"a", "c"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name the model"),
        (("my.yaml", "--source", "torchvision:resnet18"), "exclude each other"),
        (("nowhere.yaml",), "'nowhere.yaml' does not exist"),
        (("--source", "torchvison:resnet18"), "torchvision"),
        ((*ARGUMENTS, "--layers", "blok1"), "block1"),
        ((*ARGUMENTS, "--id", "a"), "has another model 'a'"),
        ((*ARGUMENTS, "--id", "\x1b[31m"), "is no model id"),
        ((*ARGUMENTS, "--scan", "none"), "no finished scan 'none'"),
        ((*ARGUMENTS, "--layers", "output", "--csv", "--json"), "exclude each other"),
    ],
)
def test_mistakes_are_said_in_one_message(
    output: str, arguments: tuple[str, ...], said: str
) -> None:
    result = run(output, *arguments, code=2)
    assert said in result.stderr
    assert "\x1b" not in result.output
    assert "Traceback" not in result.output
