"""Some rows of a Parquet file: those asked for, and no other row group is decoded."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.store.artifacts import decode_columns, decode_table
from depara.store.parts import encode_part
from depara.store.row_ranges import read_rows, rows_between, rows_with

SCHEMA = pa.schema(
    [
        pa.field("target_model", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
NAMES = np.repeat(["ash", "elm", "fir", "oak", "yew"], 6)
TABLE = pa.table([pa.array(NAMES), np.arange(30.0)], schema=SCHEMA)
with patch("depara.store.parts.GROUP_ROWS", 4):
    DATA = bytes(encode_part(TABLE, SCHEMA, "one"))


def opened(data: bytes = DATA) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(data))


@pytest.mark.parametrize("start", [0, 3, 4, 29, 30])
@pytest.mark.parametrize("count", [0, 1, 5, 30])
def test_rows_are_those_asked_for(start: int, count: int) -> None:
    assert opened().num_row_groups == 8
    found = read_rows(opened(), ["value"], rows_between(start, start + count))
    assert found["value"].to_pylist() == list(range(start, min(start + count, 30)))


def test_without_a_wish_all_rows_are_read() -> None:
    found = read_rows(opened(), None, None)
    assert found.equals(TABLE)
    assert found.schema.metadata[b"scan_id"] == b"one"
    assert found.schema.equals(SCHEMA), "texts, whatever they were written from"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["elm"], range(4, 12)),
        (["elm", "oak"], range(4, 24)),
        (["ash", "yew"], range(30)),
        (["beech"], range(4, 8)),  # between two names of one group
        (["zelkova"], range(0)),
        ([], range(0)),
    ],
)
def test_statistics_say_where_a_text_may_be(wanted: list[str], expected: range) -> None:
    found = rows_with("target_model", wanted)(opened().metadata)
    assert (found.start, found.stop) == (expected.start, expected.stop)


def test_a_column_without_statistics_may_hold_anything() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink, row_group_size=4, write_statistics=False)
    metadata = opened(sink.getvalue().to_pybytes()).metadata
    assert rows_with("target_model", ["elm"])(metadata) == range(30)
    assert rows_with("source_model", ["elm"])(opened().metadata) == range(30)


def test_no_other_group_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = pq.ParquetFile.read_row_groups

    def counted(file: Any, groups: list[int], **options: Any) -> pa.Table:
        read.extend(groups)
        return plain(file, groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counted)
    found = decode_columns(
        DATA, SCHEMA, ["target_model", "value"], "here", rows_with("target_model", ["elm"])
    )
    assert read == [1, 2]
    assert found["value"].to_pylist() == list(range(4, 12))
    # One dictionary, whatever the groups have: what groups and joins needs it.
    chunks = found["target_model"].chunks
    assert all(chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks)
    assert (
        decode_table(DATA, SCHEMA, "here", rows_between(6, 12))["target_model"].to_pylist()
        == ["elm"] * 6
    )
