"""Whole scans with gradient fields: several maps in a node, everywhere that a node goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from depara import Scan, open_scan
from depara.maintenance.verify import verify_output
from depara.pictures.attributions import attribution_picture
from depara.results.graphs import read_map_cosines
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny

FIELD = {"method": "gradient_field", "steps": 6, "points": 4, "map_side": 8}
PATH = {"method": "integrated_gradients", "steps": 6, "map_side": 8}
MODELS = [tiny("a", 0), tiny("b", 1), tiny("c", 2)]
KEYS = ["source_model", "source_layer", "target_model", "target_layer"]


def scanned(folder: Path, photos: Path, attribution: dict[str, Any], **sections: Any) -> Scan:
    summary = scan_inline(str(folder), photos, MODELS, attribution=attribution, **sections)
    assert summary.failures == ()
    return open_scan(str(folder))


@pytest.fixture(scope="module")
def field(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return scanned(tmp_path_factory.mktemp("field"), photos, FIELD)


@pytest.fixture(scope="module")
def path(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return scanned(tmp_path_factory.mktemp("path"), photos, PATH)


def test_a_node_file_holds_all_maps_and_each_has_its_share_of_the_norm(field: Scan) -> None:
    graph = open_graph(Storage(field.output), field.graph_key("a"))
    assert graph.marker.num_pixels == 4 * 8 * 8
    for probes in graph.marker.ranges:
        nodes_nKP = graph.read_maps(probes).astype(np.float64).reshape(len(probes), 4, -1)
        np.testing.assert_allclose(np.linalg.norm(nodes_nKP, axis=2), 0.5, atol=1e-3)


def test_node_similarity_is_the_mean_cosine_over_places_and_probes(field: Scan) -> None:
    similarity = field.table("similarity").set_index(KEYS)["node_similarity"]
    storage, keys = Storage(field.output), {name: field.graph_key(name) for name in "abc"}
    nodes = {}
    for name, key in keys.items():
        graph = open_graph(storage, key)
        rows = [graph.read_maps(probes) for probes in graph.marker.ranges]
        nodes[name] = np.concatenate(rows).astype(np.float64).reshape(12, 4, -1)
    for source, target in (("a", "b"), ("b", "c"), ("c", "c")):
        dots_NK = (nodes[source] * nodes[target]).sum(axis=2)
        norms = [np.linalg.norm(nodes[name], axis=2) for name in (source, target)]
        expected_NK = dots_NK / (norms[0] * norms[1])
        found = similarity.loc[(source, "code", target, "code")]
        assert found == pytest.approx(expected_NK.mean(), abs=1e-3)
        shown = read_map_cosines(storage, keys[source], keys[target])
        np.testing.assert_allclose(shown, expected_NK.mean(axis=1), atol=1e-3)


def test_the_map_shown_is_the_last_one_that_of_integrated_gradients(
    field: Scan, path: Scan
) -> None:
    for scaled in (False, True):
        last, plain = (scan.attributions("b", scaled=scaled) for scan in (field, path))
        assert last.shape == plain.shape == (12, 8, 8)
        np.testing.assert_allclose(last, plain, rtol=1e-3, atol=1e-6)
    picture = attribution_picture(field, "a", against="b", count=3)
    assert picture.method == "gradient_field of the layer's l2norm, the last of 4 maps"
    assert picture.maps_SnMM[0].shape == (3, 8, 8)
    similarity = field.table("similarity").set_index(KEYS)["node_similarity"]
    value = similarity.loc[("a", "code", "b", "code")]
    assert picture.node_similarity == pytest.approx(value, abs=1e-4)
    picture.figure()


def test_one_point_ranks_as_integrated_gradients_do(
    photos: Path, tmp_path: Path, path: Scan
) -> None:
    single = scanned(tmp_path, photos, {**FIELD, "points": 1})
    found, expected = (scan.table("similarity") for scan in (single, path))
    pd.testing.assert_frame_equal(found, expected)


def test_ranges_and_batches_do_not_change_a_field(
    photos: Path, tmp_path: Path, field: Scan
) -> None:
    compute = {"memory": "256MiB", "unit_probes": 3, "batch_size": 2}
    other = scanned(tmp_path, photos, FIELD, compute=compute)
    found, expected = (scan.table("similarity") for scan in (other, field))
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)


def test_a_query_intervals_and_verify_take_a_field_as_any_node(
    photos: Path, tmp_path: Path, field: Scan
) -> None:
    uncertainty = {"resamples": 100, "time_share": 10}
    scan_inline(str(tmp_path), photos, MODELS[:2], attribution=FIELD, uncertainty=uncertainty)
    scan = open_scan(str(tmp_path))
    rows = scan.query(tiny("c", 2, layers=["block?", "code"])).table("similarity").set_index(KEYS)
    whole = field.table("similarity").set_index(KEYS)
    pair = ("a", "code", "c", "code")
    for column in ("node_similarity", "similarity"):
        assert rows.loc[pair, column] == pytest.approx(whole.loc[pair, column], abs=1e-5)
    intervals = scan.table("uncertainty").set_index("score").loc["node_similarity"]
    assert (intervals["high"] >= intervals["low"]).all()
    assert scan.table("similarity")["node_centred"].between(-1.001, 1.001).all()
    assert verify_output(Storage(scan.output)).is_sound
