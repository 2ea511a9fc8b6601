"""Graphs in a storage: write the files, commit with the marker, read what is committed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from depara.errors import StoreError
from depara.store.artifacts import (
    EDGES_FILE,
    FEATURES_FILE,
    GRAMS_FILE,
    MARKER_FILE,
    FileFact,
    GraphMarker,
    decode_edges,
    decode_features,
    decode_grams,
    decode_maps,
    encode_edges,
    encode_features,
    encode_grams,
    encode_nodes,
    nodes_file,
)
from depara.store.keys import graph_folder
from depara.store.storage import Storage, sha256_hex
from depara.types import Float16, Float32, Float64, NodeMaps, ProbeRange

_LOOKUPS_AT_ONCE = 16


class GraphWriter:
    """Writes one graph; every method may be called again after a crash without harm."""

    def __init__(self, storage: Storage, key: str) -> None:
        self.storage = storage
        self.key = key
        self._folder = graph_folder(key)
        self._present = storage.files(self._folder)
        self._facts: dict[str, FileFact] = {}

    def has_nodes(self, probes: ProbeRange) -> bool:
        """Whether the node file of this range was written before."""
        return nodes_file(probes) in self._present

    def write_nodes(self, probes: ProbeRange, probe_ids: Sequence[str], nodes: NodeMaps) -> None:
        """Writes the node file of one probe range."""
        data = encode_nodes(self.key, probes, probe_ids, nodes)
        self._put(nodes_file(probes), data, len(probes))

    def write_edges(self, pairs: tuple[Any, Any], cosine_E: Float32) -> None:
        """Writes the edge file."""
        self._put(EDGES_FILE, encode_edges(self.key, pairs, cosine_E), len(cosine_E))

    def write_grams(
        self,
        raw_NN: Float64,
        zscored_NN: Float64,
        raw_sums_N: Float64,
        zscored_sums_N: Float64,
    ) -> None:
        """Writes the features' Gram matrices and per-probe sums, for the neighbour scores."""
        self._put(GRAMS_FILE, encode_grams(self.key, raw_NN, zscored_NN), _triangle(len(raw_NN)))
        sums = encode_features(self.key, raw_sums_N, zscored_sums_N)
        self._put(FEATURES_FILE, sums, len(raw_sums_N))

    def commit(self, marker: GraphMarker) -> None:
        """Writes the commit marker over the files written or found; last of all.

        Raises:
            StoreError: a file that the marker would vouch for is missing.
        """
        files = {}
        for probes in marker.ranges:
            name = nodes_file(probes)
            files[name] = self._facts.get(name) or self._inspect(name, len(probes))
        for name in (EDGES_FILE, GRAMS_FILE, FEATURES_FILE):
            files[name] = self._facts[name]
        complete = GraphMarker(**{**marker.__dict__, "files": files})
        self.storage.create(f"{self._folder}/{MARKER_FILE}", complete.encode())

    def _put(self, name: str, data: bytes, rows: int) -> None:
        path = f"{self._folder}/{name}"
        if self.storage.create(path, data):
            self._facts[name] = FileFact(len(data), sha256_hex(data), rows)
        else:  # somebody, perhaps this worker before a crash, has already done the work
            self._facts[name] = self._inspect(name, rows)

    def _inspect(self, name: str, rows: int) -> FileFact:
        path = f"{self._folder}/{name}"
        try:
            data = self.storage.read(path)
        except FileNotFoundError as error:
            location = self.storage.location(path)
            raise StoreError(f"{location} vanished before its graph was committed") from error
        return FileFact(len(data), sha256_hex(data), rows)


def _triangle(num_probes: int) -> int:
    return num_probes * (num_probes + 1) // 2


def committed_keys(storage: Storage, keys: Iterable[str]) -> set[str]:
    """Returns those of the keys whose graphs are committed; asks for many at once."""
    wanted = sorted(set(keys))
    with ThreadPoolExecutor(_LOOKUPS_AT_ONCE) as pool:
        markers = pool.map(lambda key: read_marker(storage, key), wanted)
        return {key for key, marker in zip(wanted, markers, strict=True) if marker is not None}


def read_marker(storage: Storage, key: str) -> GraphMarker | None:
    """Returns the commit marker of a graph, or None when the graph is not committed."""
    path = f"{graph_folder(key)}/{MARKER_FILE}"
    data = storage.read_or_none(path)
    return None if data is None else GraphMarker.decode(data, storage.location(path))


@dataclass(frozen=True)
class CommittedGraph:
    """A committed graph, open for reading; each file's checksum is verified as it is read."""

    storage: Storage
    marker: GraphMarker

    def read_maps(self, probes: ProbeRange) -> Float16:
        """Returns the unit-norm maps (n, P) float16 of one of the marker's ranges."""
        name = nodes_file(probes)
        return decode_maps(self._read(name), self._location(name))

    def read_edges(self) -> Float32:
        """Returns the cosines (E,) float32 in pdist order."""
        return decode_edges(self._read(EDGES_FILE), self._location(EDGES_FILE))

    def read_grams(self) -> tuple[Float64, Float64, Float64, Float64]:
        """Returns raw and z-scored Gram (N, N), raw and z-scored sums (N,), all float64."""
        grams = self._read(GRAMS_FILE)
        raw_NN, zscored_NN = decode_grams(grams, self.marker.num_probes, self._location(GRAMS_FILE))
        sums = self._read(FEATURES_FILE)
        return (raw_NN, zscored_NN, *decode_features(sums, self._location(FEATURES_FILE)))

    def _location(self, name: str) -> str:
        return self.storage.location(f"{graph_folder(self.marker.graph_key)}/{name}")

    def _read(self, name: str) -> bytes:
        if name not in self.marker.files:
            raise StoreError(
                f"{self._location(name)} is not among the files of this graph, which an older "
                "version wrote: remove the folder of this graph and scan again"
            )
        try:
            data = self.storage.read(f"{graph_folder(self.marker.graph_key)}/{name}")
        except FileNotFoundError as error:
            raise StoreError(
                f"{self._location(name)} of a committed graph is missing: remove the folder "
                "of this graph and scan again"
            ) from error
        fact = self.marker.files[name]
        if len(data) != fact.bytes or sha256_hex(data) != fact.sha256:
            raise StoreError(
                f"{self._location(name)} does not match its checksum ({len(data)} bytes, expected "
                f"{fact.bytes}): remove the folder of this graph and scan again"
            )
        return data


def open_graph(storage: Storage, key: str) -> CommittedGraph:
    """Returns a committed graph.

    Raises:
        StoreError: the graph is not committed.
    """
    marker = read_marker(storage, key)
    if marker is None:
        raise StoreError(f"graph {key} is not committed in {storage.root}")
    return CommittedGraph(storage, marker)
