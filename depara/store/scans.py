"""Finished scans in a storage: tables, then the manifest, then the pointer to the latest."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from depara.errors import StoreError, near_names
from depara.store.artifacts import decode_columns, decode_table, encode_table, with_null_columns
from depara.store.layout import (
    LATEST_FILE,
    SCANS,
    manifest_path,
    part_path,
    scan_folder,
    table_path,
)
from depara.store.markers import json_checksum
from depara.store.row_ranges import Rows, rows_with
from depara.store.schemas import SCHEMA_VERSION, TABLES
from depara.store.storage import Storage, sha256_hex

_READS_AT_ONCE = 16
_LOG = logging.getLogger("depara.store")
_MAX_SWAPS = 100
_TARGET = "target_model"


def write_table(storage: Storage, scan_id: str, name: str, table: pa.Table) -> dict[str, Any]:
    """Writes one table of a scan, its schema enforced; returns rows, bytes and sha256.

    Nullable columns that the table lacks are null throughout. A task that is repeated after its
    node died finds what it wrote before, byte for byte, and goes on.

    Raises:
        StoreError: the table of this scan exists already, with other content.
    """
    data = table_bytes(name, table, scan_id)
    storage.ensure(table_path(scan_id, name), data)
    return table_fact(table, data)


def table_bytes(name: str, table: pa.Table, scan_id: str) -> bytes:
    """Returns a table of a scan as Parquet, its schema enforced; what may be null may be absent."""
    return encode_table(complete_table(table, TABLES[name]), {"scan_id": scan_id})


def complete_table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Returns a table with all columns of a schema, in order and of its types."""
    return with_null_columns(table, schema).select(schema.names).cast(schema)


def table_fact(table: pa.Table, data: bytes | memoryview) -> dict[str, Any]:
    """Returns what a manifest says of a table."""
    return {"rows": table.num_rows, "bytes": len(data), "sha256": sha256_hex(data)}


def read_table(
    storage: Storage,
    scan_id: str,
    name: str,
    fact: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    targets: Collection[str] | None = None,
) -> pa.Table:
    """Returns one table of a scan, or some columns of it with texts as dictionaries.

    Args:
        storage: the output.
        scan_id: the scan.
        name: the table.
        fact: what the scan's manifest says of it, compared with what is read. Without it the table
            is taken for one file.
        columns: which; None is all.
        targets: rows of these target models alone, of a table that has such; None is all.

    Raises:
        StoreError: missing or damaged.
    """
    found = list(table_parts(storage, scan_id, name, fact, columns, targets))
    if len(found) == 1:
        return found[0]
    if not found:
        schema = TABLES[name]
        return (schema if columns is None else _some(schema, columns)).empty_table()
    return pa.concat_tables(found).unify_dictionaries()


def table_parts(
    storage: Storage,
    scan_id: str,
    name: str,
    fact: Mapping[str, Any] | None,
    columns: Sequence[str] | None = None,
    targets: Collection[str] | None = None,
) -> Iterator[pa.Table]:
    """Yields a table of a scan part by part, so that it is never whole in memory; `read_table`.

    A table in one file is one part. Parts without a row of the targets wanted are not read.

    Raises:
        StoreError: a part is missing or damaged.
    """
    wanted = None if targets is None else pa.array(sorted(targets), pa.string())
    rows = None if targets is None else rows_with(_TARGET, targets)
    read = columns
    if columns is not None and wanted is not None and _TARGET not in columns:
        read = [*columns, _TARGET]
    for path, part in table_files(scan_id, name, fact, targets):
        table = read_file(storage, path, name, part, read, rows)
        if wanted is not None:
            texts = table[_TARGET].cast(pa.string())
            table = table.filter(pc.is_in(texts, value_set=wanted))
        yield table if columns is None else table.select(list(columns))


