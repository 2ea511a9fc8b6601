"""`depara nearest`, as a user types it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from depara.cli import app


@pytest.fixture
def output(scan_folder: str, tmp_path: Path) -> str:
    return str(shutil.copytree(scan_folder, tmp_path / "out"))


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["nearest", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_it_says_what_is_exact_and_what_is_an_estimate(output: str) -> None:
    exact = run(output, "a", "--top", "3").stdout
    assert "nearest to a at code" in exact
    assert "its terms are exact; estimate and deviation are of sketches" in exact
    assert "estimates were off by" in exact
    guessed = run(output, "a", "--top", "3", "--no-exact", "--layer", "block1").stdout
    assert "nearest to a at block1" in guessed
    assert "none of them exact" in guessed
    assert "similarity" not in guessed.partition("none of them exact")[0]


def test_csv_and_json(output: str) -> None:
    read = pd.read_csv(io.StringIO(run(output, "a", "--top", "3", "--csv").stdout))
    tree = json.loads(run(output, "a", "--top", "3", "--json").stdout)
    assert read["source_model"].tolist() == [one["source_model"] for one in tree["graphs"]]
    assert (len(read), tree["is_exact"], tree["num_made"]) == (3, True, 0)
    none = json.loads(run(output, "a", "--top", "3", "--json", "--no-exact").stdout)
    assert [one["similarity"] for one in none["graphs"]] == [None] * 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("aa",), "no model 'aa'"),
        (("a", "--layer", "cod"), "code"),
        (("a", "--scan", "none"), "no finished scan 'none'"),
        (("a", "--csv", "--json"), "exclude each other"),
    ],
)
def test_mistakes_are_said_in_one_message(
    output: str, arguments: tuple[str, ...], said: str
) -> None:
    result = run(output, *arguments, code=2)
    assert said in result.stderr
    assert "Traceback" not in result.output
