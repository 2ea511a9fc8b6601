"""Tables of a scan in parts: a file per block of targets, which together are one table.

A table of all pairs outgrows every memory; a target's rows do not, and rankings need no other. So a
large scan writes ``<table>/part-00000.parquet`` and so on, each by a task of its own, with the
target models of each in its manifest: readers open the parts that they need. The parts are in order
of their targets' names, and the rows of each likewise.

A part whose pairs an earlier scan has ranked in the same way, which its key tells, is the same file
under a second name; its Parquet metadata names the scan that wrote it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from depara.store.artifacts import texts_as_dictionaries
from depara.store.layout import part_path
from depara.store.row_ranges import GROUP_ROWS
from depara.store.scans import complete_table, read_checked, table_fact
from depara.store.schemas import SCHEMA_VERSION, TABLES
from depara.store.storage import Storage


def write_part(
    storage: Storage,
    scan_id: str,
    name: str,
    number: int,
    table: pa.Table,
    *,
    targets: Sequence[str],
    key: str,
) -> dict[str, Any]:
    """Writes one part of a table, its schema enforced; returns what the manifest says of it.

    Args:
        storage: the output.
        scan_id: the scan.
        name: the table.
        number: of the part, from 0.
        table: its rows.
        targets: the target models of them.
        key: identity of what the rows follow from.

    Raises:
        StoreError: the part of this scan exists already, with other content.
    """
    data = encode_part(table, TABLES[name], scan_id)
    storage.ensure(part_path(scan_id, name, number), data)
    return {**table_fact(table, data), "targets": list(targets), "key": key}


def encode_part(table: pa.Table, schema: pa.Schema, scan_id: str) -> memoryview:
    """Returns a part as Parquet of a schema, in groups by which readers find a target's rows.

    There are statistics of the target alone: a group has all sources of some targets, whose scores
    are anywhere. Floats are byte-stream-split, so that doubles of single precision, as most scores
    are, compress at the fastest level as well as plain ones at another.
    """
    # Dictionaries of texts are written as they are.
    coded = complete_table(table, texts_as_dictionaries(schema)).unify_dictionaries()
    facts = {"schema_version": SCHEMA_VERSION, "scan_id": scan_id}
    # Readers make texts of them by what Arrow keeps of the schema, which has to be said here:
    # https://arrow.apache.org/docs/cpp/parquet.html#serialization-details
    shown = base64.b64encode(schema.with_metadata(facts).serialize()).decode()
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        coded.schema,
        compression="zstd",
        compression_level=-1,
        use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        write_statistics=["target_model"],
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(coded, GROUP_ROWS)
        writer.add_key_value_metadata({**facts, "ARROW:schema": shown})
    return memoryview(sink.getvalue())


def link_part(
    storage: Storage,
    scan_id: str,
    name: str,
    number: int,
    known: tuple[str, int, Mapping[str, Any]],
) -> dict[str, Any]:
    """Gives a part of an earlier scan a second name; returns what the manifest says of it.

    Args:
        storage: the output.
        scan_id: the scan.
        name: the table.
        number: of the part in this scan.
        known: the earlier scan, the part's number in it, and what its manifest says of it.

    Raises:
        StoreError: the earlier scan's part is missing or damaged, or it cannot be written.
    """
    earlier, place, fact = known
    source = part_path(earlier, name, place)
    data = read_checked(storage, source, fact)
    storage.link(part_path(scan_id, name, number), source, data)
    return {"written_by": earlier, **fact}


def link_table(
    storage: Storage, scan_id: str, name: str, earlier: str, fact: Mapping[str, Any]
) -> dict[str, Any]:
    """Gives all parts of an earlier scan's table a second name; returns the table's fact."""
    parts = [
        link_part(storage, scan_id, name, number, (earlier, number, part))
        for number, part in enumerate(fact["parts"])
    ]
    return joined_fact(parts)


def joined_fact(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what a manifest says of a table in parts.

    Its ``sha256`` is that of the parts' own, one after the other.
    """
    digests = "".join(part["sha256"] for part in parts)
    return {
        "rows": sum(part["rows"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
        "sha256": hashlib.sha256(digests.encode()).hexdigest(),
        "parts": [dict(part) for part in parts],
    }
