"""What a probe set must be: its record, and a canvas for every probe in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from depara.errors import SchemaError, StoreError
from depara.identity import pixels_id, probe_set_key
from depara.locations import redact
from depara.maintenance.graph_check import open_parquet
from depara.maintenance.inventory import Files
from depara.maintenance.problem import Problem
from depara.store.canvases import CanvasChunk, ProbeSet, read_probe_set
from depara.store.layout import CANVASES, probe_set_path
from depara.store.storage import Storage

_DISCARD = "`depara verify --discard` removes it, and the next scan decodes the probes anew"


@dataclass
class ProbeSets:
    """The probe sets of an output, each read once."""

    storage: Storage
    _known: dict[str, ProbeSet | StoreError] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, key: str) -> ProbeSet:
        """Returns a probe set.

        Raises:
            StoreError: missing or damaged.
        """
        with self._lock:
            if key not in self._known:
                try:
                    self._known[key] = _checked(read_probe_set(self.storage, key))
                except StoreError as error:
                    self._known[key] = error
            found = self._known[key]
        if isinstance(found, StoreError):
            raise found
        return found

    def probe_ids(self, key: str) -> tuple[str, ...] | None:
        """Returns the ids of a probe set in index order, or None when they cannot be known."""
        try:
            found = self.read(key)
        except StoreError:
            return None
        return found.probe_ids if probe_set_key(found.probe_ids, found.side) == key else None


@dataclass(frozen=True)
class ProbeSetCheck:
    """Checks one probe set and its canvases; ``fast`` looks at presence only."""

    storage: Storage
    key: str
    fast: bool = False

    @property
    def folder(self) -> str:
        """The folder of all canvases, relative to the output."""
        return CANVASES

    def problems(self, files: Files) -> list[Problem]:
        """Returns what is wrong with the probe set, given all canvases as they were listed.

        Raises:
            StorageUnavailableError: the storage does not answer.
        """
        path = probe_set_path(self.key)
        try:
            probe_set = _checked(read_probe_set(self.storage, self.key))
        except StoreError as error:
            return [self._problem(path, f"cannot be used: {error}")]
        if (got := probe_set_key(probe_set.probe_ids, probe_set.side)) != self.key:
            what = "its probes are not those that its key was made of"
            return [self._problem(path, what, self.key, got)]
        return list(self._chunk_problems(probe_set, files))

    def _chunk_problems(self, probe_set: ProbeSet, files: Files) -> Iterator[Problem]:
        found: set[str] = set()
        for chunk in probe_set.chunks:
            found.update(chunk.probe_ids)
            if chunk.path not in files:
                yield self._problem(chunk.path, "is missing")
            elif not self.fast:
                yield from self._canvas_problems(probe_set, chunk)
        lacking = [probe_id for probe_id in probe_set.probe_ids if probe_id not in found]
        if lacking:
            what = f"{len(lacking)} of its probes are in no file of canvases, first {lacking[0]}"
            yield self._problem(probe_set_path(self.key), what)

    def _canvas_problems(self, probe_set: ProbeSet, chunk: CanvasChunk) -> Iterator[Problem]:
        data = self.storage.read_or_none(chunk.path)
        if data is None:
            yield self._problem(chunk.path, "is missing")
            return
        try:
            _, _, file = open_parquet(data)
            table = file.read(columns=["probe_id", "canvas"], use_threads=False)
        except (SchemaError, pa.ArrowException, OSError, KeyError) as error:
            yield self._problem(chunk.path, f"is no readable Parquet file: {error}")
            return
        ids = table["probe_id"].to_pylist()
        if ids != list(chunk.probe_ids):
            what = f"its probes are not those that probe set {self.key} states"
            yield self._problem(chunk.path, what)
            return
        for probe_id, canvas in zip(ids, table["canvas"], strict=True):
            digest = pixels_id(canvas.as_buffer(), (probe_set.side, probe_set.side, 3))
            if digest != probe_id:
                what = "a canvas is not that of its probe"
                yield self._problem(chunk.path, what, f"sha256 {probe_id}", digest)
                return

    def _problem(self, path: str, what: str, expected: str = "", got: str = "") -> Problem:
        location = redact(self.storage.location(path))
        # The record goes too, and first: a set that is written anew may have other files.
        paths = tuple(dict.fromkeys((probe_set_path(self.key), path)))
        return Problem(location, what, expected, got, _DISCARD, discardable=paths)


def _checked(probe_set: ProbeSet) -> ProbeSet:
    """The types that JSON leaves open."""
    ids = (*probe_set.probe_ids, *(probe_id for c in probe_set.chunks for probe_id in c.probe_ids))
    paths = [chunk.path for chunk in probe_set.chunks]
    if not all(isinstance(text, str) for text in (*ids, *paths)):
        raise StoreError(f"the record of probe set {probe_set.key} holds other things than texts")
    return probe_set
