"""Queries in a storage: a model's own graphs, its tables, and then the manifest, written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from depara.errors import StoreError
from depara.store.artifacts import decode_table
from depara.store.layout import (
    query_folder,
    query_manifest_path,
    query_table_path,
)
from depara.store.markers import json_checksum
from depara.store.scans import table_bytes, table_fact
from depara.store.schemas import SCHEMA_VERSION, TABLES
from depara.store.storage import Storage, sha256_hex


def query_storage(storage: Storage, query_id: str) -> Storage:
    """Returns the storage that holds the graphs of a query's model."""
    return Storage(storage.location(query_folder(query_id)))


def write_query(
    storage: Storage,
    query_id: str,
    scan_id: str,
    tables: Mapping[str, pa.Table],
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes the tables of a query, then the manifest that makes it a finished one.

    What stands there is replaced: of two that write the same query, the last one wins, and a
    manifest that is not of the tables beside it is as if there were none.

    Args:
        storage: the output.
        query_id: the query.
        scan_id: the scan that was asked.
        tables: by name, of the schemas of a scan's tables.
        record: what else the manifest says, JSON-ready.

    Returns:
        The manifest.

    Raises:
        StoreError: something cannot be written.
    """
    facts = {}
    for name, table in tables.items():
        data = table_bytes(name, table, scan_id)
        storage.replace(query_table_path(query_id, name), data)
        facts[name] = table_fact(table, data)
    tree = {
        "schema_version": SCHEMA_VERSION,
        "query_id": query_id,
        "scan_id": scan_id,
        **record,
        "tables": facts,
    }
    checked = {**tree, "checksum": json_checksum(tree)}
    storage.replace(query_manifest_path(query_id), json.dumps(checked, indent=1).encode())
    return tree


def read_query_manifest(storage: Storage, query_id: str) -> dict[str, Any] | None:
    """Returns the manifest of a query, or None when there is none.

    Raises:
        StoreError: it is damaged, or of another query.
    """
    path = query_manifest_path(query_id)
    data = storage.read_or_none(path)
    if data is None:
        return None
    location = storage.location(path)
    try:
        tree = json.loads(data)
        is_sound = tree.pop("checksum") == json_checksum(tree)
        is_mine = tree["query_id"] == query_id and isinstance(tree["scan_id"], str)
        facts = tree["tables"].items()
        is_sound = is_sound and tree["schema_version"] == SCHEMA_VERSION
        is_sound = is_sound and all(name in TABLES and "sha256" in fact for name, fact in facts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{location} is damaged: {error}; ask again with --fresh") from error
    if not (is_sound and is_mine):
        raise StoreError(f"{location} is damaged: ask again with --fresh")
    assert isinstance(tree, dict)
    return tree


def read_query_tables(storage: Storage, manifest: Mapping[str, Any]) -> dict[str, pa.Table]:
    """Returns all tables of a query, each compared with its checksum in the manifest.

    Raises:
        StoreError: one is missing or damaged.
    """
    tables = {}
    for name, fact in manifest["tables"].items():
        path = query_table_path(manifest["query_id"], name)
        data = storage.read_or_none(path)
        if data is None or sha256_hex(data) != fact["sha256"]:
            what = "is missing" if data is None else "does not match its checksum"
            raise StoreError(f"{storage.location(path)} {what}: ask again with --fresh")
        tables[name] = decode_table(data, TABLES[name], storage.location(path))
    return tables
