"""Graphs in a storage: write the files, commit with the marker, read what is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pyarrow as pa

from depara.errors import DamagedGraphError, SchemaError, StoreError
from depara.grams import GraphGrams
from depara.store.artifact_schemas import (
    EDGES,
    FEATURES,
    GRAMS,
    nodes_schema,
    objects_schema,
    outputs_schema,
    vectors_schema,
)
from depara.store.artifacts import (
    PLAIN_ARITHMETIC,
    NodeFacts,
    check_artifact,
    check_nodes,
    decode_edges,
    decode_features,
    decode_grams,
    decode_maps,
    decode_norms,
    encode_edges,
    encode_features,
    encode_grams,
    encode_nodes,
)
from depara.store.layout import (
    EDGES_FILE,
    FEATURES_FILE,
    GRAMS_FILE,
    GRAPHS,
    MARKER_FILE,
    NODES_PREFIX,
    graph_folder,
    marker_path,
    nodes_file,
    objects_file,
)
from depara.store.markers import FileFact, GraphMarker
from depara.store.objects import decode_objects, encode_objects
from depara.store.outputs import (
    OPTIONAL_FILES,
    OUTPUTS_FILE,
    VECTORS_FILE,
    decode_values,
    encode_values,
)
from depara.store.storage import Storage, sha256_hex
from depara.types import Float16, Float32, NodeMaps, ProbeRange

_LOOKUPS_AT_ONCE = 16
_LISTED_ONE_BY_ONE = 8
_PUT_TRIES = 3
_LOG = logging.getLogger("depara.store")
_Decoded = TypeVar("_Decoded")


class GraphWriter:
    """Writes one graph; every method may be called again after a crash without harm.

    Files that a crash left behind are reused when they are sound, and replaced when not.
    ``is_committed`` says whether the graph was complete when the writer was opened; ``fresh``
    discards what there is. ``computed_in`` is the arithmetic of its maps.
    """

    def __init__(self, storage: Storage, key: str, *, fresh: bool = False) -> None:
        self.storage = storage
        self.key = key
        self._folder = graph_folder(key)
        self._present = storage.files(self._folder)
        self.is_committed = is_complete(self._present) and not fresh
        if self._present and (fresh or (MARKER_FILE in self._present and not self.is_committed)):
            discard_graph(storage, key)
            self._present = {}
        self.computed_in = PLAIN_ARITHMETIC
        self._facts: dict[str, FileFact] = {}
        self._node_facts: dict[int, NodeFacts] = {}

    @property
    def node_facts(self) -> NodeFacts:
        """The facts of all node files written or adopted."""
        parts = [facts for _, facts in sorted(self._node_facts.items())]
        conditioning = tuple(value for part in parts for value in part.conditioning)
        return NodeFacts(conditioning, any(part.has_maps for part in parts))

    def has_nodes(self, probes: ProbeRange, probe_ids: Sequence[str], num_pixels: int) -> bool:
        """Whether a sound node file of this range is there already."""
        name = nodes_file(probes)
        if name in self._facts:
            return True

        def check(data: bytes) -> None:
            self._node_facts[probes.start] = check_nodes(
                data, self.key, probes, probe_ids, num_pixels, name, self.computed_in
            )

        return name in self._present and self._adopt(name, len(probes), check)

    def write_nodes(self, probes: ProbeRange, probe_ids: Sequence[str], nodes: NodeMaps) -> None:
        """Writes the node file of one probe range."""
        self._node_facts[probes.start] = NodeFacts.of(nodes, probes)
        data = encode_nodes(self.key, probes, probe_ids, nodes, self.computed_in)
        schema = nodes_schema(nodes.maps_NP.shape[1])
        self._put(nodes_file(probes), data, len(probes), schema)

    def write_edges(self, pairs: tuple[Any, Any], cosine_E: Float32) -> None:
        """Writes the edge file."""
        self._put(EDGES_FILE, encode_edges(self.key, pairs, cosine_E), len(cosine_E), EDGES)

    def write_grams(self, grams: GraphGrams) -> None:
        """Writes the features' Gram matrices and per-probe sums, for the neighbour scores."""
        count = grams.num_probes
        self._put(GRAMS_FILE, encode_grams(self.key, grams), _triangle(count), GRAMS)
        self._put(FEATURES_FILE, encode_features(self.key, grams), count, FEATURES)

    def write_outputs(self, outputs_NC: Float32) -> None:
        """Writes what the model itself returned for the probes; a graph may do without."""
        self._write_values(OUTPUTS_FILE, outputs_NC, outputs_schema(outputs_NC.shape[1]))

    def write_vectors(self, vectors_NC: Float32) -> None:
        """Writes the features of the probes, or their sketch; a graph may do without."""
        self._write_values(VECTORS_FILE, vectors_NC, vectors_schema(vectors_NC.shape[1]))

    def _write_values(self, name: str, values_NC: Float32, schema: pa.Schema) -> None:
        self._put(name, encode_values(self.key, values_NC, schema), len(values_NC), schema)

    def has_objects(self, objects_key: str) -> bool:
        """Whether features of these objects lie beside the graph."""
        return bool(self._present.get(objects_file(objects_key)))

    def write_objects(
        self, objects_key: str, features_OD: Float32 | None, reason: str = ""
    ) -> None:
        """Writes features of objects beside the graph, or why there are none; see `encode_objects`.

        The graph may be committed before or after.
        """
        data = encode_objects(self.key, objects_key, features_OD, reason)
        rows, width = (0, 1) if features_OD is None else features_OD.shape
        self._put(objects_file(objects_key), data, rows, objects_schema(width))

    def commit(self, marker: GraphMarker) -> None:
        """Writes the commit marker over the files written or adopted; last of all.

        A marker that stands there already, of another scan, stays: its graph is as good.

        Raises:
            StoreError: a file that the marker would vouch for was neither written nor adopted.
        """
        names = [*map(nodes_file, marker.ranges), EDGES_FILE, GRAMS_FILE, FEATURES_FILE]
        for name in names:
            if name not in self._facts:
                location = self.storage.location(self._folder)
                raise StoreError(f"{location}/{name} is not written: the graph is not committed")
        names += [name for name in OPTIONAL_FILES if name in self._facts]
        complete = replace(marker, files={name: self._facts[name] for name in names})
        self.storage.create(f"{self._folder}/{MARKER_FILE}", complete.encode())

    def _put(self, name: str, data: bytes, rows: int, schema: pa.Schema) -> None:
        """Creates a file. One that is there, perhaps from before a crash, is adopted if sound."""
        for _ in range(_PUT_TRIES):
            if self.storage.create(f"{self._folder}/{name}", data):
                self._facts[name] = FileFact(len(data), sha256_hex(data), rows)
                return
            if self._adopt(
                name, rows, lambda found: check_artifact(found, self.key, rows, schema, name)
            ):
                return
        raise StoreError(
            f"{self.storage.location(self._folder)}/{name} cannot be written: another program "
            "keeps putting a damaged file there"
        )

    def _adopt(self, name: str, rows: int, check: Callable[[bytes], object]) -> bool:
        """Takes a file that is there for this graph's; one that is damaged is removed."""
        path = f"{self._folder}/{name}"
        data = self.storage.read_or_none(path)
        if data is None:
            return False
        try:
            check(data)
        except SchemaError as error:
            _LOG.warning("%s: %s; it is written anew", self.storage.location(path), error)
            self.storage.remove([path])
            return False
        self._facts[name] = FileFact(len(data), sha256_hex(data), rows)
        return True