def table_files(
    scan_id: str,
    name: str,
    fact: Mapping[str, Any] | None,
    targets: Collection[str] | None = None,
) -> list[tuple[str, Mapping[str, Any] | None]]:
    """Returns path and fact of each file of a table: one, or one for each block of targets.

    Args:
        scan_id: the scan.
        name: the table.
        fact: what its manifest says of the table.
        targets: files with rows of these target models alone; None is all.
    """
    parts = None if fact is None else fact.get("parts")
    if parts is None:
        return [(table_path(scan_id, name), fact)]
    return [
        (part_path(scan_id, name, number), part)
        for number, part in enumerate(parts)
        if targets is None or not set(targets).isdisjoint(part["targets"])
    ]


def read_file(
    storage: Storage,
    path: str,
    name: str,
    fact: Mapping[str, Any] | None,
    columns: Sequence[str] | None = None,
    rows: Rows | None = None,
) -> pa.Table:
    """Returns one file of a table, or some of its rows, or some columns, texts as dictionaries.

    Raises:
        StoreError: missing or damaged.
    """
    data = read_checked(storage, path, fact)
    if columns is not None:
        return decode_columns(data, TABLES[name], columns, storage.location(path), rows)
    return decode_table(data, TABLES[name], storage.location(path), rows)


