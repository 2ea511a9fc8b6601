"""What a committed graph must be: its marker, its files, and that each vouches for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from depara.errors import SchemaError, StoreError
from depara.identity import short_hash
from depara.locations import redact
from depara.maintenance.inventory import Files
from depara.maintenance.problem import Problem
from depara.store.layout import (
    EDGES_FILE,
    FEATURES_FILE,
    GRAMS_FILE,
    MARKER_FILE,
    OBJECTS_PREFIX,
    SKETCH_FILE,
    graph_folder,
    marker_path,
    nodes_file,
    objects_key,
    sketch_path,
)
from depara.store.markers import FileFact, GraphMarker
from depara.store.objects import decode_objects
from depara.store.outputs import OPTIONAL_FILES
from depara.store.sketches import decode_sketch
from depara.store.storage import FileStat, Storage, sha256_hex
from depara.types import ProbeRange

DISCARD = "`depara verify --discard` takes the graph back, and the next scan computes it anew"

_REMADE = "`depara verify --discard` removes it, and `depara nearest` makes it anew"

_PASSED = "`depara verify --discard` removes it, and the next scan of these objects makes it anew"

ProbeIds = Callable[[str], tuple[str, ...] | None]
"""Returns the ids of a probe set by its key, or None where they are not known."""


@dataclass(frozen=True)
class GraphCheck:
    """Checks one graph of an output; ``fast`` looks at presence and sizes only."""

    storage: Storage
    key: str
    probe_ids: ProbeIds
    fast: bool = False

    @property
    def folder(self) -> str:
        """The graph's folder, relative to the output."""
        return graph_folder(self.key)

    def problems(self, files: Files) -> list[Problem]:
        """Returns what is wrong with the graph, given its files as they were listed.

        Nothing is wrong with a graph that is not, or no longer, committed.

        Raises:
            StorageUnavailableError: the storage does not answer.
        """
        try:
            data = self.storage.read_or_none(marker_path(self.key))
            if data is None:
                return []
            marker = GraphMarker.decode(data, self._location(MARKER_FILE))
            found = list(self._marker_problems(marker))
            for name, fact in marker.files.items():
                found += self._file_problems(marker, name, fact, files.get(f"{self.folder}/{name}"))
            found += self._sketch_problems(files.get(sketch_path(self.key)))
            found += self._objects_problems(files)
        except (StoreError, ValueError, TypeError, AttributeError) as error:
            # The marker is JSON that anything may have been written into.
            return [self._problem(MARKER_FILE, f"cannot be used: {error}")]
        subject = f"model {marker.model_id!r}, layer {marker.layer!r}"
        return [replace(problem, subject=subject) for problem in found]

    def _marker_problems(self, marker: GraphMarker) -> Iterator[Problem]:
        if marker.graph_key != self.key:
            yield self._problem(MARKER_FILE, "is of another graph", self.key, marker.graph_key)
        elif (expected := key_of(marker)) not in (None, self.key):
            what = "its settings are not those that its key was made of"
            yield self._problem(MARKER_FILE, what, self.key, str(expected))
        stop = 0
        for probes in marker.ranges:
            if probes.start != stop:
                what = f"its probe ranges leave a gap or overlap at {probes}"
                yield self._problem(MARKER_FILE, what, f"start {stop}", str(probes.start))
            stop = probes.stop
        if stop != marker.num_probes:
            what = "its probe ranges end elsewhere than its probes"
            yield self._problem(MARKER_FILE, what, str(marker.num_probes), str(stop))
        ids = self.probe_ids(marker.probe_set)
        if ids is not None and len(ids) != marker.num_probes:
            what = f"it has another number of probes than probe set {marker.probe_set}"
            yield self._problem(MARKER_FILE, what, str(len(ids)), str(marker.num_probes))
        expected_rows = file_rows(marker)
        lacking = ", ".join(sorted(expected_rows.keys() - marker.files.keys()))
        if lacking:
            what = f"lacks files of a graph, as an older version's may: {lacking}"
            yield self._problem(MARKER_FILE, what)
        for name, rows in expected_rows.items():
            fact = marker.files.get(name)
            if fact is not None and fact.rows != rows:
                what = f"states a wrong number of rows of {name}"
                yield self._problem(MARKER_FILE, what, str(rows), str(fact.rows))

    def _file_problems(
        self, marker: GraphMarker, name: str, fact: FileFact, stat: FileStat | None
    ) -> list[Problem]:
        if stat is None:
            return [self._problem(name, "is missing")]
        if stat.bytes != fact.bytes:
            expected, got = f"{fact.bytes} bytes", f"{stat.bytes} bytes"
            return [self._problem(name, "has another size", expected, got)]
        if self.fast:
            return []
        try:
            data = self.storage.read(f"{self.folder}/{name}")
        except FileNotFoundError:
            return [self._problem(name, "is missing")]
        digest = sha256_hex(data)
        if digest != fact.sha256:
            what = f"does not match its checksum in {MARKER_FILE}"
            return [self._problem(name, what, f"sha256 {fact.sha256}", digest)]
        return self._content_problems(marker, name, fact, data)

    def _content_problems(
        self, marker: GraphMarker, name: str, fact: FileFact, data: bytes
    ) -> list[Problem]:
        try:
            rows, metadata, file = open_parquet(data)
            found = metadata.get("graph_key", "(none)")
            if found != self.key:
                return [self._problem(name, "is of another graph", self.key, found)]
            if rows != fact.rows:
                what = f"has another number of rows than {MARKER_FILE} states"
                return [self._problem(name, what, str(fact.rows), str(rows))]
            for probes in marker.ranges:
                if nodes_file(probes) == name:
                    return self._node_problems(marker, name, probes, file)
        except (SchemaError, pa.ArrowException, OSError, KeyError) as error:
            return [self._problem(name, f"is no readable Parquet file: {_line(error)}")]
        return []

    def _node_problems(
        self, marker: GraphMarker, name: str, probes: ProbeRange, file: pq.ParquetFile
    ) -> list[Problem]:
        """The probes of a node file: those of its range, and of the graph's probe set."""
        table = file.read(columns=["probe_id", "index"], use_threads=False)
        index = table["index"].to_pylist()
        if index != list(range(probes.start, probes.stop)):
            got = f"{index[0]} to {index[-1]}" if index else "none"
            what = "its probes are not those of its range, in order"
            return [self._problem(name, what, f"index {probes.start} to {probes.stop - 1}", got)]
        ids = self.probe_ids(marker.probe_set)
        if ids is None:
            return []
        for place, (probe_id, due) in enumerate(
            zip(table["probe_id"].to_pylist(), ids[probes.start : probes.stop], strict=False)
        ):
            if probe_id != due:
                what = f"probe {probes.start + place} is not that of probe set {marker.probe_set}"
                return [self._problem(name, what, due, str(probe_id))]
        return []

    def _sketch_problems(self, stat: FileStat | None) -> list[Problem]:
        """The sketch is a cache: a damaged one goes alone, its graph stays."""
        path = sketch_path(self.key)
        data = b"" if stat is None or self.fast else self.storage.read_or_none(path)
        if stat is None or data is None or (self.fast and stat.bytes):
            return []
        try:
            decode_sketch(data, self.key, SKETCH_FILE)
        except SchemaError as error:
            problem = self._problem(SKETCH_FILE, f"cannot be used: {error}")
            return [replace(problem, remedy=_REMADE, graph_key=None, discardable=(path,))]
        return []

    def _objects_problems(self, files: Files) -> Iterator[Problem]:
        """Features of objects lie beside the graph: damaged ones go alone, the graph stays."""
        start = f"{self.folder}/{OBJECTS_PREFIX}"
        for path, stat in files.items():
            if not path.startswith(start):
                continue
            data = b"" if self.fast else self.storage.read_or_none(path)
            if data is None or (self.fast and stat.bytes):
                continue
            name = path.rpartition("/")[2]
            try:
                decode_objects(data, self.key, objects_key(name), name)
            except SchemaError as error:
                problem = self._problem(name, f"cannot be used: {error}")
                yield replace(problem, remedy=_PASSED, graph_key=None, discardable=(path,))

    def _problem(self, name: str, what: str, expected: str = "", got: str = "") -> Problem:
        return Problem(self._location(name), what, expected, got, DISCARD, graph_key=self.key)

    def _location(self, name: str) -> str:
        return redact(self.storage.location(f"{self.folder}/{name}"))


def key_of(marker: GraphMarker) -> str | None:
    """Returns the key that a marker's settings give; None for an older version's marker."""
    if "input" not in marker.settings:
        return None
    identity = {**marker.settings, "layer": marker.layer, "probe_set": marker.probe_set}
    return short_hash(identity)


def file_rows(marker: GraphMarker) -> dict[str, int]:
    """Returns the files that a graph consists of, with the number of rows that each must have."""
    count = marker.num_probes
    optional = {name: count for name in OPTIONAL_FILES if name in marker.files}
    return {
        **{nodes_file(probes): len(probes) for probes in marker.ranges},
        EDGES_FILE: count * (count - 1) // 2,
        GRAMS_FILE: count * (count + 1) // 2,
        FEATURES_FILE: count,
        **optional,
    }


def open_parquet(data: bytes) -> tuple[int, dict[str, str], pq.ParquetFile]:
    """Returns number of rows, key-value metadata and the open file of Parquet bytes.

    Raises:
        SchemaError: not Parquet.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        pairs = file.schema_arrow.metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise SchemaError(_line(error)) from error
    metadata = {name.decode(): value.decode(errors="replace") for name, value in pairs.items()}
    return file.metadata.num_rows, metadata, file


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