def discard_graph(storage: Storage, key: str) -> None:
    """Takes a graph back, so that the next scan computes it anew: its marker goes first."""
    folder = graph_folder(key)
    names = sorted(storage.files(folder), key=lambda name: name != MARKER_FILE)
    storage.remove(f"{folder}/{name}" for name in names[:1])
    storage.remove(f"{folder}/{name}" for name in names[1:])


def is_complete(files: Mapping[str, int]) -> bool:
    """Whether a graph's folder, as names and bytes, holds its marker and the files of any graph."""
    return bool(files.get(MARKER_FILE)) and _lacking(files) is None


def _lacking(files: Mapping[str, int]) -> str | None:
    """The name of a file that every graph has and this folder has not, or that is empty."""
    for name in (MARKER_FILE, EDGES_FILE, GRAMS_FILE, FEATURES_FILE):
        if not files.get(name):
            return name
    sizes = {name: size for name, size in files.items() if name.startswith(NODES_PREFIX)}
    if not sizes:
        return f"{NODES_PREFIX}*"
    return next((name for name, size in sorted(sizes.items()) if not size), None)


def _triangle(num_probes: int) -> int:
    return num_probes * (num_probes + 1) // 2


def committed_keys(
    storage: Storage,
    keys: Collection[str],
    incomplete: dict[str, str] | None = None,
    beside: str | None = None,
) -> set[str]:
    """Returns those of the keys whose graphs are committed: one listing, however many they are.

    Args:
        storage: the output.
        keys: of graphs.
        incomplete: is given the graphs that have a marker but lack a file or have an empty one,
            with the location of that file. They are not committed.
        beside: a file that must lie beside a graph for it to count, though it can do without.
    """
    wanted = set(keys)
    if len(wanted) <= _LISTED_ONE_BY_ONE:
        with ThreadPoolExecutor(_LOOKUPS_AT_ONCE) as pool:
            listings = pool.map(lambda key: storage.files(graph_folder(key)), wanted)
            folders = dict(zip(map(graph_folder, wanted), listings, strict=True))
    else:
        folders = {}
        for path, stat in storage.walk(GRAPHS).items():
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, {})[name] = stat.bytes
    committed = set()
    for key in wanted:
        files = folders.get(graph_folder(key), {})
        lacking = _lacking(files)
        if lacking is None:
            if beside is None or files.get(beside):
                committed.add(key)
        elif MARKER_FILE in files and incomplete is not None:
            incomplete[key] = storage.location(f"{graph_folder(key)}/{lacking}")
    return committed


