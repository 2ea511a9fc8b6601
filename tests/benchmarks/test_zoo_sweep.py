"""The sweep over architectures: a bounded sample of it, and that it sees what is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import zoo_sweep
from benchmarks._zoo_autograd import PlainGraph
from benchmarks._zoo_entries import SAMPLE, Entry, entry_of
from benchmarks._zoo_report import report_lines
from benchmarks._zoo_trial import (
    AGREES,
    DISAGREES,
    LEFT_OUT,
    TRACEBACK,
    Extracted,
    Row,
    compare,
    try_architecture,
)
from benchmarks.zoo_sweep import RowStore, sweep

foreign = pytest.mark.filterwarnings("ignore")
"""timm and transformers warn about themselves."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the sweep runs: small models gain nothing from more, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@foreign
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "name",
    SAMPLE,
)
def test_a_sample_of_the_zoo_agrees_with_plain_autograd(name: str) -> None:
    row = try_architecture(entry_of(name))
    assert (row.verdict, row.words) == (AGREES, "")
    assert row.cosine_float64 is not None
    assert row.compared >= 5
    resolved = not any("does not resolve" in note for note in row.notes)
    assert row.cosine_float64 > 0.999 or not resolved


def graph(seed: int = 0) -> PlainGraph:
    rng = np.random.default_rng(seed)
    maps_NP = rng.normal(size=(3, 16))
    maps_NP /= np.linalg.norm(maps_NP, axis=1, keepdims=True)
    return PlainGraph(maps_NP, rng.normal(size=(3, 8)))


def extracted(plain: PlainGraph) -> Extracted:
    return Extracted(plain.maps_NP, plain.gram_NN, plain.edges_E, conditioning=None)


def test_what_equals_plain_autograd_agrees() -> None:
    row = Row("timm:one")
    compare(row, {"a": extracted(graph())}, {"a": graph()}, {"a": graph()})
    assert (row.verdict, row.words) == (AGREES, "")
    assert row.cosine_float64 == pytest.approx(1)
    assert row.conditioning is None


def test_another_map_gram_or_edge_disagrees_and_is_named() -> None:
    mine = extracted(graph())
    other = extracted(graph(1))
    for field, what in (("maps_NP", "maps"), ("gram_NN", "Gram"), ("edges_E", "edges")):
        values = {**vars(mine), field: getattr(other, field)}
        row = Row("timm:one")
        compare(row, {"a": Extracted(**values)}, {"a": graph()}, {"a": graph()})
        assert row.verdict == DISAGREES
        assert row.words.startswith(f"a: {what} off by")


def test_values_that_are_not_finite_disagree() -> None:
    mine = extracted(graph())
    mine.maps_NP[1, 2] = np.nan
    row = Row("timm:one")
    compare(row, {"a": mine}, {"a": graph()}, {"a": graph()})
    assert row.verdict == DISAGREES


def test_maps_that_float32_does_not_resolve_agree_when_they_are_marked() -> None:
    for is_marked, verdict in ((True, AGREES), (False, DISAGREES)):
        row = Row("timm:one")
        mine = replace(extracted(graph(1)), is_marked=is_marked)
        exact = replace(graph(), features_ND=graph(1).features_ND)
        compare(row, {"a": mine}, {"a": graph(1)}, {"a": exact})
        assert row.verdict == verdict
        assert "float32 does not resolve 1: a" in row.notes


def test_rows_are_kept_and_a_line_cut_off_is_passed_over(tmp_path: Path) -> None:
    store = RowStore(tmp_path)
    store.add(Row("timm:one", AGREES, parameters=3))
    store.add(Row("timm:two", TRACEBACK, "KeyError"))
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text() + '{"name": "timm:thr')
    assert RowStore(tmp_path).read() == {
        "timm:one": Row("timm:one", AGREES, parameters=3),
        "timm:two": Row("timm:two", TRACEBACK, "KeyError"),
    }


@foreign
def test_every_architecture_has_a_row_whatever_becomes_of_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tried(entry: Entry) -> Row:
        if entry.model == "exits":
            os._exit(7)
        if entry.model == "hangs":
            time.sleep(60)
        while entry.model == "computes":
            pass
        return Row(entry.name, AGREES)

    monkeypatch.setattr(zoo_sweep, "try_architecture", tried)
    monkeypatch.setattr(zoo_sweep, "HANG_FACTOR", 4)
    names = ["hf:exits", "hf:hangs", "hf:computes", "hf:sound"]
    rows = {row.name: row for row in sweep(names, jobs=4, limit_s=1)}
    assert set(rows) == set(names)
    assert rows["hf:sound"].verdict == AGREES
    assert (rows["hf:computes"].verdict, rows["hf:hangs"].verdict) == (LEFT_OUT, TRACEBACK)
    assert rows["hf:exits"].words == "its process ended with exit code 7"


def test_the_table_has_every_row_and_why_some_are_left_out() -> None:
    rows = [
        Row("timm:one", AGREES, blocks="2: a ... b", cosine_float64=0.99999),
        Row("timm:two", DISAGREES, "a | b\nc"),
        Row("timm:big", LEFT_OUT, "412 M parameters"),
    ]
    lines = report_lines(rows, planned=5, limit_s=60)
    assert lines[0] == "3 of 5 architectures: 1 agrees, 1 DISAGREES, 1 left out."
    table = [line for line in lines if line.startswith("| timm:")]
    assert [line.split(" | ")[0] for line in table] == ["| timm:two", "| timm:one", "| timm:big"]
    assert "a \\| b c" in table[0]
    assert "412 M parameters" in table[2]
