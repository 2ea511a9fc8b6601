"""The command that learns, as a user types it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from depara.cli import app
from tests.learning.pasts import pair_scores, scan_of


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    scores = pair_scores()
    past = tmp_path / "past.csv"
    named = scores.rename(columns={"node_similarity": "value"})
    named[["target", "source", "value"]].to_csv(past, index=False)
    scan_of(str(tmp_path / "out"), scores)
    return ["learn", str(tmp_path / "out"), "--truth", str(past)]


def test_it_says_what_ranks_and_why(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "factorisation" in words
    assert "the ranker's weights, of rank fractions: node_similarity" in words
    assert "ranked by ranker: " in words
    assert "the first source of every target" in words
    one = CliRunner().invoke(app, [*arguments, "--target", "m03", "--top", "2"])
    assert "sources for m03" in one.output
    assert one.output.count("m03") == 3


def test_csv_and_json_hold_all_of_it(arguments: list[str]) -> None:
    text = CliRunner().invoke(app, [*arguments, "--csv"]).output
    table = pd.read_csv(io.StringIO(text))
    assert len(table) == 12 * 11
    record = json.loads(CliRunner().invoke(app, [*arguments, "--target", "m03", "--json"]).output)
    assert record["ranked_by"] == "ranker"
    assert len(record["ranking"]) == 11
    assert record["weights"]["node_similarity"] > 0
    assert record["evaluation"]["num_queries"] == 12


def test_mistakes_end_in_one_message(arguments: list[str]) -> None:
    wrong = CliRunner().invoke(app, [*arguments, "--target", "nobody"])
    assert wrong.exit_code == 2
    assert "ranks no source for 'nobody'" in wrong.output
    missing = CliRunner().invoke(app, [*arguments[:-1], "nowhere.csv"])
    assert missing.exit_code == 2
    assert "there is no truth file nowhere.csv" in missing.output
