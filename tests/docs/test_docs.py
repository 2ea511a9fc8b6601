"""The documents: references up to date with the code, and every query and program in them runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml

from depara.config import parse_scan
from tests.conftest import ROOT
from tests.jobs.inline import scan_inline, tiny

TABLES_TEXT = (ROOT / "docs" / "tables.md").read_text()
SCAN_FILE_TEXT = (ROOT / "docs" / "scan-file.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def output(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    scan_inline(str(folder), photos, [tiny(name, seed) for seed, name in enumerate("abc")])
    return folder


def fill(text: str, output: Path) -> str:
    scan = next((output / "scans").iterdir())
    return text.replace("SCAN", str(scan)).replace("OUTPUT", str(output))


def test_the_references_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}: run `python docs/generate.py`"


@pytest.mark.parametrize("number", range(len(blocks(TABLES_TEXT, "sql"))))
def test_every_sql_query_answers(output: Path, number: int) -> None:
    query = fill(blocks(TABLES_TEXT, "sql")[number], output)
    rows = duckdb.sql(query).fetchall()
    may_be_empty = re.search(r"(failures|notes)\.parquet", query)
    assert rows or may_be_empty, query


@pytest.mark.parametrize("number", range(len(blocks(TABLES_TEXT, "python"))))
def test_every_program_prints_something(
    output: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    program = fill(blocks(TABLES_TEXT, "python")[number], output)
    exec(compile(program, "docs/tables.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_smallest_scan_file_is_valid() -> None:
    smallest, *others = blocks(SCAN_FILE_TEXT, "yaml")
    assert len(parse_scan(smallest).config.models) == 2
    assert all(yaml.safe_load(other) for other in others)


def test_links_between_documents_lead_somewhere() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
