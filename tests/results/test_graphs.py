"""Maps, edges and canvases of a finished scan, beside the files and tables they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from depara import Scan, open_scan
from depara.errors import ConfigError, StoreError
from depara.identity import pixels_id
from depara.results.graphs import map_cosines, read_map_cosines
from depara.store.layout import graph_folder
from depara.store.storage import Storage


@pytest.fixture(scope="module")
def scan(scan_folder: str) -> Scan:
    return open_scan(scan_folder)


def test_maps_are_those_of_the_node_files_over_several_ranges(scan: Scan) -> None:
    folder = Path(scan.output, graph_folder(scan.graph_key("b", "block1")))
    files = [pq.read_table(path).to_pandas() for path in sorted(folder.glob("nodes-*.parquet"))]
    assert len(files) > 1
    rows = [row for file in files for row in file.itertuples()]
    maps = scan.attributions("b", "block1")
    assert maps.dtype == np.float32
    assert maps.shape == (24, 32, 32)
    np.testing.assert_array_equal(maps.reshape(24, -1), np.stack([row.map for row in rows]))
    np.testing.assert_allclose(np.linalg.norm(maps, axis=(1, 2)), 1, atol=1e-3)
    scaled = scan.attributions("b", "block1", [23, 0], scaled=True)
    for place, index in enumerate((23, 0)):
        expected = maps[index] * np.float32(rows[index].norm)
        np.testing.assert_array_equal(scaled[place], expected)
        probe = scan.probes()[index]
        found = scan.attribution("b", "block1", probe.probe_id, scaled=True)
        np.testing.assert_array_equal(found, expected)


def test_the_mean_cosine_of_the_maps_is_node_similarity(scan: Scan) -> None:
    table = scan.rank_models("a").set_index("source_model")["node_similarity"]
    own = scan.attributions("a")
    for source in ("b", "c"):
        cosines = map_cosines(own, scan.attributions(source))
        np.testing.assert_allclose(cosines.mean(), table[source], atol=1e-6)
        keys = [scan.graph_key(model) for model in ("a", source)]
        np.testing.assert_array_equal(read_map_cosines(Storage(scan.output), *keys), cosines)


def test_edges_are_a_matrix_of_cosines(scan: Scan) -> None:
    edges = scan.edges("a")
    assert edges.dtype == np.float32
    assert edges.shape == (24, 24)
    np.testing.assert_array_equal(edges, edges.T)
    np.testing.assert_array_equal(np.diag(edges), 1)
    path = Path(scan.output, graph_folder(scan.graph_key("a", "code")), "edges.parquet")
    for row in pq.read_table(path).slice(100, 3).to_pylist():
        assert edges[row["probe_a"], row["probe_b"]] == np.float32(row["cosine"])


def test_canvases_are_the_pixels_that_the_ids_stand_for(scan: Scan) -> None:
    canvases = scan.canvases([5, 2, 5])
    assert canvases.shape == (3, 32, 32, 3)
    for canvas, index in zip(canvases, (5, 2, 5), strict=True):
        pixels = np.ascontiguousarray(canvas)
        assert pixels_id(pixels.data, pixels.shape) == scan.probe(index).probe_id
    assert len(scan.canvases()) == 24
    np.testing.assert_array_equal(scan.canvas(2), canvases[1])
    assert scan.canvases([]).shape == (0, 32, 32, 3)


def test_layers_come_by_depth_and_the_output_stands_for_the_model(scan: Scan) -> None:
    assert scan.layers("a") == ["block1", "block2", "code"]
    assert scan.output_layer("a") == "code"
    assert scan.graph_key("a") == scan.graph_key("a", "code")
    assert [probe.index for probe in scan.probes()] == list(range(24))


def test_wrong_names_are_answered_with_near_ones(scan: Scan) -> None:
    with pytest.raises(ConfigError, match=r"no layer 'block3' .* did you mean 'block[12]'"):
        scan.attribution("a", "block3", 0)
    with pytest.raises(ConfigError, match=r"no layer 'zzz' .* it has block1, block2, code"):
        scan.edges("a", "zzz")
    for ask in (scan.layers, scan.output_layer, scan.edges, scan.attributions):
        with pytest.raises(ConfigError, match="has no model 'zz'; it has a, b, c"):
            ask("zz")
    with pytest.raises(ConfigError, match="no probe of index 24"):
        scan.attribution("a", None, 24)


def test_what_is_damaged_or_gone_is_named_and_stays(scan: Scan, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(scan.output, output)
    broken = open_scan(str(output))
    node_file = next((output / graph_folder(broken.graph_key("a"))).glob("nodes-*"))
    node_file.write_bytes(node_file.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=r"checksum.*model 'a', layer 'code'.*scan again"):
        broken.attributions("a")
    canvases = next((output / "canvases").glob("*"))
    canvases.write_bytes(b"x")
    with pytest.raises(StoreError, match="scan again"):
        broken.canvases()
    assert canvases.exists()
    canvases.unlink()
    with pytest.raises(StoreError, match="is missing: scan again"):
        broken.canvas(0)
    shutil.rmtree(output / graph_folder(broken.graph_key("b")))
    with pytest.raises(StoreError, match=r"not committed.*scan again"):
        broken.edges("b")
