"""Finished scans in a storage: tables, then the manifest, then the pointer to the latest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from depara.errors import StoreError, near_names
from depara.store.artifacts import decode_table, encode_table
from depara.store.schemas import SCHEMA_VERSION, TABLES
from depara.store.storage import Storage, sha256_hex

MANIFEST_FILE = "manifest.json"
LATEST_FILE = "latest.json"


def scan_folder(scan_id: str) -> str:
    """Returns the folder of a scan, relative to the output."""
    return f"scans/{scan_id}"


def table_path(scan_id: str, table: str) -> str:
    """Returns the path of one table of a scan, relative to the output."""
    return f"{scan_folder(scan_id)}/{table}.parquet"


def write_table(storage: Storage, scan_id: str, name: str, table: pa.Table) -> dict[str, Any]:
    """Writes one table of a scan, its schema enforced; returns rows, bytes and sha256.

    Nullable columns that the table lacks are null throughout.

    Raises:
        StoreError: the table of this scan exists already.
    """
    schema = TABLES[name]
    for field in schema:
        if field.nullable and field.name not in table.schema.names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    data = encode_table(table.select(schema.names).cast(schema), {"scan_id": scan_id})
    if not storage.create(table_path(scan_id, name), data):
        raise StoreError(
            f"{storage.location(table_path(scan_id, name))} exists: scans are never overwritten; "
            "choose another scan_id or leave it null"
        )
    return {"rows": table.num_rows, "bytes": len(data), "sha256": sha256_hex(data)}


def read_table(storage: Storage, scan_id: str, name: str) -> pa.Table:
    """Returns one table of a scan.

    Raises:
        StoreError: missing or damaged.
    """
    path = table_path(scan_id, name)
    try:
        data = storage.read(path)
    except FileNotFoundError as error:
        raise StoreError(f"{storage.location(path)} is missing") from error
    return decode_table(data, TABLES[name], storage.location(path))


def finish_scan(storage: Storage, scan_id: str, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest, which makes the scan a finished one, and points `latest.json` to it."""
    tree = {"schema_version": SCHEMA_VERSION, "scan_id": scan_id, **manifest}
    data = json.dumps(tree, indent=1).encode()
    if not storage.create(f"{scan_folder(scan_id)}/{MANIFEST_FILE}", data):
        raise StoreError(f"scan {scan_id} is already finished in {storage.root}")
    storage.replace(LATEST_FILE, json.dumps({"scan_id": scan_id}).encode())


def read_manifest(storage: Storage, scan_id: str) -> dict[str, Any] | None:
    """Returns the manifest of a scan, or None when the scan is absent or not finished."""
    data = storage.read_or_none(f"{scan_folder(scan_id)}/{MANIFEST_FILE}")
    if data is None:
        return None
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise StoreError(f"the manifest of scan {scan_id} is damaged: {error}") from error
    assert isinstance(manifest, dict)
    return manifest


def finished_scans(storage: Storage) -> list[str]:
    """Returns the ids of the finished scans, oldest first by the time in their manifest."""
    found = []
    for scan_id in storage.folders("scans"):
        manifest = read_manifest(storage, scan_id)
        if manifest is not None:
            found.append((str(manifest.get("finished_at", "")), scan_id))
    return [scan_id for _, scan_id in sorted(found)]


def resolve_scan_id(storage: Storage, scan_id: str | None) -> str:
    """Returns the given scan id when that scan is finished, or the latest one for None.

    Raises:
        StoreError: no such finished scan, with the near ids.
    """
    if scan_id is None:
        data = storage.read_or_none(LATEST_FILE)
        if data is None:
            raise StoreError(f"{storage.root} holds no finished scan: run one, or check the path")
        return str(json.loads(data)["scan_id"])
    if read_manifest(storage, scan_id) is None:
        known = finished_scans(storage)
        hint = near_names(scan_id, known) or f"finished scans: {', '.join(known[-5:]) or 'none'}"
        raise StoreError(f"{storage.root} holds no finished scan {scan_id!r}; {hint}")
    return scan_id
