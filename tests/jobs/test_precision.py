"""A scan in bfloat16: where it may be, it is; where it may not, the graph says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from depara import open_scan
from depara.store.graphs import read_marker
from depara.store.scans import read_manifest
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny

MODELS = [
    tiny("first", 0),
    tiny("second", 1),
    {**tiny("cancels", 2), "source": "python:tests.jobs.zoo:Cancels"},
    {**tiny("strict", 3), "source": "python:tests.jobs.zoo:NeedsFloat32"},
]
SCORES = ["node_similarity", "edge_similarity"]


def scan(output: str, photos: Path, precision: str, **compute: Any) -> Any:
    sizes = {"memory": "256MiB", "unit_probes": 7, "precision": precision, **compute}
    summary = scan_inline(output, photos, MODELS, compute=sizes)
    assert summary.failures == ()
    return summary


@pytest.fixture(scope="module")
def output(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One output with a scan in fp32 and, after it, one in bf16."""
    place = str(tmp_path_factory.mktemp("precision") / "out")
    scan(place, photos, "fp32")
    scan(place, photos, "bf16")
    return place


def found(output: str, name: str, night: int = -1) -> pd.DataFrame:
    ids = [row["scan_id"] for row in _scans(output)]
    return open_scan(output, ids[night]).table(name)


def _scans(output: str) -> list[dict[str, Any]]:
    from depara import list_scans

    return list_scans(output).sort_values("sequence").to_dict("records")


def test_each_layer_says_what_it_was_computed_in(output: str) -> None:
    layers = found(output, "layers").set_index(["model_id", "layer"])["precision"]
    assert set(found(output, "layers", 0)["precision"]) == {"fp32"}
    assert layers["first"].to_dict() == {"block1": "bf16", "block2": "bf16", "code": "bf16"}
    assert layers["cancels"].to_dict() == {"block1": "bf16", "block2": "bf16", "code": "fp32"}
    assert set(layers["strict"]) == {"fp32"}


def test_it_says_why(output: str) -> None:
    notes = found(output, "notes")
    notes = notes[notes["kind"] == "precision"].set_index("model_id")
    assert set(notes.index) == {"cancels", "strict"}
    assert notes.loc["cancels", "layer"] == "code"
    assert "rank correlation of the edges" in notes.loc["cancels", "message"]
    assert pd.isna(notes.loc["strict", "layer"]), "the whole model"
    assert "cannot be run in bf16 (ModelError" in notes.loc["strict", "message"]


def test_the_manifest_counts_them_and_markers_hold_what_was_measured(output: str) -> None:
    storage, scans = Storage(output), _scans(output)
    counts = [read_manifest(storage, one["scan_id"])["precision"] for one in scans]
    assert counts == [{"fp32": 12}, {"bf16": 8, "fp32": 4}]
    keys = found(output, "layers").set_index(["model_id", "layer"])["graph_key"]
    code, block = (read_marker(storage, keys["cancels", name]) for name in ("code", "block1"))
    assert code is not None
    assert block is not None
    assert code.settings["precision"] == block.settings["precision"] == "bf16"
    assert code.precision is not None
    assert block.precision is not None
    assert (code.computed_in, block.computed_in) == ("fp32", "bf16")
    assert code.precision["edge_correlation"] < 0.9 < 0.99 < block.precision["edge_correlation"]
    old = read_marker(storage, found(output, "layers", 0)["graph_key"][0])
    assert old is not None
    assert old.precision is None
    assert b'"precision": null' not in storage.read(f"graphs/{_place(old.graph_key)}/graph.json")


def _place(key: str) -> str:
    return f"{key[:2]}/{key}"


def test_the_numbers_are_those_of_fp32_within_the_limits(output: str) -> None:
    one, other = found(output, "similarity"), found(output, "similarity", 0)
    assert set(found(output, "layers")["graph_key"]).isdisjoint(
        found(output, "layers", 0)["graph_key"]
    )
    pd.testing.assert_frame_equal(one[SCORES], other[SCORES], atol=0.03, rtol=0)
    assert (one[SCORES] - other[SCORES]).abs().to_numpy().max() > 1e-5


def test_a_layer_of_fp32_has_the_numbers_of_fp32(output: str, photos: Path, tmp_path: Path) -> None:
    """What falls back is computed as if it had been asked for, with its features."""
    storage = Storage(output)
    keys = [found(output, "layers", night).set_index(["model_id", "layer"]) for night in (-1, 0)]
    from depara.store.graphs import open_graph

    for graph in (("cancels", "code"), ("strict", "block2")):
        one, other = (open_graph(storage, table.loc[graph, "graph_key"]) for table in keys)
        assert (one.read_edges() == other.read_edges()).all()
        for probes in one.marker.ranges:
            assert (one.read_maps(probes) == other.read_maps(probes)).all()


def test_auto_on_a_cpu_is_one_of_both_and_has_keys_of_its_own(photos: Path, tmp_path: Path) -> None:
    scan(str(tmp_path), photos, "auto")
    assert set(found(str(tmp_path), "layers")["precision"]) <= {"fp32", "bf16"}


def test_units_that_are_too_small_to_compare_are_fp32(photos: Path, tmp_path: Path) -> None:
    scan(str(tmp_path), photos, "bf16", unit_probes=2)
    assert set(found(str(tmp_path), "layers")["precision"]) == {"fp32"}
    assert found(str(tmp_path), "notes")["message"].str.contains("too few to compare").any()
