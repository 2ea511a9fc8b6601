"""`depara distance` and `depara relatedness` on whole scans, and why there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from depara.cli import app
from depara.domains import compare_sets, emd, pooled, read_sample, relate_sets, relatedness
from depara.errors import ConfigError
from depara.results import open_scan
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny
from tests.jobs.test_outputs import classifier


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_a_scan_keeps_the_features_of_its_output_layers(halves: tuple[str, str]) -> None:
    scan = open_scan(halves[0])
    for model in scan.models():
        graph = open_graph(Storage(halves[0]), scan.graph_key(model))
        vectors = graph.read_vectors()
        assert vectors is not None
        assert vectors.shape == (12, graph.marker.num_features)
        wide = vectors.astype(np.float64)
        np.testing.assert_allclose(graph.read_grams().raw_NN, wide @ wide.T, rtol=1e-5, atol=1e-6)
        earlier = open_graph(Storage(halves[0]), scan.graph_key(model, "block1"))
        assert earlier.read_vectors() is None


def test_distances_of_shared_models(halves: tuple[str, str]) -> None:
    scans = {name: open_scan(name) for name in halves}
    found = compare_sets(scans)
    assert list(found.frame["model_id"]) == ["a", "encoder"]
    assert set(found.left_out) == {"b"}
    assert "weights_sha256" in found.left_out["b"]
    one, other = (read_sample(scan, name, "a").vectors_ND for name, scan in scans.items())
    row = found.frame.set_index("model_id").loc["a"]
    assert row["emd"] == pytest.approx(emd(*pooled(one, other)))
    assert 0 < row["emd_chance"] < 2
    assert 0 < row["pge"] <= 2
    table = found.matrix("pge", "a")
    np.testing.assert_array_equal(np.diag(table), 0.0)
    assert table.loc[halves[0], halves[1]] == table.loc[halves[1], halves[0]] == row["pge"]
    with pytest.raises(ConfigError, match="a matrix is of one model, name it: a, encoder"):
        found.matrix("emd")
    with pytest.raises(ConfigError, match="no distance 'mmd' of probe sets: choose emd or"):
        found.matrix("mmd", "a")


def test_relatedness_of_shared_models(halves: tuple[str, str]) -> None:
    scans = {name: open_scan(name) for name in halves}
    found = relate_sets(scans)
    assert sorted(found.frame["model_id"]) == ["a", "encoder"]
    assert found.frame["bound"].is_monotonic_increasing
    source, target = (read_sample(scan, name, "a") for name, scan in scans.items())
    expected = relatedness(source.vectors_ND, source.classes, target.vectors_ND, target.classes)
    row = found.frame.set_index("model_id").loc["a"]
    assert row["bound"] == pytest.approx(expected.bound)
    assert row["matched"] == ", ".join(expected.matched)
    assert sorted(expected.matched) == ["discs", "squares"]


def test_the_commands_print_tables_csv_and_json(halves: tuple[str, str]) -> None:
    text = run("distance", *halves, "--model", "a")
    assert "emd_chance" in text
    assert "not compared" not in text
    assert "not compared (model 'b' does not have the same" in run("distance", *halves)
    record = json.loads(run("distance", *halves, "--json", "--model", "encoder"))
    assert record["sets"] == list(halves)
    assert [row["model_id"] for row in record["distances"]] == ["encoder"]
    table = json.loads(run("distance", *halves, "--model", "a", "--matrix", "emd", "--json"))
    assert table[halves[0]][halves[0]] == 0.0
    named = f"{halves[0]}#{open_scan(halves[0]).scan_id}"
    assert json.loads(run("distance", named, halves[1], "--model", "a", "--json"))["sets"] == [
        named,
        halves[1],
    ]
    lines = run("relatedness", *halves, "--model", "a", "--csv").splitlines()
    assert lines[0].startswith("model_id,bound,source_loss,label_entropy,transport,")
    assert len(lines) == 2


def test_mistakes_get_one_line(halves: tuple[str, str], scan_folder: str) -> None:
    one, other = halves
    for arguments, words in (
        (("distance", one, one), "is named twice"),
        (("distance", one), "name two different outputs"),
        (("distance", one, other, "--model", "b"), "does not have the same features"),
        (("distance", one, other, "--model", "x"), "has no model 'x'"),
        (("distance", one, other, "--matrix", "pge"), "a matrix is of one model"),
        (("distance", one, f"{other}#nope"), "no finished scan 'nope'"),
        (("distance", one, scan_folder, "--model", "a"), "keeps no features of model 'a'"),
        (("relatedness", one, other, "--csv", "--json"), "exclude each other"),
    ):
        text = run(*arguments, code=2)
        assert text.startswith("error: ")
        assert words in text
        assert len(text.splitlines()) == 1


def test_without_labels_there_are_distances_but_no_gradients(
    halves: tuple[str, str], photos: Path, tmp_path: Path
) -> None:
    probes = {"source": str(photos / "discs"), "count": 12}
    root = str(tmp_path / "discs")
    scan_inline(root, photos, [classifier("a", 1)], probes=probes, store_features=True)
    found = json.loads(run("distance", halves[0], root, "--json"))
    assert found["distances"][0]["pge"] is None
    assert found["distances"][0]["emd"] > 0
    text = run("relatedness", halves[0], root, code=2)
    assert f"the probes of {root} are not labelled with two classes" in text
    other = str(tmp_path / "other")
    scan_inline(other, photos, [tiny("z", 1)], store_features=True)
    assert "no model in common" in run("distance", root, other, code=2)


def test_graphs_made_without_features_say_so_and_fresh_ones_have_them(
    photos: Path, tmp_path: Path
) -> None:
    root = str(tmp_path)
    scan_inline(root, photos, [tiny("a", 0)])
    keys = open_scan(root).table("layers")["graph_key"].tolist()
    scan_inline(root, photos, [tiny("a", 0)], store_features=True)
    with pytest.raises(ConfigError, match=r"store_features: true, and --fresh"):
        read_sample(open_scan(root), "here", "a")
    scan_inline(root, photos, [tiny("a", 0)], store_features=True, fresh=True)
    assert read_sample(open_scan(root), "here", "a").vectors_ND.shape[0] == 12
    assert open_scan(root).table("layers")["graph_key"].tolist() == keys
