"""`depara verify`, `depara gc` and `depara scans`: what they print, and their exit codes."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from depara.cli import app
from depara.maintenance import verify_output
from depara.store.running import claim_scan
from depara.store.storage import Storage
from tests.conftest import ROOT
from tests.maintenance.outputs import age, flip, graph_of, keys_of, node_files, truncate

RUNNER = CliRunner()


def test_verify_says_that_all_is_sound_in_one_line(root: Path) -> None:
    for options in ([], ["--fast"], ["--csv"]):
        result = RUNNER.invoke(app, ["verify", str(root), *options])
        assert result.exit_code == 0
        line = result.output.splitlines()[-1]
        assert re.fullmatch(r"sound: 12 graphs, \d{3} files, \d{3}\.\d kB, 3 scans", line)
    one = RUNNER.invoke(app, ["verify", str(root), "--scan", "three"])
    assert one.output.startswith("sound: 3 graphs, ")
    assert one.output.endswith(" kB, 1 scan\n")


def test_verify_lists_what_is_wrong_and_ends_with_code_1(root: Path) -> None:
    path = node_files(graph_of(root, "one", "a"))[0]
    flip(path)
    truncate(root / "scans" / "two" / "models.parquet")
    result = RUNNER.invoke(app, ["verify", str(root)])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    named = f"wrong: {path} (model 'a', layer "
    assert any(line.startswith(named) and "not match its checksum" in line for line in lines)
    assert all("; " in line for line in lines if line.startswith("wrong:")), "what to do"
    assert lines[-1].startswith("2 problems in 12 graphs")
    fast = RUNNER.invoke(app, ["verify", str(root), "--fast"])
    assert fast.exit_code == 1
    assert fast.output.splitlines()[-1].startswith("1 problem in ")
    listed = RUNNER.invoke(app, ["verify", str(root), "--csv"])
    rows = list(csv.DictReader(io.StringIO(listed.stdout)))
    assert {row["location"]: row["graph_key"] for row in rows} == {
        str(path): path.parent.name, str(root / "scans/two/models.parquet"): ""
    }  # fmt: skip


def test_verify_takes_back_what_is_damaged(root: Path) -> None:
    path = node_files(graph_of(root, "three", "c"))[0]
    flip(path)
    first = RUNNER.invoke(app, ["verify", str(root), "--discard"])
    assert first.exit_code == 1
    assert f"discarded: {path.parent.name}: the next scan makes them anew" in first.output
    second = RUNNER.invoke(app, ["verify", str(root)])
    assert "is not committed, but scan three refers to it" in second.output


def test_work_under_way_is_mentioned(root: Path) -> None:
    claim_scan(Storage(str(root)), "night", "0" * 32, "2026-01-01")
    (graph_of(root, "three", "c") / "edges.parquet").touch()
    result = RUNNER.invoke(app, ["verify", str(root)])
    assert result.exit_code == 0
    assert result.output.rstrip().endswith("under way or left behind: 1 running record")


@pytest.mark.parametrize("command", ["verify", "gc"])
def test_a_mistake_ends_with_code_2(root: Path, tmp_path: Path, command: str) -> None:
    result = RUNNER.invoke(app, [command, str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "holds no graphs and no scans: check the path" in result.output
    unknown = RUNNER.invoke(app, ["verify", str(root), "--scan", "tree"])
    assert unknown.exit_code == 2
    assert "did you mean 'three'" in unknown.output


def test_gc_shows_first_and_deletes_when_told(root: Path) -> None:
    age(root, 10)
    storage = Storage(str(root))
    shown = RUNNER.invoke(app, ["gc", str(root), "--keep-scans", "2"])
    assert shown.exit_code == 0
    row = next(line for line in shown.output.splitlines() if "graphs" in line)
    assert " 3 " in row
    assert "kB" in row
    assert "kept: 2 of 3 scans, the oldest is two" in shown.output
    assert "with tables but without all graphs: 1" in shown.output
    assert shown.output.rstrip().endswith("nothing was deleted: repeat with --yes")
    assert verify_output(storage).num_graphs == 12
    done = RUNNER.invoke(app, ["gc", str(root), "--keep-scans", "2", "--yes"])
    assert done.exit_code == 0
    assert "repeat with --yes" not in done.output
    assert verify_output(storage).num_graphs == 9
    assert verify_output(storage).is_sound


def test_gc_says_what_it_left_alone(root: Path) -> None:
    age(root, 10)
    lease = claim_scan(Storage(str(root)), "night", "0" * 32, "2026-01-01")
    options = ["gc", str(root), "--keep-scans", "2"]
    waits = "scan night is about to plan its work: try again later"
    assert waits in RUNNER.invoke(app, options).output
    result = RUNNER.invoke(app, [*options, "--yes"])
    assert f"left alone: 3, because {waits}" in result.output
    lease.publish_plan(keys_of(root, "three"), "p")
    assert "left alone" not in RUNNER.invoke(app, [*options, "--yes"]).output


def test_gc_refuses_to_keep_no_scan(root: Path) -> None:
    result = RUNNER.invoke(app, ["gc", str(root), "--keep-scans", "0"])
    assert result.exit_code == 2


def test_the_module_is_the_command_and_loads_no_torch(root: Path) -> None:
    code = (
        "import sys, depara.maintenance, depara.cli; "
        "print(sorted({'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    done = subprocess.run(
        [sys.executable, "-m", "depara.cli", "verify", str(root)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("sound: 12 graphs")
    assert done.stderr == ""


def test_the_weekly_job_of_the_documents_runs(root: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (job,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    container = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    _, *arguments = (str(root) if "s3://" in word else word for word in container["command"])
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "kept: 3 of 3 scans" in result.output


@pytest.mark.parametrize("command", ["verify", "gc"])
def test_every_option_is_in_the_documents(command: str) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    options = RUNNER.invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    names = set(re.findall(r"--[a-z][a-z-]+", options)) - {"--help"}
    assert names
    assert not [name for name in names if name not in text]
