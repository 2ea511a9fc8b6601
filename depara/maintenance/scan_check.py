"""What a finished scan must be: its manifest, its tables, and the graphs that it refers to."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from depara.errors import SchemaError, StoreError
from depara.locations import redact
from depara.maintenance.graph_check import open_parquet
from depara.maintenance.inventory import Files
from depara.maintenance.problem import Problem
from depara.store.layout import (
    LATEST_FILE,
    collected_path,
    graph_folder,
    manifest_path,
    marker_path,
    scan_folder,
    table_path,
)
from depara.store.scans import read_manifest, table_files
from depara.store.storage import Storage, sha256_hex

_FACTS = {"bytes", "rows", "sha256"}
_RESCAN = "scan again: the graphs are reused; then remove this folder, manifest.json first"


@dataclass(frozen=True)
class ScanCheck:
    """Checks one finished scan; ``fast`` looks at presence and sizes only."""

    storage: Storage
    scan_id: str
    fast: bool = False

    @property
    def folder(self) -> str:
        """The scan's folder, relative to the output."""
        return scan_folder(self.scan_id)

    def problems(self, files: Files) -> list[Problem]:
        """Returns what is wrong with the scan, given its files as they were listed.

        Nothing is wrong with a scan that is not, or no longer, finished.

        Raises:
            StorageUnavailableError: the storage does not answer.
        """
        try:
            manifest = parse_manifest(self.storage, self.scan_id)
            if manifest is None:
                return []
            found = []
            for name, fact in manifest["tables"].items():
                found += self._table_problems(name, fact, files)
        except StoreError as error:
            return [self._manifest_problem(f"cannot be used: {error}")]
        return found

    def _table_problems(self, name: str, fact: Any, files: Files) -> list[Problem]:
        of_table = [fact] if not isinstance(fact, dict) else [fact, *fact.get("parts", ())]
        if any(not isinstance(one, dict) or not one.keys() >= _FACTS for one in of_table):
            return [self._manifest_problem(f"says nothing of the bytes, rows, sha256 of {name}")]
        found = []
        for path, one in table_files(self.scan_id, name, fact):
            found += self._file_problems(path, dict(one or {}), files)
        return found

    def _file_problems(self, path: str, fact: dict[str, Any], files: Files) -> list[Problem]:
        if path not in files:
            return [self._problem(path, "is missing")]
        if files[path].bytes != fact["bytes"]:
            expected, got = f"{fact['bytes']} bytes", f"{files[path].bytes} bytes"
            return [self._problem(path, "has another size", expected, got)]
        if self.fast:
            return []
        data = self.storage.read_or_none(path)
        if data is None:
            return [self._problem(path, "is missing")]
        if (digest := sha256_hex(data)) != fact["sha256"]:
            what, expected = (
                "does not match its checksum in the manifest",
                f"sha256 {fact['sha256']}",
            )
            return [self._problem(path, what, f"sha256 {fact['sha256']}", digest)]
        try:
            rows, metadata, _ = open_parquet(data)
        except SchemaError as error:
            return [self._problem(path, f"is no readable Parquet file: {error}")]
        if rows != fact["rows"]:
            what = "has another number of rows than the manifest states"
            return [self._problem(path, what, str(fact["rows"]), str(rows))]
        writer = fact.get("written_by", self.scan_id)  # a part may be that of an earlier scan
        if metadata.get("scan_id") != writer:
            got = metadata.get("scan_id", "(none)")
            return [self._problem(path, "is of another scan", writer, got)]
        return []

    def _manifest_problem(self, what: str, expected: str = "", got: str = "") -> Problem:
        return self._problem(manifest_path(self.scan_id), what, expected, got)

    def _problem(self, path: str, what: str, expected: str = "", got: str = "") -> Problem:
        return Problem(redact(self.storage.location(path)), what, expected, got, _RESCAN)


def parse_manifest(storage: Storage, scan_id: str) -> dict[str, Any] | None:
    """Returns the manifest of a scan with its ``tables``, or None when the scan is not finished.

    Raises:
        StoreError: it is damaged.
    """
    manifest = read_manifest(storage, scan_id)
    if manifest is None:
        return None
    tables = manifest.get("tables")
    if not isinstance(tables, dict) or "layers" not in tables:
        location = redact(storage.location(manifest_path(scan_id)))
        raise StoreError(f"{location} is damaged: it names no table of layers")
    return manifest


def read_graph_keys(storage: Storage, scan_id: str, fact: Mapping[str, Any]) -> frozenset[str]:
    """Returns the keys in a scan's table of layers, which must be what the manifest vouches for.

    Raises:
        StoreError: missing, or damaged.
    """
    path = table_path(scan_id, "layers")
    location = redact(storage.location(path))
    data = storage.read_or_none(path)
    if data is None:
        raise StoreError(f"{location} is missing")
    if sha256_hex(data) != fact.get("sha256"):
        raise StoreError(f"{location} does not match its checksum in the manifest")
    try:
        _, _, file = open_parquet(data)
        keys = file.read(columns=["graph_key"], use_threads=False)["graph_key"].to_pylist()
    except (SchemaError, pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(f"{location} cannot be read: {error}") from error
    return frozenset(map(str, keys))


def uncommitted_problems(
    storage: Storage, scan_id: str, keys: Collection[str], committed: Collection[str]
) -> Iterator[Problem]:
    """Yields the graphs that a scan refers to and that are not committed, looked at once more."""
    lacking = sorted(set(keys) - set(committed))
    if lacking and storage.read_or_none(collected_path(scan_id)) is not None:
        return  # since the listing
    for key in lacking:
        if storage.read_or_none(marker_path(key)) is None:
            what = f"is not committed, but scan {scan_id} refers to it"
            remedy = "scan again: it is computed anew"
            yield Problem(redact(storage.location(graph_folder(key))), what, remedy=remedy)


def latest_problems(storage: Storage, finished: Collection[str]) -> Iterator[Problem]:
    """Yields what is wrong with the pointer to the latest scan."""
    location = redact(storage.location(LATEST_FILE))
    remedy = "name a scan with --scan (`depara scans` lists them); the next scan writes it anew"
    data = storage.read_or_none(LATEST_FILE)
    if data is None:
        if finished:
            yield Problem(
                location, f"is missing, with {len(finished)} finished scans", remedy=remedy
            )
        return
    try:
        scan_id = json.loads(data)["scan_id"]
    except (ValueError, KeyError, TypeError) as error:
        yield Problem(location, f"is damaged: {error}", remedy=remedy)
        return
    if scan_id not in finished and storage.read_or_none(manifest_path(str(scan_id))) is None:
        yield Problem(location, "names a scan that is not finished", "", str(scan_id), remedy)
