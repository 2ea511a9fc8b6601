"""What nobody needs any more, one kind at a time.

A graph, probe set or file of canvases may go when no kept scan and no scan under way refers to it,
and when none of its files is younger than the grace period by the storage's own clock. So what a
scan has just written stays, even where that scan has not yet said that it needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from depara.errors import StoreError
from depara.maintenance.inventory import Files, Inventory
from depara.maintenance.references import Claims, References
from depara.store.canvases import read_probe_set
from depara.store.known import read_probes
from depara.store.layout import (
    CANVASES,
    KNOWN,
    RUNNING,
    graph_folder,
    manifest_path,
    marker_path,
    probe_set_path,
    query_folder,
    query_manifest_path,
    scan_folder,
)
from depara.store.queries import read_query_manifest
from depara.store.storage import Storage

Kind = Literal[
    "scans",
    "graphs",
    "uncommitted graphs",
    "probe sets",
    "canvases",
    "known inputs",
    "unfinished scans",
    "running records",
    "queries",
    "unfinished queries",
]


@dataclass(frozen=True)
class Candidate:
    """Something to delete: all its files, as they were listed.

    ``folder`` is what to list to see them again. ``head``, where there is one, is the file that
    makes readers trust the others: it is deleted first.
    """

    kind: Kind
    name: str
    folder: str
    files: Files
    head: str | None = None

    @property
    def bytes(self) -> int:
        """Size of all files, bytes."""
        return sum(stat.bytes for stat in self.files.values())

    @property
    def oldest_s(self) -> float:
        """When its oldest file was written, POSIX seconds by the storage's clock."""
        return min(stat.modified_s for stat in self.files.values())

    @property
    def newest_s(self) -> float:
        """When its newest file was written, POSIX seconds by the storage's clock."""
        return max(stat.modified_s for stat in self.files.values())


class CandidateFinder:
    """Finds what may go, one kind at a time; ``notes`` says what was left alone and why."""

    def __init__(
        self,
        storage: Storage,
        inventory: Inventory,
        claims: Claims,
        kept: References,
        cutoff_s: float,
    ) -> None:
        self._storage = storage
        self._inventory = inventory
        self._claims = claims
        self._needed = kept | claims.references
        self._cutoff_s = cutoff_s
        self.notes: list[str] = []

    def scans(self, names: list[str]) -> Iterator[Candidate]:
        """Finished scans that are not kept."""
        for scan_id in names:
            files = self._inventory.scans[scan_id]
            if self._is_old(files):
                head = manifest_path(scan_id)
                yield Candidate("scans", scan_id, scan_folder(scan_id), files, head)

    def graphs(self) -> Iterator[Candidate]:
        """Graphs, committed or not."""
        for key, files in sorted(self._inventory.graphs.items()):
            if key not in self._needed.graph_keys and self._is_old(files):
                head = marker_path(key) if marker_path(key) in files else None
                kind: Kind = "graphs" if head else "uncommitted graphs"
                yield Candidate(kind, key, graph_folder(key), files, head)

    def canvases(self) -> Iterator[Candidate]:
        """Probe sets and files of canvases."""
        canvases = self._inventory.canvases
        sets = {path: stat for path, stat in canvases.items() if _is_probe_set(path)}
        old = {path for path, stat in sets.items() if stat.modified_s <= self._cutoff_s}
        needed = {probe_set_path(key) for key in self._needed.probe_sets}
        used: set[str] = set()
        for path in sorted((sets.keys() - old) | needed):
            try:
                used |= chunk_paths(self._storage, path)
            except StoreError as error:
                self.notes.append(f"all canvases are left, because {error}")
                return
        for path in sorted(old - needed):
            yield Candidate("probe sets", path, CANVASES, {path: sets[path]}, path)
        for path, stat in canvases.items():
            if path not in sets and path not in used and stat.modified_s <= self._cutoff_s:
                yield Candidate("canvases", path, CANVASES, {path: stat})

    def known(self) -> Iterator[Candidate]:
        """What was learned of models and probes that no kept scan used.

        Scans under way need no protection here: they have read what they wanted to know.
        """
        for path, stat in self._inventory.known.items():
            if stat.modified_s <= self._cutoff_s and not self._is_known_needed(path):
                yield Candidate("known inputs", path, KNOWN, {path: stat})

    def leftovers(self) -> Iterator[Candidate]:
        """What killed scans left: their tables, and their records."""
        for scan_id, files in self._inventory.scans.items():
            dead = scan_id not in self._claims.scan_ids and self._is_old(files)
            if dead and manifest_path(scan_id) not in files:
                yield Candidate("unfinished scans", scan_id, scan_folder(scan_id), files)
        for scan_id, files in self._inventory.running.items():
            if scan_id not in self._claims.scan_ids and self._is_old(files):
                yield Candidate("running records", scan_id, f"{RUNNING}/{scan_id}", files)

    def queries(self, going: Collection[str]) -> Iterator[Candidate]:
        """Queries of scans that are gone, and those that were never finished.

        Args:
            going: scans that are deleted now.
        """
        for query_id, files in self._inventory.queries.items():
            head, folder = query_manifest_path(query_id), query_folder(query_id)
            if not self._is_old(files):
                continue
            if head not in files:
                yield Candidate("unfinished queries", query_id, folder, files)
                continue
            try:
                manifest = read_query_manifest(self._storage, query_id)
            except StoreError as error:
                self.notes.append(f"query {query_id} is left, because {error}")
                continue
            scan_id = manifest and manifest["scan_id"]
            if scan_id in going or scan_id not in self._inventory.finished:
                yield Candidate("queries", query_id, folder, files, head)

    def _is_known_needed(self, path: str) -> bool:
        _, kind, *rest = path.split("/")
        fingerprint = rest[-1].removesuffix(".json") if rest else ""
        if kind == "models":
            return fingerprint in self._needed.models
        known = read_probes(self._storage, fingerprint) if kind == "probes" else None
        return known is not None and known.key in self._needed.probe_sets

    def _is_old(self, files: Files) -> bool:
        return all(stat.modified_s <= self._cutoff_s for stat in files.values())


def chunk_paths(storage: Storage, path: str) -> set[str]:
    """Returns the files of canvases that a probe set needs, given the path of its record.

    Raises:
        StoreError: the record is missing or damaged.
    """
    key = path.rpartition("/")[2].removesuffix(".json")
    return {chunk.path for chunk in read_probe_set(storage, key).chunks}


def _is_probe_set(path: str) -> bool:
    return path.startswith(probe_set_path("").removesuffix(".json"))