def read_marker(storage: Storage, key: str) -> GraphMarker | None:
    """Returns the commit marker of a graph, or None when the graph is not committed."""
    path = marker_path(key)
    data = storage.read_or_none(path)
    return None if data is None else GraphMarker.decode(data, storage.location(path))


@dataclass(frozen=True)
class CommittedGraph:
    """A committed graph, open for reading; each file's checksum is verified as it is read."""

    storage: Storage
    marker: GraphMarker

    def read_maps(self, probes: ProbeRange) -> Float16:
        """Returns the unit-norm maps (n, P) float16 of one of the marker's ranges."""
        return self._decoded(nodes_file(probes), decode_maps)

    def read_nodes(self, probes: ProbeRange) -> tuple[Float16, Float32]:
        """Returns the unit-norm maps (n, P) of one of the marker's ranges, and their norms (n,)."""

        def decode(data: bytes, name: str) -> tuple[Float16, Float32]:
            return decode_maps(data, name), decode_norms(data, name)

        return self._decoded(nodes_file(probes), decode)

    def read_edges(self) -> Float32:
        """Returns the cosines (E,) float32 in pdist order."""
        return self._decoded(EDGES_FILE, decode_edges)

    def read_grams(self) -> GraphGrams:
        """Returns the Grams of the graph's features.

        Raises:
            NonFiniteError, ValueError: no features have such Grams, see `GraphGrams`.
        """
        count = self.marker.num_probes
        grams = self._decoded(GRAMS_FILE, lambda data, name: decode_grams(data, count, name))
        sums = self._decoded(FEATURES_FILE, decode_features)
        return GraphGrams(*grams, *sums, self.marker.num_features)

    def read_outputs(self) -> Float32 | None:
        """Returns what the model returned for the probes ``(N, C)``, None where it is not kept."""
        return self._values(OUTPUTS_FILE)

    def read_vectors(self) -> Float32 | None:
        """Returns the features of the probes, or their sketch, ``(N, C)``; None where not kept."""
        return self._values(VECTORS_FILE)

    def _values(self, name: str) -> Float32 | None:
        return self._decoded(name, decode_values) if name in self.marker.files else None

    def read_objects(self, objects_key: str) -> Float32 | str:
        """Returns the features of objects ``(O, D)``, or why there are none.

        Raises:
            DamagedGraphError: the file is missing or damaged: the graph is to be made anew with it.
        """
        name, key = objects_file(objects_key), self.marker.graph_key
        data = self.storage.read_or_none(f"{graph_folder(key)}/{name}")
        if data is None:
            raise self._damaged(name, "with the features of the probes' objects is missing")
        try:
            return decode_objects(data, key, objects_key, self._location(name))
        except SchemaError as error:
            raise self._damaged(name, f"cannot be read ({error})") from error

    def _decoded(self, name: str, decode: Callable[[bytes, str], _Decoded]) -> _Decoded:
        """Returns what a file holds; one that is as committed but cannot be read is damaged too."""
        try:
            return decode(self._read(name), self._location(name))
        except SchemaError as error:
            raise self._damaged(name, f"cannot be read ({error})") from error

    def _location(self, name: str) -> str:
        return self.storage.location(f"{graph_folder(self.marker.graph_key)}/{name}")

    def _read(self, name: str) -> bytes:
        """Returns a file's bytes, read again once when they are not what was committed."""
        if name not in self.marker.files:
            raise self._damaged(name, "is not among the files of this graph (an older version's)")
        fact = self.marker.files[name]
        for _ in range(2):
            data = self.storage.read_or_none(f"{graph_folder(self.marker.graph_key)}/{name}")
            if data is not None and len(data) == fact.bytes and sha256_hex(data) == fact.sha256:
                return data
        if data is None:
            raise self._damaged(name, "of a committed graph is missing")
        wrong = f"does not match its checksum ({len(data)} bytes, expected {fact.bytes})"
        raise self._damaged(name, wrong)

    def _damaged(self, name: str, what: str) -> DamagedGraphError:
        marker = self.marker
        return _damaged(
            marker.graph_key,
            f"{self._location(name)} {what}: model {marker.model_id!r}, layer {marker.layer!r}",
        )


def _damaged(key: str, what: str) -> DamagedGraphError:
    error = DamagedGraphError(
        f"{what}; scan again to have it recomputed, or run `depara verify --discard`"
    )
    error.graph_keys = (key,)
    return error


def open_graph(storage: Storage, key: str) -> CommittedGraph:
    """Returns a committed graph.

    Raises:
        DamagedGraphError: the graph is not committed, or its marker is damaged.
    """
    try:
        marker = read_marker(storage, key)
    except SchemaError as error:
        raise _damaged(key, str(error)) from error
    if marker is None:
        raise _damaged(key, f"graph {key} is not committed in {storage.root}")
    if marker.graph_key != key:
        path = storage.location(marker_path(key))
        raise _damaged(key, f"{path} is of graph {marker.graph_key}")
    return CommittedGraph(storage, marker)
