"""Finished scans opened, ranked again at another lambda, and shown by the command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cluster.pool.phases import PHASES
from depara import list_scans, list_times, open_scan
from depara.cli import app
from depara.errors import ConfigError, StoreError
from depara.results import ScanResults
from tests.jobs.inline import scan_inline, tiny

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def output(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("out"))
    models = [tiny("a", 0), tiny("b", 1), tiny("c", 2), tiny("bad", 3, layers=["nothing"])]
    scan_inline(folder, photos, models, scan_id="one")
    scan_inline(folder, photos, models[:2], scan_id="two")
    return folder


@pytest.fixture(scope="module")
def scan(output: str) -> ScanResults:
    return open_scan(output, "one")


def test_the_latest_scan_is_the_default(output: str) -> None:
    assert open_scan(output).scan_id == "two"
    assert list_scans(output)["scan_id"].tolist() == ["one", "two"]


def test_scans_are_listed_with_what_they_reused(output: str) -> None:
    scans = list_scans(output).set_index("scan_id")
    assert scans["sequence"].tolist() == [1, 2]
    assert scans["failed"].tolist() == [1, 0]
    assert scans["models"].tolist() == [4, 2]
    assert scans["models_reused"].tolist() == [0, 2]
    assert scans["graphs_reused"].tolist() == [0, 6]
    assert scans.loc["two", "pairs_reused"] == scans.loc["two", "pairs"] == 6 * 2
    shown = RUNNER.invoke(app, ["scans", output]).output
    # By their dates: a time or a duration may hold any digits, on a line of its own too.
    rows = [line for line in shown.splitlines() if re.search(r"\d{4}-\d\d-\d\d", line)]
    assert [row.split("│")[1].strip() for row in rows] == ["one", "two"]


def test_scans_of_older_versions_are_listed_with_gaps(tmp_path: Path) -> None:
    for scan_id, manifest in {
        "new": {"sequence": 1, "finished_at": "2026-01-01T00:00:00+00:00", "num_models": 3},
        "older": {"finished_at": "2026-01-03T00:00:00+00:00", "seconds": 1.5},
        "oldest": {"finished_at": "2026-01-02T00:00:00+00:00"},
    }.items():
        folder = tmp_path / "scans" / scan_id
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"scan_id": scan_id, **manifest}))
    scans = list_scans(str(tmp_path))
    assert scans["scan_id"].tolist() == ["oldest", "older", "new"]
    assert scans["models"].isna().tolist() == [True, True, False]
    text = RUNNER.invoke(app, ["scans", str(tmp_path), "--csv"]).output
    assert ",older,2026-01-03T00:00:00+00:00,,,,,,,,,1.5" in text.splitlines()
    shown = RUNNER.invoke(app, ["scans", str(tmp_path)]).output
    assert "NA" not in shown
    assert "2026-01-03 00:00" in shown
    assert list_scans(str(tmp_path / "nowhere")).empty


def test_the_time_of_scans_is_listed_by_phase(output: str) -> None:
    times = list_times(output).set_index("scan_id")
    phases = times[[f"{name}_s" for name in PHASES]].sum(axis=1)
    assert (abs(phases - times["seconds"]) < 0.01).all()
    assert (times["busy"] <= 1).all()
    assert (times["written_bytes"] > 0).all()
    shown = RUNNER.invoke(app, ["scans", output, "--time"]).output
    assert all(name in shown for name in (*PHASES, "busy %", "read MB"))
    text = RUNNER.invoke(app, ["scans", output, "--time", "--csv"]).output
    assert text.splitlines()[0] == ",".join(list_times(output).columns)


def test_the_time_of_scans_of_older_versions_is_not_known(tmp_path: Path) -> None:
    folder = tmp_path / "scans" / "older"
    folder.mkdir(parents=True)
    manifest = {"scan_id": "older", "finished_at": "2026-01-03T00:00:00+00:00", "seconds": 1.5}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    times = list_times(str(tmp_path))
    assert times["seconds"].tolist() == [1.5]
    assert times.drop(columns=["scan_id", "finished_at", "seconds"]).isna().all(axis=None)
    shown = RUNNER.invoke(app, ["scans", str(tmp_path), "--time"]).output
    assert "older" in shown
    assert "NA" not in shown
    assert list_times(str(tmp_path / "nowhere")).empty


def test_rankings_agree_with_the_similarity_table_at_any_lambda(scan: ScanResults) -> None:
    similarity = scan.table("similarity")
    outputs = similarity[
        (similarity["source_layer"] == "code") & (similarity["source_model"] != "a")
    ]
    for weight in (None, 0.0, 0.7, 100.0):
        ranking = scan.rank_models("a", weight)
        scores = outputs[outputs["target_model"] == "a"].set_index("source_model")
        factor = 1.0 if weight is None else weight
        rest = scores["node_similarity"] + scores["directed"]
        expected = rest + factor * scores["edge_similarity"]
        expected = expected.sort_values(ascending=False)
        assert ranking["source_model"].tolist() == expected.index.tolist()
        np.testing.assert_allclose(ranking["similarity"], expected)
        layers = scan.rank_layers("a", "b", weight)
        assert sorted(layers["layer"]) == ["block1", "block2", "code"]
        assert (np.diff(layers["similarity"]) <= 0).all()


def test_wrong_names_are_answered_with_near_ones(scan: ScanResults, output: str) -> None:
    with pytest.raises(ConfigError, match=r"it failed: .*nothing"):
        scan.rank_models("bad")
    with pytest.raises(ConfigError, match="no target 'zz'; it has a, b, c"):
        scan.rank_models("zz")
    with pytest.raises(ConfigError, match="same model"):
        scan.rank_layers("a", "a")
    with pytest.raises(ConfigError, match="did you mean 'failures'"):
        scan.table("failure")
    with pytest.raises(StoreError, match="no finished scan 'three'"):
        open_scan(output, "three")
    with pytest.raises(StoreError, match="holds no finished scan"):
        open_scan(output + "/nowhere")


def test_the_command_shows_rankings_tables_and_scans(output: str) -> None:
    models = RUNNER.invoke(app, ["models", output, "a", "--scan", "one", "--csv"])
    assert models.exit_code == 0
    assert models.output.splitlines()[0].startswith("rank,source_model,source_layer,similarity")
    assert len(models.output.splitlines()) == 3
    layers = RUNNER.invoke(app, ["layers", output, "a", "b", "--top", "2", "--lambda", "0"])
    assert layers.exit_code == 0
    assert "cuts of b for a" in layers.output
    shown = RUNNER.invoke(app, ["table", output, "failures", "--scan", "one"])
    assert "LayerError" in shown.output
    assert "one" in RUNNER.invoke(app, ["scans", output]).output
    assert RUNNER.invoke(app, ["--version"]).output.startswith("depara ")


def test_the_command_answers_a_mistake_with_one_line_and_code_2(output: str) -> None:
    for arguments in (["models", output, "zz"], ["models", "/nowhere", "a"], ["scans", "zz://x"]):
        result = RUNNER.invoke(app, arguments)
        if arguments[0] == "scans":
            assert result.exit_code == 2
        assert result.exit_code == 2
        assert result.output.startswith("error: ")
        assert result.output.count("\n") == 1