def read_columns(
    storage: Storage,
    path: str,
    name: str,
    fact: Mapping[str, Any] | None,
    columns: Sequence[str],
    rows: Rows | None = None,
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yields columns of numbers of a file one by one, as `read_file` has them; null is NaN.

    Raises:
        StoreError: missing or damaged.
    """
    data, place = read_checked(storage, path, fact), storage.location(path)
    for column in columns:
        yield column, decode_columns(data, TABLES[name], [column], place, rows)[column].to_numpy()


def read_checked(storage: Storage, path: str, fact: Mapping[str, Any] | None) -> bytes:
    """Returns the bytes of a file of a scan, compared with what the manifest says of it.

    Raises:
        StoreError: missing or damaged.
    """
    try:
        for _ in range(2):  # once more: the answer may have been cut short
            data = storage.read(path)
            if fact is None or sha256_hex(data) == fact["sha256"]:
                return data
    except FileNotFoundError as error:
        raise StoreError(f"{storage.location(path)} is missing") from error
    assert fact is not None
    raise StoreError(
        f"{storage.location(path)} does not match its checksum in the manifest ({len(data)} "
        f"bytes, expected {fact['bytes']}): scan again, and read the new scan"
    )


def _some(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns])


def finish_scan(storage: Storage, scan_id: str, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest, which makes the scan a finished one, and points `latest.json` to it.

    ``sequence`` in both counts the finished scans of the output, whatever the clocks say.

    Raises:
        StoreError: the scan is finished already, with other results.
    """
    sequence = latest_sequence(storage) + 1
    tree = {"schema_version": SCHEMA_VERSION, "scan_id": scan_id, "sequence": sequence, **manifest}
    tree["checksum"] = json_checksum(tree)
    storage.ensure(manifest_path(scan_id), json.dumps(tree, indent=1).encode())
    _move_latest(storage, scan_id)


def _move_latest(storage: Storage, scan_id: str) -> None:
    """Moves the pointer by compare-and-swap: of scans that end together, none is uncounted."""
    for _ in range(_MAX_SWAPS):
        found = storage.read_versioned(LATEST_FILE)
        sequence = _sequence(storage, found[0] if found else None)
        data = json.dumps({"scan_id": scan_id, "sequence": sequence + 1}).encode()
        if storage.swap(LATEST_FILE, data, found[1] if found else None):
            return
    raise StoreError(
        f"{storage.location(LATEST_FILE)} keeps changing: scan {scan_id} is finished, but it "
        "could not be made the latest; name it with --scan"
    )


def latest_sequence(storage: Storage) -> int:
    """Returns how many scans have been finished in this output; 0 for none."""
    return _sequence(storage, storage.read_or_none(LATEST_FILE))


def _sequence(storage: Storage, latest: bytes | None) -> int:
    """The count in `latest.json`; a damaged one is counted anew, so that it can be replaced."""
    if latest is None:
        return 0
    try:
        return int(_parse_latest(storage, latest)["sequence"])
    except StoreError:
        return max(
            (m.get("sequence", 0) for m in finished_manifests(storage, tolerant=True)), default=0
        )


def _parse_latest(storage: Storage, data: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(data)
        return {"scan_id": str(tree["scan_id"]), "sequence": int(tree.get("sequence", 0))}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{storage.location(LATEST_FILE)} is damaged: name a scan with --scan (`depara scans` "
            "lists them); the next scan writes it anew"
        ) from error


def remove_unfinished(storage: Storage, scan_id: str) -> None:
    """Removes what an interrupted scan left in its folder, so that it can be written anew.

    Raises:
        StoreError: the scan is finished.
    """
    if read_manifest(storage, scan_id) is not None:
        raise StoreError(f"scan {scan_id!r} is finished in {storage.root}: it is not removed")
    storage.remove(storage.walk(scan_folder(scan_id)))


def read_manifest(storage: Storage, scan_id: str) -> dict[str, Any] | None:
    """Returns the manifest of a scan, or None when the scan is absent or not finished.

    Raises:
        StoreError: it is damaged, or of another scan.
    """
    path = manifest_path(scan_id)
    data = storage.read_or_none(path)
    if data is None:
        return None
    location = storage.location(path)
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise StoreError(f"{location} is damaged: {error}") from error
    if not isinstance(manifest, dict):
        raise StoreError(f"{location} is damaged: it is no JSON object")
    checksum = manifest.pop("checksum", None)
    if checksum is not None and checksum != json_checksum(manifest):
        raise StoreError(f"{location} is damaged: it does not match its own checksum")
    if manifest.get("scan_id") != scan_id:
        raise StoreError(f"{location} is of another scan, {manifest.get('scan_id')!r}")
    return manifest


def finished_manifests(storage: Storage, *, tolerant: bool = False) -> list[dict[str, Any]]:
    """Returns the manifests of the finished scans, oldest first.

    Their order is that of ``sequence``, then of the time in them: clocks may jump.

    Args:
        storage: the output.
        tolerant: leave damaged ones out, with a warning in the log.

    Raises:
        StoreError: a manifest is damaged, and `tolerant` is not set.
    """

    def read(scan_id: str) -> dict[str, Any] | None:
        try:
            return read_manifest(storage, scan_id)
        except StoreError as error:
            if not tolerant:
                raise
            _LOG.warning("%s; the scan is left out", error)
            return None

    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        manifests = pool.map(read, storage.folders(SCANS))
        found = [manifest for manifest in manifests if manifest is not None]
    return sorted(found, key=lambda m: (m.get("sequence", 0), m.get("finished_at", "")))


def finished_scans(storage: Storage) -> list[str]:
    """Returns the ids of the finished scans, oldest first."""
    return [str(m["scan_id"]) for m in finished_manifests(storage, tolerant=True)]


def resolve_scan_id(storage: Storage, scan_id: str | None) -> str:
    """Returns the given scan id when that scan is finished, or the latest one for None.

    Raises:
        StoreError: no such finished scan, with the near ids.
    """
    if scan_id is None:
        data = storage.read_or_none(LATEST_FILE)
        if data is None:
            raise StoreError(f"{storage.root} holds no finished scan: run one, or check the path")
        return str(_parse_latest(storage, data)["scan_id"])
    if read_manifest(storage, scan_id) is None:
        known = finished_scans(storage)
        hint = near_names(scan_id, known) or f"finished scans: {', '.join(known[-5:]) or 'none'}"
        raise StoreError(f"{storage.root} holds no finished scan {scan_id!r}; {hint}")
    return scan_id
