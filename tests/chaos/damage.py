"""Ways to damage a graph file, and the graphs of an output to do it to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from depara.graph import edge_index
from depara.store.artifacts import decode_maps, encode_edges, encode_nodes
from depara.store.layout import EDGES_FILE, GRAPHS, MARKER_FILE, nodes_file
from depara.store.markers import GraphMarker
from depara.types import NodeMaps


def find_graph(output: str, model: str, layer: str) -> tuple[Path, GraphMarker]:
    """Returns folder and marker of a committed graph of a local output."""
    for path in Path(output).glob(f"{GRAPHS}/*/*/{MARKER_FILE}"):
        marker = GraphMarker.decode(path.read_bytes(), str(path))
        if (marker.model_id, marker.layer) == (model, layer):
            return path.parent, marker
    raise AssertionError(f"{output} has no graph of {model} {layer}")


def file_of(kind: str, marker: GraphMarker) -> str:
    """Returns the name of a node file (``node``) or of the edge file (``edge``) of a graph."""
    return nodes_file(marker.ranges[1]) if kind == "node" else EDGES_FILE


def flip_a_byte(path: Path, marker: GraphMarker) -> bytes:
    """Returns the file with one bit of one byte in its middle flipped."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    return bytes(data)


def truncate(path: Path, marker: GraphMarker) -> bytes:
    """Returns the first two thirds of the file."""
    data = path.read_bytes()
    return data[: 2 * len(data) // 3]


def of_other_probes(path: Path, marker: GraphMarker) -> bytes:
    """Returns a sound file of the same place in the graph of another probe set."""
    key = hashlib.sha256(marker.graph_key.encode()).hexdigest()[:32]
    table = pq.read_table(path)
    rng = np.random.default_rng(1)
    if path.name == EDGES_FILE:
        cosine_E = rng.permutation(table["cosine"].to_numpy()).astype(np.float32)
        return encode_edges(key, edge_index(marker.num_probes), cosine_E)
    [probes] = [one for one in marker.ranges if nodes_file(one) == path.name]
    maps_NP = decode_maps(path.read_bytes(), path.name)[::-1]
    norms_N = table["norm"].to_numpy()[::-1].astype(np.float32)
    ids = [hashlib.sha256(text.encode()).hexdigest() for text in table["probe_id"].to_pylist()]
    return encode_nodes(key, probes, ids, NodeMaps(np.ascontiguousarray(maps_NP), norms_N))


def empty(path: Path, marker: GraphMarker) -> bytes:
    """Returns nothing, as some file systems leave after a loss of power."""
    return b""


Damage = Callable[[Path, GraphMarker], bytes]
DAMAGES: dict[str, Damage] = {
    "one flipped byte": flip_a_byte,
    "truncated": truncate,
    "of another probe set": of_other_probes,
    "empty": empty,
}


def damage(folder: Path, name: str, how: str, marker: GraphMarker) -> bytes:
    """Damages a file of a graph in one of the ways; returns what it holds now."""
    path = folder / name
    data = DAMAGES[how](path, marker)
    assert data != path.read_bytes()
    path.unlink()  # not in place: the file may be a hard link of the undisturbed run's
    path.write_bytes(data)
    return data
