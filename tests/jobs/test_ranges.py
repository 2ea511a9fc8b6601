"""Every column of every table keeps to the range that its description states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from depara import open_scan
from depara.catalog import LABEL_SCORES
from depara.store.schemas import TABLES
from tests.golden.make import draw
from tests.jobs.inline import scan_inline, tiny

RANGE = re.compile(r"(-?\d+) to (-?\d+)\b")
EXACT = {"node_similarity": 1e-4, "edge_similarity": 1e-6}


def odd(name: str, source: str, **fields: Any) -> dict[str, Any]:
    return tiny(name, 0) | {"source": f"python:tests.jobs.zoo:{source}"} | fields


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("ranges")
    models = [
        *(tiny(f"m{seed}", seed) for seed in range(4)),
        odd("again", "Tiny", input={"side": 32}),
        odd("head", "Classifier", layers=["block1", "code"]),
        odd("dead", "Dead", layers=["block1", "output"]),
        odd("flat", "Flat", layers="output"),
        odd("faint", "Scaled", kwargs={"factor": 1e-26}, layers=["block2", "output"]),
        odd("loud", "Scaled", kwargs={"factor": 1e20}, layers="output"),
    ]
    photos = draw(folder / "probes", 24)
    summary = scan_inline(
        str(folder / "out"),
        photos,
        models,
        probes={"source": str(photos), "count": 24},
        similarity={"pairs": "all"},
        uncertainty={"resamples": 100},
        nulls=1,
        labels=True,
    )
    assert summary.failures == ()
    return open_scan(str(folder / "out"))


RANGED = [
    (table, field.name, RANGE.search(field.metadata[b"description"].decode()))
    for table, schema in TABLES.items()
    for field in schema
    if RANGE.search((field.metadata or {}).get(b"description", b"").decode())
]


@pytest.mark.parametrize(("table", "column", "found"), RANGED)
def test_a_column_keeps_its_documented_range(
    scan: Any, table: str, column: str, found: re.Match[str]
) -> None:
    values = scan.table(table)[column].dropna()
    assert len(values) > 0
    assert values.between(float(found[1]), float(found[2])).all(), (values.min(), values.max())


def test_there_are_ranges_to_keep() -> None:
    assert {(table, column) for table, column, _ in RANGED} >= {
        ("similarity", "node_similarity"),
        ("similarity", "rsa"),
        ("model_ranking", "edge_similarity"),
        ("rank_uncertainty", "p_first"),
        ("stability", "correlation"),
        ("layers", "depth_fraction"),
    }


def test_intervals_keep_to_the_range_of_their_score(scan: Any) -> None:
    rows = scan.table("uncertainty")
    whole = sum(scan.manifest["config"]["similarity"]["terms"].values())
    limit = rows["score"].map({"similarity": whole}).fillna(1.0)
    has_floor = rows["score"].isin(["node_similarity", "node_centred", "edge_similarity"])
    assert has_floor.any()
    for column in ("value", "low", "high"):
        assert (rows[column] <= limit).all(), column
        assert (rows[column][has_floor] >= -1).all(), column


def test_label_scores_keep_to_theirs(scan: Any) -> None:
    rows: pd.DataFrame = scan.table("label_scores").dropna(subset="value")
    for name, score in LABEL_SCORES.items():
        values = rows["value"][rows["score"] == name]
        assert len(values) > 0
        text = score.meaning
        if found := RANGE.search(text):
            assert values.between(float(found[1]), float(found[2])).all(), name
        if "0 to classes - 1" in text:
            assert values.between(0, 1).all(), name
        if "at most 0" in text or "minus the overlap" in text:
            assert (values <= 0).all(), name


def test_a_graph_is_like_itself_and_a_scale_changes_nothing(scan: Any) -> None:
    rows = scan.table("similarity").set_index(
        ["source_model", "source_layer", "target_model", "target_layer"]
    )
    for column, tolerance in EXACT.items():
        own = rows.loc[("m1", "block2", "m1", "block2"), column]
        assert own == pytest.approx(1, abs=tolerance)
        for other in ("faint", "loud"):
            alike = rows.loc[(other, "output", "m0", "code"), column]
            assert alike == pytest.approx(1, abs=tolerance), (other, column)


def test_what_says_little_is_marked(scan: Any) -> None:
    notes = scan.table("notes")
    marked = notes[notes["kind"] == "constant"]
    assert set(zip(marked["model_id"], marked["layer"], strict=True)) == {
        ("dead", "output"),
        ("flat", "output"),
        ("dead.null0", "output"),
        ("flat.null0", "output"),
    }
    conditioning = scan.table("layers").set_index(["model_id", "layer"])["conditioning"]
    assert pd.isna(conditioning["dead", "output"])
    assert conditioning["flat", "output"] == 0
    assert conditioning["faint", "output"] == pytest.approx(conditioning["m0", "code"], rel=1e-4)
