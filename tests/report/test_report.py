"""The report as text: what it says without scripts, hostile input, where it is written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rich.console import Console

from benchmarks.lab.zoo_record import MARKUP, SCRIPT, ZooTables
from benchmarks.lab.zoo_tables import write_zoo
from cluster.record.report import end_with_report
from cluster.record.summary import print_report
from depara import open_scan
from depara.errors import ConfigError
from depara.report import write_report
from depara.report.page import SCRIPTS
from tests.conftest import ROOT
from tests.report.conftest import Made

MIB = 1 << 20


class Page(HTMLParser):
    """Elements, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_the_first_screen_needs_no_script(made: Callable[[int], Made]) -> None:
    scan = open_scan(made(10).scan.output)
    words = Page(made(10).html).words
    assert "13 models" in words
    assert "31 January 2026, 03:52 UTC" in words
    assert "1 h 52 min" in words
    for part in ("+ 5 new", "= 5 reused", "− 1 removed", "✕ 3 failed"):
        assert part in words
    for target in scan.models():
        found = scan.recommend(target)
        assert f"{found.first.similarity:.3f}" in words
        assert f"{found.first.low:.2f} to {found.first.high:.2f}" in words
    assert "first choices are safe" in words
    assert "first choices are also those of RSA, DDS, CKA" in words
    assert "is the generally best source" in words
    assert "rounding noise" in words
    assert "the first choice is not safe" in Page(made(100).html).words
    assert "For the labelled probes themselves" in words
    assert scan.recommend_for_labels().models["model_id"].iloc[0].split("\t")[0] in words


def test_hostile_names_are_text(made: Callable[[int], Made]) -> None:
    """Markup in a model id, a failure's message, a probe's path, a label and a setting."""
    page = Page(made(10).html)
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "link", "base")]
    assert not [names for _, names in page.tags if any(name.startswith("on") for name in names)]
    assert MARKUP in page.words
    assert SCRIPT in page.words
    assert "{{ 7 * 7 }} {% raw %}" in page.words
    assert "\u202e" not in made(10).html
    data, *scripts = page.scripts
    assert "<" not in data
    assert json.loads(data)["models"][0] == MARKUP
    assert len(scripts) == 2
    addresses = [names.get("href") for tag, names in page.tags if tag == "a"]
    assert all(one and (one.startswith("#") or one.endswith(".parquet")) for one in addresses)


