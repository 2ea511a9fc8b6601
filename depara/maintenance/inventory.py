"""Everything that an output holds, from one listing of each of its folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from depara.store.layout import (
    FOLDERS,
    GRAPHS,
    collected_path,
    manifest_path,
    marker_path,
)
from depara.store.storage import FileStat, Storage

_GRAPH_FILE = re.compile(rf"{GRAPHS}/(?P<shard>[0-9a-f]{{2}})/(?P<key>(?P=shard)[0-9a-f]+)/[^/]+")

Files = Mapping[str, FileStat]
"""Files by their path relative to the output."""


@dataclass(frozen=True)
class Inventory:
    """The files of an output, grouped by what they belong to.

    ``graphs`` are by graph key, ``scans`` and ``running`` by scan id, ``queries`` by query id;
    ``canvases`` and ``known`` are all files below these folders. Files that belong to none of them
    are left out.
    """

    graphs: Mapping[str, Files]
    scans: Mapping[str, Files]
    running: Mapping[str, Files]
    canvases: Files
    known: Files
    queries: Mapping[str, Files]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of a scan at all."""
        return not (self.graphs or self.scans or self.running or self.canvases)

    @property
    def committed(self) -> list[str]:
        """Keys of the graphs that have a marker, sorted."""
        return sorted(key for key, files in self.graphs.items() if marker_path(key) in files)

    @property
    def finished(self) -> list[str]:
        """Ids of the scans that have a manifest, sorted."""
        return sorted(scan for scan, files in self.scans.items() if manifest_path(scan) in files)

    @property
    def collected(self) -> frozenset[str]:
        """Ids of the scans that may have lost graphs to a collection."""
        return frozenset(s for s, files in self.scans.items() if collected_path(s) in files)


def take_inventory(storage: Storage) -> Inventory:
    """Returns what an output holds: one listing per folder, all of them at once.

    Raises:
        StoreError: it cannot be listed.
    """
    with ThreadPoolExecutor(len(FOLDERS)) as pool:
        graphs, scans, canvases, known, running, queries = pool.map(storage.walk, FOLDERS)
    return Inventory(
        graphs=group_graphs(graphs),
        scans=_by_folder(scans),
        running=_by_folder(running),
        canvases=canvases,
        known=known,
        queries=_by_folder(queries),
    )


def group_graphs(files: Files) -> dict[str, dict[str, FileStat]]:
    """Returns the files of graphs by graph key; what lies elsewhere is not of this program."""
    groups: dict[str, dict[str, FileStat]] = {}
    for path, stat in files.items():
        match = _GRAPH_FILE.fullmatch(path)
        if match:
            groups.setdefault(match["key"], {})[path] = stat
    return groups


def _by_folder(files: Files) -> dict[str, dict[str, FileStat]]:
    """Groups ``scans/<id>/...`` by id; files beside the folders are left out."""
    groups: dict[str, dict[str, FileStat]] = {}
    for path, stat in files.items():
        _, name, *inside = path.split("/")
        if inside:
            groups.setdefault(name, {})[path] = stat
    return groups
