"""One graph whose numbers cannot be compared costs itself at most, never the comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from depara import open_scan
from depara.grams import GraphGrams
from depara.store import graphs as graphs_module
from depara.store.artifacts import encode_edges, encode_grams
from depara.store.graphs import GraphWriter
from depara.store.layout import EDGES_FILE, GRAMS_FILE, MARKER_FILE, graph_folder
from depara.store.markers import GraphMarker
from tests.jobs.inline import scan_inline, tiny
from tests.oracle.grams import grams_of

MODELS = [tiny("a", 0), tiny("b", 1)]
COUNT = 12


def night(folder: Path, photos: Path, models: list[dict[str, object]]) -> tuple[object, list[str]]:
    notes: list[str] = []
    summary = scan_inline(str(folder), photos, models, uncertainty={"resamples": 0}, notes=notes)
    return summary, notes


def key_of(folder: Path, model: str, layer: str = "code") -> str:
    layers = open_scan(str(folder)).table("layers")
    rows = layers[(layers["model_id"] == model) & (layers["layer"] == layer)]
    return str(rows["graph_key"].iloc[0])


def write_over(folder: Path, key: str, name: str, data: bytes) -> None:
    """Puts another file into a committed graph, with its marker vouching for it."""
    graph = folder / graph_folder(key)
    (graph / name).write_bytes(data)
    marker = GraphMarker.decode((graph / MARKER_FILE).read_bytes(), MARKER_FILE)
    rows = pq.read_metadata(graph / name).num_rows
    marker.files[name] = graphs_module.FileFact(len(data), graphs_module.sha256_hex(data), rows)
    (graph / MARKER_FILE).write_bytes(marker.encode())


def zero_grams() -> GraphGrams:
    return grams_of(np.zeros((COUNT, 4)))


def faint_grams(key: str) -> bytes:
    """As an older version wrote them of features of 1e-26: their squares are lost."""
    return encode_grams(key, zero_grams())


def broken_edges(key: str) -> bytes:
    pairs = tuple(index.astype(np.int32) for index in np.triu_indices(COUNT, k=1))
    return encode_edges(key, pairs, np.full(len(pairs[0]), np.nan, np.float32))


def columns_of_another_version(key: str) -> bytes:
    return graphs_module.encode_features(key, zero_grams())


@pytest.mark.parametrize(
    ("name", "make"),
    [
        (GRAMS_FILE, faint_grams),
        (EDGES_FILE, broken_edges),
        (GRAMS_FILE, columns_of_another_version),
    ],
)
def test_an_old_graph_that_cannot_be_compared_is_computed_anew(
    name: str, make: Callable[[str], bytes], photos: Path, tmp_path: Path
) -> None:
    night(tmp_path / "other", photos, [*MODELS, tiny("c", 2)])
    night(tmp_path / "out", photos, MODELS)
    key = key_of(tmp_path / "out", "a")
    write_over(tmp_path / "out", key, name, make(key))
    summary, notes = night(tmp_path / "out", photos, [*MODELS, tiny("c", 2)])
    assert summary.failures == ()
    assert any("model 'a', layer 'code'" in note for note in notes)
    found, expected = (
        open_scan(str(tmp_path / folder)).table("similarity") for folder in ("out", "other")
    )
    for column in ("node_similarity", "edge_similarity", "cka"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-6)


def test_one_that_stays_so_costs_its_model_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_grams = GraphWriter.write_grams

    def spoilt(writer: GraphWriter, grams: GraphGrams) -> None:
        grams.raw_NN[:] *= 0.0 if writer.key in bad else 1.0
        write_grams(writer, grams)

    night(tmp_path / "sound", photos, [*MODELS, tiny("c", 2)])
    bad = {key_of(tmp_path / "sound", "a"), key_of(tmp_path / "sound", "b", "block1")}
    monkeypatch.setattr(GraphWriter, "write_grams", spoilt)
    models = [*MODELS, tiny("c", 2), tiny("d", 3)]
    summary, _ = night(tmp_path / "out", photos, models)
    assert [(f.model_id, f.stage, f.layer) for f in summary.failures] == [
        ("a", "reduce", "code"),
        ("b", "reduce", "block1"),
    ]
    assert "which no features have" in summary.failures[0].message
    ranking = open_scan(str(tmp_path / "out")).table("model_ranking")
    assert set(ranking["source_model"]) == {"c", "d"}
