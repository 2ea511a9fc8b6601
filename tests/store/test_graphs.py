"""Graph artifacts: readable on their own, trusted only when committed, checked when read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.errors import DamagedGraphError, SchemaError, StoreError
from depara.graph import edge_index
from depara.identity import short_hash
from depara.store.artifacts import check_nodes, decode_maps, encode_nodes
from depara.store.graphs import (
    GraphWriter,
    committed_keys,
    discard_graph,
    open_graph,
    read_marker,
)
from depara.store.layout import graph_folder, objects_file
from depara.store.markers import GraphMarker
from depara.store.storage import Storage
from depara.types import NodeMaps, ProbeRange
from tests.oracle.grams import grams_of
from tests.oracle.similarity import unit_maps

KEY = short_hash("graph")
RANGES = (ProbeRange(0, 3), ProbeRange(3, 5))
NUM_PIXELS = 16
FEATURES_ND = np.random.default_rng(1).normal(size=(5, 7))
GRAMS = grams_of(FEATURES_ND)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


@pytest.fixture
def nodes() -> NodeMaps:
    maps_NP = np.random.default_rng(0).normal(size=(5, NUM_PIXELS))
    return NodeMaps(unit_maps(maps_NP), np.linalg.norm(maps_NP, axis=1).astype(np.float32))


def marker() -> GraphMarker:
    return GraphMarker(
        graph_key=KEY,
        model_id="m",
        layer="block",
        num_probes=5,
        num_pixels=NUM_PIXELS,
        num_features=7,
        probe_set="p",
        ranges=RANGES,
        files={},
        settings={"method_version": 1},
        seconds=1.5,
        peak_memory_bytes=10,
    )


def part(nodes: NodeMaps, probes: ProbeRange) -> NodeMaps:
    rows = slice(probes.start, probes.stop)
    return NodeMaps(nodes.maps_NP[rows], nodes.norms_N[rows])


def write_graph(storage: Storage, nodes: NodeMaps, cosine_E: np.ndarray) -> GraphWriter:
    writer = GraphWriter(storage, KEY)
    for probes in RANGES:
        ids = [f"id{index}" for index in range(probes.start, probes.stop)]
        writer.write_nodes(probes, ids, part(nodes, probes))
    writer.write_edges(edge_index(5), cosine_E.astype(np.float32))
    writer.write_grams(GRAMS)
    return writer


def test_what_is_committed_reads_back_exactly(storage: Storage, nodes: NodeMaps) -> None:
    cosine_E = np.linspace(-1, 1, 10, dtype=np.float32)
    writer = write_graph(storage, nodes, cosine_E)
    assert read_marker(storage, KEY) is None
    with pytest.raises(StoreError, match="not committed"):
        open_graph(storage, KEY)
    writer.commit(marker())
    graph = open_graph(storage, KEY)
    for probes in RANGES:
        np.testing.assert_array_equal(graph.read_maps(probes), part(nodes, probes).maps_NP)
    np.testing.assert_array_equal(graph.read_edges(), cosine_E)
    stored = graph.read_grams()
    assert stored.num_features == 7
    for name in ("raw_NN", "zscored_NN", "raw_sums_N", "zscored_sums_N"):
        np.testing.assert_allclose(getattr(stored, name), getattr(GRAMS, name), rtol=1e-15)
    assert graph.marker.seconds == 1.5
    assert committed_keys(storage, [KEY, "0" * 32]) == {KEY}


def test_a_models_return_value_is_optional_and_reads_back_exactly(
    storage: Storage, nodes: NodeMaps
) -> None:
    outputs_NC = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    writer = write_graph(storage, nodes, np.zeros(10))
    writer.write_outputs(outputs_NC)
    writer.commit(marker())
    graph = open_graph(storage, KEY)
    stored = graph.read_outputs()
    assert stored is not None
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, outputs_NC)
    path = Path(storage.location(graph_folder(KEY))) / "outputs.parquet"
    rows = duckdb.sql(f"select index, values[2] from '{path}' order by index").fetchall()
    np.testing.assert_allclose(np.array(rows), np.c_[range(5), outputs_NC[:, 1]])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedGraphError, match=r"outputs\.parquet does not match its checksum"):
        graph.read_outputs()
    discard_graph(storage, KEY)
    write_graph(storage, nodes, np.zeros(10)).commit(marker())
    assert open_graph(storage, KEY).read_outputs() is None


def test_features_are_optional_and_read_back_exactly(storage: Storage, nodes: NodeMaps) -> None:
    vectors_NC = np.random.default_rng(3).normal(size=(5, 7)).astype(np.float32)
    writer = write_graph(storage, nodes, np.zeros(10))
    writer.write_vectors(vectors_NC)
    writer.commit(marker())
    graph = open_graph(storage, KEY)
    np.testing.assert_array_equal(graph.read_vectors(), vectors_NC)
    assert graph.read_outputs() is None
    path = Path(storage.location(graph_folder(KEY))) / "vectors.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedGraphError, match=r"vectors\.parquet does not match its checksum"):
        graph.read_vectors()


def test_files_are_readable_on_their_own(storage: Storage, nodes: NodeMaps) -> None:
    write_graph(storage, nodes, np.zeros(10)).commit(marker())
    folder = Path(storage.location(graph_folder(KEY)))
    table = pq.read_table(folder / "nodes-000000-000003.parquet")
    assert table.schema.field("map").type == pa.list_(
        pa.field("element", pa.float16(), nullable=False), NUM_PIXELS
    )
    assert table.schema.metadata[b"graph_key"] == KEY.encode()
    assert table.schema.metadata[b"schema_version"] == b"1"
    norms = duckdb.sql(
        f"select list_sum([x * x for x in map]) from '{folder}/nodes-*.parquet'"
    ).fetchall()
    np.testing.assert_allclose(np.asarray(norms).ravel(), np.ones(5), atol=2e-3)
    edges = duckdb.sql(f"select probe_a, probe_b, cosine from '{folder}/edges.parquet'").fetchall()
    assert [row[:2] for row in edges[:5]] == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2)]


IDS = {RANGES[0]: ["id0", "id1", "id2"], RANGES[1]: ["id3", "id4"]}


def finish(writer: GraphWriter, nodes: NodeMaps) -> None:
    for probes in RANGES:
        if not writer.has_nodes(probes, IDS[probes], NUM_PIXELS):
            writer.write_nodes(probes, IDS[probes], part(nodes, probes))
    writer.write_edges(edge_index(5), np.zeros(10, np.float32))
    writer.write_grams(GRAMS)
    writer.commit(marker())


def test_node_files_of_a_dead_worker_are_found_and_vouched_for(
    storage: Storage, nodes: NodeMaps
) -> None:
    GraphWriter(storage, KEY).write_nodes(RANGES[0], IDS[RANGES[0]], part(nodes, RANGES[0]))
    second = GraphWriter(storage, KEY)
    assert second.has_nodes(RANGES[0], IDS[RANGES[0]], NUM_PIXELS)
    assert not second.has_nodes(RANGES[1], IDS[RANGES[1]], NUM_PIXELS)
    finish(second, nodes)
    graph = open_graph(storage, KEY)
    np.testing.assert_array_equal(graph.read_maps(RANGES[0]), part(nodes, RANGES[0]).maps_NP)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "other graph", "other probes"])
def test_a_leftover_that_is_not_sound_is_written_anew(
    storage: Storage, nodes: NodeMaps, damage: str
) -> None:
    probes = RANGES[0]
    GraphWriter(storage, KEY).write_nodes(probes, IDS[probes], part(nodes, probes))
    path = Path(storage.location(graph_folder(KEY)), "nodes-000000-000003.parquet")
    sound = path.read_bytes()
    data = bytearray(sound)
    if damage == "flip":
        data[len(data) // 2] ^= 1
    elif damage == "truncate":
        data = data[: len(data) // 2]
    elif damage == "empty":
        data = bytearray()
    elif damage == "other graph":
        data = bytearray(encode_nodes(short_hash("x"), probes, IDS[probes], part(nodes, probes)))
    else:
        data = bytearray(encode_nodes(KEY, probes, ["a", "b", "c"], part(nodes, probes)))
    path.write_bytes(data)
    writer = GraphWriter(storage, KEY)
    assert not writer.has_nodes(probes, IDS[probes], NUM_PIXELS)
    finish(writer, nodes)
    assert path.read_bytes() == sound
    np.testing.assert_array_equal(
        open_graph(storage, KEY).read_maps(probes), part(nodes, probes).maps_NP
    )


def test_every_flipped_byte_of_a_leftovers_values_is_found(
    storage: Storage, nodes: NodeMaps
) -> None:
    probes = RANGES[0]
    data = encode_nodes(KEY, probes, IDS[probes], part(nodes, probes))
    sound = decode_maps(data, "x")
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 4
        try:
            check_nodes(bytes(flipped), KEY, probes, IDS[probes], NUM_PIXELS, "x")
        except SchemaError:
            continue
        np.testing.assert_array_equal(decode_maps(bytes(flipped), "x"), sound, str(place))


def test_a_leftover_edge_file_is_adopted_when_sound_and_replaced_when_not(
    storage: Storage, nodes: NodeMaps
) -> None:
    GraphWriter(storage, KEY).write_edges(edge_index(5), np.full(10, 0.5, np.float32))
    finish(GraphWriter(storage, KEY), nodes)
    np.testing.assert_array_equal(open_graph(storage, KEY).read_edges(), 0.5)
    discard_graph(storage, KEY)
    assert storage.files(graph_folder(KEY)) == {}
    storage.create(f"{graph_folder(KEY)}/edges.parquet", b"PAR1")
    finish(GraphWriter(storage, KEY), nodes)
    np.testing.assert_array_equal(open_graph(storage, KEY).read_edges(), 0)


def test_a_writer_says_what_is_committed_and_discards_what_is_not_whole(
    storage: Storage, nodes: NodeMaps
) -> None:
    finish(GraphWriter(storage, KEY), nodes)
    assert GraphWriter(storage, KEY).is_committed
    folder = Path(storage.location(graph_folder(KEY)))
    (folder / "grams.parquet").unlink()
    assert committed_keys(storage, [KEY]) == set()
    writer = GraphWriter(storage, KEY)
    assert not writer.is_committed
    assert not (folder / "graph.json").exists()
    finish(writer, nodes)
    fresh = GraphWriter(storage, KEY, fresh=True)
    assert not fresh.is_committed
    assert storage.files(graph_folder(KEY)) == {}


def test_many_keys_are_looked_up_in_one_listing(
    storage: Storage, nodes: NodeMaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(GraphWriter(storage, KEY), nodes)
    monkeypatch.setattr(Storage, "files", lambda self, path: pytest.fail("a listing per graph"))
    keys = [short_hash(number) for number in range(50)]
    assert committed_keys(storage, [*keys, KEY]) == {KEY}


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
@pytest.mark.parametrize("file", ["edges.parquet", "nodes-000003-000005.parquet"])
def test_a_damaged_file_is_named(storage: Storage, nodes: NodeMaps, damage: str, file: str) -> None:
    write_graph(storage, nodes, np.zeros(10)).commit(marker())
    path = Path(storage.location(graph_folder(KEY)), file)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes(data[: len(data) // 2] if damage == "truncate" else data)
    if damage == "remove":
        path.unlink()
    graph = open_graph(storage, KEY)
    with pytest.raises(StoreError, match=file):
        graph.read_edges() if file.startswith("edges") else graph.read_maps(RANGES[1])


def test_a_graph_is_not_committed_when_a_node_file_is_gone(
    storage: Storage, nodes: NodeMaps
) -> None:
    writer = GraphWriter(storage, KEY)
    writer.write_nodes(RANGES[0], ["id0", "id1", "id2"], part(nodes, RANGES[0]))
    writer.write_edges(edge_index(5), np.zeros(10, np.float32))
    writer.write_grams(GRAMS)
    with pytest.raises(StoreError, match=r"nodes-000003-000005\.parquet is not written"):
        writer.commit(marker())
    assert read_marker(storage, KEY) is None


def test_a_marker_of_another_version_is_refused() -> None:
    tree = json.loads(marker().encode())
    with pytest.raises(SchemaError, match="schema version 99"):
        GraphMarker.decode(json.dumps({**tree, "schema_version": "99"}).encode(), "graph.json")
    with pytest.raises(SchemaError, match="no readable graph marker"):
        GraphMarker.decode(b"{", "graph.json")
    assert GraphMarker.decode(marker().encode(), "graph.json") == replace(marker())


def test_a_graph_without_a_file_that_is_asked_for_says_so(
    storage: Storage, nodes: NodeMaps
) -> None:
    write_graph(storage, nodes, np.zeros(10)).commit(marker())
    graph = open_graph(storage, KEY)
    del graph.marker.files["grams.parquet"]
    with pytest.raises(StoreError, match=r"grams\.parquet is not among .* scan again"):
        graph.read_grams()


def test_features_of_objects_lie_beside_a_graph_and_are_told_by_their_boxes(
    storage: Storage, nodes: NodeMaps
) -> None:
    write_graph(storage, nodes, np.zeros(10)).commit(marker())
    features_OD = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    one, other = "1" * 32, "2" * 32
    writer = GraphWriter(storage, KEY)
    assert writer.is_committed
    assert not writer.has_objects(one)
    writer.write_objects(one, features_OD)
    writer.write_objects(other, None, "no grid")
    assert GraphWriter(storage, KEY).has_objects(one)
    graph = open_graph(storage, KEY)
    np.testing.assert_array_equal(graph.read_objects(one), features_OD)
    assert graph.read_objects(other) == "no grid"
    assert committed_keys(storage, [KEY], beside=objects_file(one)) == {KEY}
    assert committed_keys(storage, [KEY], beside=objects_file("3" * 32)) == set()
    with pytest.raises(DamagedGraphError, match="features of the probes' objects is missing"):
        graph.read_objects("3" * 32)
    path = Path(storage.location(f"{graph_folder(KEY)}/{objects_file(one)}"))
    path.with_name(objects_file("3" * 32)).write_bytes(path.read_bytes())
    with pytest.raises(DamagedGraphError, match="not of the objects that its name says"):
        graph.read_objects("3" * 32)


def test_a_leftover_of_another_arithmetic_is_written_anew(
    storage: Storage, nodes: NodeMaps
) -> None:
    """One graph is of one arithmetic, whichever a worker before had chosen."""
    probes = RANGES[0]
    first = GraphWriter(storage, KEY)
    first.computed_in = "bf16"
    first.write_nodes(probes, IDS[probes], part(nodes, probes))
    same = GraphWriter(storage, KEY)
    same.computed_in = "bf16"
    assert same.has_nodes(probes, IDS[probes], NUM_PIXELS)
    path = Path(storage.location(graph_folder(KEY)), "nodes-000000-000003.parquet")
    with pytest.raises(SchemaError, match="was computed in bf16, expected fp32"):
        check_nodes(path.read_bytes(), KEY, probes, IDS[probes], NUM_PIXELS, "nodes")
    writer = GraphWriter(storage, KEY)
    assert not writer.has_nodes(probes, IDS[probes], NUM_PIXELS)
    finish(writer, nodes)
    assert check_nodes(path.read_bytes(), KEY, probes, IDS[probes], NUM_PIXELS, "nodes")


def test_a_marker_tells_the_arithmetic_where_it_was_chosen_or_asked_for() -> None:
    chosen = replace(marker(), settings={"precision": "auto"}, precision={"computed_in": "tf32"})
    again = GraphMarker.decode(chosen.encode(), "graph.json")
    assert again == chosen
    assert again.computed_in == "tf32"
    assert replace(marker(), settings={"precision": "fp32"}).computed_in == "fp32"
    assert replace(marker(), settings={}).computed_in is None
    assert "precision" not in json.loads(replace(marker(), settings={}).encode())
