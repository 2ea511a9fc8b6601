"""The documents: references up to date with the code, and every query and program in them runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from depara import open_scan
from depara.cli import app
from depara.config import parse_scan
from tests.conftest import ROOT
from tests.jobs.inline import scan_inline, tiny

PAGES = [
    ROOT / "docs" / "tables.md",
    ROOT / "docs" / "pictures.md",
    ROOT / "docs" / "report.md",
    *sorted((ROOT / "docs" / "questions").glob("*.md")),
]
SCAN_FILE_TEXT = (ROOT / "docs" / "scan-file.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command or program writes to its own folder goes to an empty one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def output(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    names = ["ours-v7", "resnet50", "c"]
    for count in (2, 3):  # two nights: some pages tell them apart
        models = [tiny(name, seed) for seed, name in enumerate(names[:count])]
        scan_inline(str(folder), photos, models, labels=True)
    entry = tiny("ours-v8", 7, layers=["block?", "code"])
    (folder / "my.yaml").write_text(yaml.safe_dump({"models": [entry]}))
    transfers = [(target, source) for target in names for source in names if source != target]
    rows = [
        f"{target},{source},{repeat},{place * place % 7 + repeat / 10}"
        for place, (target, source) in enumerate(transfers)
        for repeat in (1, 2)
    ]
    (folder / "truth.csv").write_text("\n".join(["target,source,repeat,value", *rows]) + "\n")
    arguments = ["--truth", str(folder / "truth.csv"), "--relevant", "1", "--no-plot"]
    arguments += ["--compare", "similarity,cka", "--stability", "4"]
    result = CliRunner().invoke(app, ["evaluate", str(folder), *arguments])
    assert result.exit_code == 0, result.output
    return folder


def fill(text: str, output: Path) -> str:
    scan = open_scan(str(output)).scan_id
    for name in ("my.yaml", "truth.csv"):
        text = text.replace(name, str(output / name))
    return text.replace("SCAN", str(output / "scans" / scan)).replace("OUTPUT", str(output))


def test_the_references_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run `python docs/generate.py`"


def all_blocks(language: str) -> list[Any]:
    """Every block of a language in the pages of tables and of questions, by page and place."""
    return [
        pytest.param(block, id=f"{path.name}-{place}")
        for path in PAGES
        for place, block in enumerate(blocks(path.read_text(), language), start=1)
    ]


@pytest.mark.parametrize("block", all_blocks("sql"))
def test_every_sql_query_answers(output: Path, block: str) -> None:
    query = fill(block, output)
    rows = duckdb.sql(query).fetchall()
    may_be_empty = re.search(r"(failures|notes)\.parquet", query)
    assert rows or may_be_empty, query


@pytest.mark.parametrize("block", all_blocks("python"))
def test_every_program_prints_something(
    output: Path, block: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(fill(block, output), "docs", "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("block", all_blocks("sh"))
def test_every_command_answers(output: Path, block: str) -> None:
    for line in fill(block, output).splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "depara"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}: {result.output}"
        assert result.output.strip()


def test_the_smallest_scan_file_is_valid() -> None:
    smallest, *others = blocks(SCAN_FILE_TEXT, "yaml")
    assert len(parse_scan(smallest).config.models) == 2
    assert all(yaml.safe_load(other) for other in others)


def test_links_between_documents_lead_somewhere() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
