"""The commands that answer, as a user types them."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from depara import open_scan
from depara.cli import app


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_recommend_says_it_shows_it_and_tells_what_to_try(scan_folder: str) -> None:
    said = open_scan(scan_folder).recommend("a").sentence
    text = run("recommend", scan_folder, "a", "--budget", "2")
    assert text.startswith(f"a: {said}.")
    assert "with 2 trials, try:" in text
    assert "the zoo's generally best source" in text
    assert "`depara evaluate` tells" in text
    assert "GFLOP" in text


def test_every_answer_comes_as_csv_and_json(scan_folder: str) -> None:
    scan = open_scan(scan_folder)
    for arguments, frame in (
        (("recommend", scan_folder, "a"), scan.recommend("a").frame()),
        (("data", scan_folder), scan.recommend_for_labels().frame()),
        (("matrix", scan_folder), scan.matrix().reset_index()),
        (("tree", scan_folder), scan.tree().frame()),
        (("models", scan_folder, "a"), scan.rank_models("a")),
        (("layers", scan_folder, "a", "b"), scan.rank_layers("a", "b")),
        (("table", scan_folder, "layers"), scan.table("layers")),
        (("scans", scan_folder), None),
    ):
        read = pd.read_csv(io.StringIO(run(*arguments, "--csv")))
        tree = json.loads(run(*arguments, "--json"))
        assert tree
        if frame is not None:
            assert len(read) == len(frame)
    assert json.loads(run("matrix", scan_folder, "--json"))["a"]["a"] is None
    assert json.loads(run("recommend", scan_folder, "a", "--json"))["target"] == "a"


def test_csv_and_json_exclude_each_other(scan_folder: str) -> None:
    assert "--csv and --json exclude each other" in run(
        "matrix", scan_folder, "--csv", "--json", code=2
    )


def test_tree_draws_and_writes_newick(scan_folder: str) -> None:
    tree = open_scan(scan_folder).tree()
    assert run("tree", scan_folder).splitlines() == tree.lines()
    assert run("tree", scan_folder, "--newick").strip() == tree.newick()


def test_data_tells_of_the_labelled_probes(scan_folder: str) -> None:
    text = run("data", scan_folder)
    assert text.startswith("24 labelled probes of 2 classes: start from ")
    assert "by score: rank by knn" in text


def test_mistakes_get_one_line(scan_folder: str) -> None:
    for arguments, words in (
        (("recommend", scan_folder, "z"), "no target 'z'"),
        (("matrix", scan_folder, "--score", "x"), "no score 'x'"),
        (("diff", scan_folder), "none is before it"),
        (("diff", scan_folder, "nope"), "no finished scan 'nope'"),
    ):
        text = run(*arguments, code=2)
        assert text.startswith("error: ")
        assert words in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    "command",
    [
        "recommend",
        "data",
        "ensemble",
        "heads",
        "distance",
        "relatedness",
        "models",
        "layers",
        "matrix",
        "tree",
        "diff",
        "table",
        "scans",
    ],
)
def test_help_shows_an_example(command: str) -> None:
    assert f"depara {command}" in run(command, "--help").replace("\n", " ")