def test_only_its_own_scripts_may_run_and_nothing_may_be_asked_for(
    made: Callable[[int], Made],
) -> None:
    policy = next(
        names["content"]
        for tag, names in Page(made(10).html).tags
        if tag == "meta" and names.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert "data:" not in policy
    assert not re.search(r"(src|href)=\"?(https?:)?//", made(10).html)


def test_all_scripts_and_styles_are_in_the_page(made: Callable[[int], Made]) -> None:
    for name in SCRIPTS:
        text = (ROOT / "depara" / "report" / "static" / name).read_text().strip()
        assert text in made(10).html, name
    assert "uPlot (v1.6.32)" in made(10).html


def test_sizes(made: Callable[[int], Made]) -> None:
    small = made(100).report
    assert small.num_bytes - small.picture_bytes <= MIB
    assert small.num_bytes == made(100).path.stat().st_size


def test_pictures_are_apart_from_the_size(scan_folder: str, tmp_path: Path) -> None:
    scan = open_scan(scan_folder)
    with_pictures = write_report(scan, str(tmp_path / "a.html"))
    without = write_report(scan, str(tmp_path / "b.html"), pictures=0)
    assert without.picture_bytes == 0
    saved = with_pictures.num_bytes - without.num_bytes
    assert 0 < with_pictures.picture_bytes < saved < 1.5 * with_pictures.picture_bytes + 20_000


def test_beside_the_tables_it_links_to_them_and_elsewhere_it_names_them(
    made: Callable[[int], Made], tmp_path: Path
) -> None:
    assert 'href="model_ranking.parquet"' in made(10).html
    elsewhere = tmp_path / "new" / "r.html"
    written = write_report(made(10).scan, str(elsewhere))
    assert written.location == str(elsewhere)
    html = elsewhere.read_text()
    assert 'href="model_ranking.parquet"' not in html
    assert "model_ranking.parquet" in html


def test_every_query_behind_a_picture_answers(scan_folder: str, tmp_path: Path) -> None:
    output = tmp_path / 'it\'s "here"'
    shutil.copytree(scan_folder, output)
    scan = open_scan(str(output))
    page = Page(Path(scan.report(str(tmp_path / "r.html"))).read_text())
    queries = [text for text in page.text if "parquet" in text and "select" in text]
    programs = [text for text in page.text if text.startswith("import pandas")]
    assert len(queries) == len(programs) >= 7
    for query in queries:
        rows = duckdb.sql(query).fetchall()
        assert rows or "failures" in query, query
    for program in programs:
        exec(compile(program, "report", "exec"), {})
    choices = duckdb.sql(queries[0]).df()
    first = scan.recommend("a").first
    row = choices[choices["target_model"] == "a"].iloc[0]
    assert (row["source_model"], row["cut"]) == (first.model, first.cut)
    assert row["low"] == pytest.approx(first.low)


def test_a_report_is_written_again_and_is_the_same(scan_folder: str, tmp_path: Path) -> None:
    scan = open_scan(scan_folder)
    first, second = (Path(scan.report(str(tmp_path / name))) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    scan.report(str(first))
    assert first.read_bytes() == second.read_bytes()


def test_what_changed_since_the_last_scan_is_told(tmp_path: Path) -> None:
    for number, size in enumerate((6, 7), start=1):
        zoo = ZooTables(size, hostile=False, seed=number, num_failures=0)
        write_zoo(str(tmp_path), zoo, f"2026013{number}T020000Z-synth")
    scan = open_scan(str(tmp_path))
    changes = scan.diff()
    words = Page(Path(scan.report()).read_text()).words
    assert "Compared with 20260131T020000Z-synth" in words
    same = changes.num_targets - len(changes.first_choices)
    assert f"first choices {same} of {changes.num_targets} are the same" in words
    assert changes.first_choices
    for one in changes.first_choices:
        assert f"{one.target}: {one.before} → {one.after}" in words
        assert one.why in words


def test_a_truth_is_told_of(scan_folder: str, tmp_path: Path) -> None:
    from depara.evaluation import evaluate_scan, load_truth, write_evaluation
    from depara.store.layout import evaluation_folder

    output = tmp_path / "out"
    shutil.copytree(scan_folder, output)
    scan = open_scan(str(output))
    truth = [(t, s, float(i)) for i, (t, s) in enumerate([("a", "b"), ("a", "c"), ("b", "a")])]
    path = tmp_path / "truth.csv"
    path.write_text("target,source,value\n" + "\n".join(",".join(map(str, one)) for one in truth))
    write_evaluation(
        evaluate_scan(scan, load_truth(str(path)), relevant=1),
        f"{output}/{evaluation_folder(scan.scan_id)}",
    )
    words = Page(Path(scan.report()).read_text()).words
    assert "Against measured transfers" in words
    assert "regret@1" in words


def test_a_scan_of_one_model_has_none_and_says_why(tmp_path: Path) -> None:
    write_zoo(str(tmp_path), ZooTables(1, hostile=False, with_labels=False))
    scan = open_scan(str(tmp_path))
    with pytest.raises(ConfigError, match="ranks no source: it has not two models"):
        scan.report()
    outcome = end_with_report(scan)
    assert outcome.location is None
    console = Console(width=200)
    with console.capture() as capture:
        print_report(console, outcome)
    assert capture.get().startswith("note: no report was written (ConfigError: scan")


def test_a_failure_of_the_report_fails_no_scan(
    scan_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("depara.report.write_report", fail)
    outcome = end_with_report(open_scan(scan_folder))
    assert outcome.line == (
        "note: no report was written (MemoryError: no room); `depara report` tries again"
    )


def test_a_folder_is_no_place_for_it(scan_folder: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder: give a file name"):
        open_scan(scan_folder).report(f"{tmp_path}/")
