"""Searches of a small scan: exact numbers are the scan's own, estimates are as near as they say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from depara import open_scan
from depara.errors import ConfigError, StoreError
from depara.maintenance import verify_output
from depara.nearest import search
from depara.scan import Scan
from depara.store.artifact_schemas import SKETCH
from depara.store.layout import graph_folder, sketch_path
from depara.store.sketches import ROW_CELLS, Cells, GraphSketch, decode_sketch, encode_sketch
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny
from tests.maintenance.outputs import flip

SCORES = ["similarity", "node_similarity", "edge_similarity", "directed"]
KEYS = ["source_model", "source_layer"]


def make(folder: Path, photos: Path, **sections: Any) -> Path:
    models = [tiny(name, seed) for seed, name in enumerate("abcd")]
    scan_inline(str(folder), photos, models, nulls=1, **sections)
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan of every two graphs, and of random twins. Never written."""
    folder = tmp_path_factory.mktemp("nearest") / "out"
    return make(folder, photos, similarity={"pairs": "all"})


@pytest.fixture
def output(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def table_for(scan: Scan, model: str, layer: str) -> pd.DataFrame:
    """The scan's own pairs with a graph, of other models that are no twins."""
    table = scan.table("similarity")
    models = scan.table("models").set_index("model_id")
    table = table[(table["target_model"] == model) & (table["target_layer"] == layer)]
    table = table[table["source_model"] != model]
    chosen = table[models.loc[table["source_model"], "null_of"].isna().to_numpy()]
    assert isinstance(chosen, pd.DataFrame)
    return chosen


@pytest.mark.parametrize("layer", [None, "block1"])
def test_exact_numbers_are_those_of_the_table(output: Path, layer: str | None) -> None:
    scan = open_scan(str(output))
    due = table_for(scan, "a", layer or scan.output_layer("a")).set_index(KEYS)
    found = scan.nearest("a", layer=layer, top=100)
    rows = found.rows.set_index(KEYS)
    assert len(rows) == len(due) == found.num_graphs == found.num_compared
    np.testing.assert_allclose(
        rows[SCORES].to_numpy(float), due.loc[rows.index, SCORES].to_numpy(float), atol=2e-7
    )
    assert rows["similarity"].is_monotonic_decreasing
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    assert not found.left_out
    assert found.missed == 0


def test_estimates_are_as_near_as_they_say(output: Path) -> None:
    scan = open_scan(str(output))
    found = [scan.nearest(name, top=100) for name in "abcd"]
    rows = pd.concat([one.rows for one in found])
    off = (rows["estimate"] - rows["similarity"]) / rows["deviation"]
    assert off.abs().max() < 4.5
    assert 0.1 < np.sqrt((off**2).mean()) < 1.3
    assert all(one.error is not None for one in found)
    guessed = scan.nearest("a", top=100, exact=False)
    assert guessed.rows[SCORES].isna().all(axis=None)
    same = guessed.rows.set_index(KEYS)["estimate"]
    exact = found[0].rows.set_index(KEYS)["estimate"]
    pd.testing.assert_series_equal(same.sort_index(), exact.sort_index())
    assert same.is_monotonic_decreasing
    assert (guessed.error, guessed.num_compared) == (None, 0)


def test_sketches_are_made_once_and_then_no_graph_is_read(output: Path) -> None:
    scan = open_scan(str(output))
    first = scan.nearest("a", exact=False)
    assert first.num_made == len(list(output.rglob("sketch.parquet"))) > first.num_graphs
    for path in output.glob("graphs/*/*/*.parquet"):
        if path.name != "sketch.parquet":
            path.unlink()
    again = scan.nearest("a", exact=False)
    assert again.num_made == 0
    pd.testing.assert_frame_equal(first.rows, again.rows)


def test_the_first_cut_and_the_short_list_choose(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = open_scan(str(output))
    whole = scan.nearest("a", top=100)
    assert whole.num_graphs > 6
    for name, value in (("FIRST_CUT", 6), ("SHORT_LIST", 3)):
        monkeypatch.setattr(search, name, value)
    monkeypatch.setattr(search, "_ESTIMATED_PER_ROW", 1)
    monkeypatch.setattr(search, "_COMPARED_PER_ROW", 1)
    found = scan.nearest("a", top=2)
    assert (found.num_estimated, found.num_compared, len(found.rows)) == (6, 3, 2)
    assert found.num_graphs == whole.num_graphs
    assert found.missed > 0
    assert any("missing" in line for line in found.lines)
    rows = whole.rows.set_index(KEYS)
    picked = found.rows.set_index(KEYS)
    columns = [*SCORES, "estimate", "deviation"]
    pd.testing.assert_frame_equal(picked[columns], rows.loc[picked.index, columns])


def test_a_graph_of_another_scan_of_the_files_has_another_sketch(output: Path) -> None:
    scan = open_scan(str(output))
    scan.nearest("a", exact=False)
    key = scan.graph_key("b")
    path, marker = output / sketch_path(key), output / graph_folder(key) / "graph.json"
    before = path.read_bytes()
    sketch, said = decode_sketch(before, key, "sketch")
    assert sketch.maps.values.shape == (12, ROW_CELLS)
    assert set(sketch.errors) == {"node", "edge", "directed"}
    assert all(abs(error) < 0.2 for error in sketch.errors.values())
    path.write_bytes(before.replace(said["graph_files"].encode(), b"0" * 32))
    assert scan.nearest("a", exact=False).num_made == 1
    assert path.read_bytes() == before
    assert marker.exists()


def test_a_damaged_sketch_is_made_anew_and_verify_takes_it_alone(output: Path) -> None:
    scan = open_scan(str(output))
    first = scan.nearest("a")
    storage = Storage(str(output))
    assert verify_output(storage).is_sound
    path = output / sketch_path(scan.graph_key("b"))
    flip(path)
    (problem,) = verify_output(storage).problems
    assert str(path) in str(problem)
    assert "model 'b'" in str(problem)
    assert "depara nearest" in str(problem)
    again = scan.nearest("a")
    assert again.num_made == 1
    pd.testing.assert_frame_equal(first.rows, again.rows)
    path.write_bytes(b"")
    assert not verify_output(storage, fast=True).is_sound
    verify_output(storage, discard=True)
    assert not path.exists()
    assert verify_output(storage).is_sound
    assert scan.nearest("a").num_made == 1


def test_a_damaged_graph_is_left_out_and_said(output: Path) -> None:
    scan = open_scan(str(output))
    shutil.rmtree(output / graph_folder(scan.graph_key("b")))
    found = scan.nearest("a", top=100)
    assert len(found.left_out) == 1
    assert "model 'b'" in found.left_out[0]
    assert not ((found.rows["source_model"] == "b") & (found.rows["source_layer"] == "code")).any()
    with pytest.raises(StoreError, match="not committed"):
        scan.nearest("b")


def test_who_may_not_write_searches_too(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Storage, path: str, data: bytes) -> None:
        raise StoreError(f"cannot write {path}: access denied")

    monkeypatch.setattr(Storage, "replace", refuse)
    found = open_scan(str(output)).nearest("a")
    assert not list(output.rglob("sketch.parquet"))
    assert any("not kept" in line and "access denied" in line for line in found.lines)
    monkeypatch.undo()
    again = open_scan(str(output)).nearest("a")
    assert not any("not kept" in line for line in again.lines)
    pd.testing.assert_frame_equal(found.rows, again.rows)


def test_mistakes_are_said(output: Path, photos: Path, tmp_path: Path) -> None:
    scan = open_scan(str(output))
    with pytest.raises(ConfigError, match="no model 'aa'"):
        scan.nearest("aa")
    with pytest.raises(ConfigError, match="block1"):
        scan.nearest("a", layer="blok1")
    other = make(tmp_path / "gulp", photos, similarity={"terms": {"node": 1, "gulp": 1}})
    with pytest.raises(ConfigError, match="has the term 'gulp'"):
        open_scan(str(other)).nearest("a")


def test_a_sketch_of_a_thousand_probes_takes_less_than_half_a_megabyte(output: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {"maps": 1000, "edge": 64, "directed_source": 64, "directed_target": 64}
    maps, *vectors = (Cells.of(rng.normal(size=(count, ROW_CELLS))) for count in rows.values())
    names = [name for name in rows if name != "maps"]
    sketch = GraphSketch(
        maps, dict(zip(names, vectors, strict=True)), dict.fromkeys(names, 1.0), {}
    )
    scan = open_scan(str(output))
    from depara.store.graphs import open_graph

    marker = open_graph(Storage(str(output)), scan.graph_key("a")).marker
    data = encode_sketch(marker, sketch)
    assert len(data) < 350_000
    read, said = decode_sketch(data, marker.graph_key, "sketch")
    np.testing.assert_array_equal(read.maps.values, maps.values)
    for name, cells in sketch.vectors.items():
        np.testing.assert_array_equal(read.vectors[name].values, cells.values)
        np.testing.assert_array_equal(read.vectors[name].scales, cells.scales)
    assert said["graph_key"] == marker.graph_key
    assert SKETCH.names == ["part", "row", "scale", "values"]
