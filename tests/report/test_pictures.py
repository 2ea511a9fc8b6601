"""Pictures of a report: which models, what they take, and what is said where there are none."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from depara.report.columns import column_values
from depara.report.pictures import make_gallery
from depara.results import open_scan
from tests.report.conftest import Made


def test_each_model_has_a_strip_and_a_graph(scan_folder: str) -> None:
    scan = open_scan(scan_folder)
    gallery = make_gallery(scan, ["b", "a", "c"], None)
    assert gallery.models == ("b", "a", "c")
    tree = gallery.record({"a": 0, "b": 1, "c": 2})
    assert tree is not None
    assert tree["models"] == [1, 0, 2]
    strip = Image.open(io.BytesIO(base64.b64decode(tree["strips"][0])))
    assert (strip.format, strip.size) == ("WEBP", (len(tree["names"]) * tree["tile"], tree["tile"]))
    assert all(name.endswith(("label discs", "label squares")) for name in tree["names"])
    graphs = tree["graphs"]
    n, e = graphs["num_probes"], graphs["num_edges"]
    assert column_values(graphs["places"]).shape == (3 * n * 2,)
    pairs = column_values(graphs["pairs"]).astype(int).reshape(3, e, 2)
    cosines = column_values(graphs["cosines"]).reshape(3, e)
    edges = scan.edges("a")
    np.testing.assert_allclose(cosines[1], edges[pairs[1, :, 0], pairs[1, :, 1]], atol=1e-3)
    upper = edges[:n, :n][np.triu_indices(n, 1)]
    np.testing.assert_allclose(cosines[1].min(), np.sort(upper)[-e], atol=1e-3)
    assert gallery.num_bytes > len(tree["strips"][0])


def test_as_many_as_asked_and_none_at_all(scan_folder: str) -> None:
    scan = open_scan(scan_folder)
    assert make_gallery(scan, ["a", "b", "c"], 2).models == ("a", "c")
    none = make_gallery(scan, ["a", "b", "c"], 0)
    assert (none.record({}), none.num_bytes, none.reason) == (None, 0, "left out as asked")


def test_graphs_that_are_gone_are_a_reason(scan_folder: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(scan_folder, output)
    shutil.rmtree(output / "graphs")
    gallery = make_gallery(open_scan(str(output)), ["a", "b"], None)
    assert gallery.models == ()
    assert gallery.reason
    assert "is not committed" in gallery.reason


def test_a_scan_without_graphs_still_has_a_report(made: Callable[[int], Made]) -> None:
    assert "No pictures:" in made(10).html
