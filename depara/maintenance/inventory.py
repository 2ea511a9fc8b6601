"""Everything that an output holds, from one listing of each of its folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from depara.store.artifacts import MARKER_FILE
from depara.store.keys import GRAPHS, graph_folder
from depara.store.running import RUNNING
from depara.store.scans import MANIFEST_FILE, SCANS, scan_folder
from depara.store.storage import FileStat, Storage

CANVASES_FOLDER = "canvases"
KNOWN_FOLDER = "known"
FOLDERS = (GRAPHS, SCANS, CANVASES_FOLDER, KNOWN_FOLDER, RUNNING)
COLLECTED_FILE = "collected.json"
"""In the folder of a finished scan: its graphs and canvases may have been collected."""

_GRAPH_FILE = re.compile(rf"{GRAPHS}/(?P<shard>[0-9a-f]{{2}})/(?P<key>(?P=shard)[0-9a-f]+)/[^/]+")

Files = Mapping[str, FileStat]
"""Files by their path relative to the output."""


@dataclass(frozen=True)
class Inventory:
    """The files of an output, grouped by what they belong to.

    ``graphs`` are by graph key, ``scans`` and ``running`` by scan id; ``canvases`` and ``known``
    are all files below these folders. Files that belong to none of them are left out.
    """

    graphs: Mapping[str, Files]
    scans: Mapping[str, Files]
    running: Mapping[str, Files]
    canvases: Files
    known: Files

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
        graphs, scans, canvases, known, running = pool.map(storage.walk, FOLDERS)
    return Inventory(
        graphs=group_graphs(graphs),
        scans=_by_folder(scans),
        running=_by_folder(running),
        canvases=canvases,
        known=known,
    )


def group_graphs(files: Files) -> dict[str, dict[str, FileStat]]:
    """Returns the files of graphs by graph key; what lies elsewhere is not of this program."""
    groups: dict[str, dict[str, FileStat]] = {}
    for path, stat in files.items():
        match = _GRAPH_FILE.fullmatch(path)
        if match:
            groups.setdefault(match["key"], {})[path] = stat
    return groups


def marker_path(key: str) -> str:
    """Returns the path of a graph's commit marker."""
    return f"{graph_folder(key)}/{MARKER_FILE}"


def probe_set_path(key: str) -> str:
    """Returns the path of a probe set's record."""
    return f"{CANVASES_FOLDER}/sets/{key}.json"


def manifest_path(scan_id: str) -> str:
    """Returns the path of a scan's manifest."""
    return f"{scan_folder(scan_id)}/{MANIFEST_FILE}"


def collected_path(scan_id: str) -> str:
    """Returns the path of the note that a scan's graphs may have been collected."""
    return f"{scan_folder(scan_id)}/{COLLECTED_FILE}"


def _by_folder(files: Files) -> dict[str, dict[str, FileStat]]:
    """Groups ``scans/<id>/...`` by id; files beside the folders are left out."""
    groups: dict[str, dict[str, FileStat]] = {}
    for path, stat in files.items():
        _, name, *inside = path.split("/")
        if inside:
            groups.setdefault(name, {})[path] = stat
    return groups
