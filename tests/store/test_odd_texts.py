"""No text that a scan meets can keep a table from being written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from depara.store.artifacts import table_of_rows
from depara.store.scans import read_table, write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage

ODD = "caf\udce9 \ud800 \0 \n \x1b[2J \u202e كلب " + "x" * 10_000
STORED = "caf\\xe9 \\ud800 \0 \n \x1b[2J \u202e كلب " + "x" * 10_000


def value_of(kind: pa.DataType) -> object:
    if pa.types.is_string(kind):
        return ODD
    if pa.types.is_list(kind):
        return [value_of(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: value_of(field.type) for field in kind}
    return pa.scalar(1).cast(kind).as_py()


def texts_of(value: object) -> set[str]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return set().union(*map(texts_of, parts))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_texts_takes_any_text(name: str, tmp_path: Path) -> None:
    schema = TABLES[name]
    row = {field.name: value_of(field.type) for field in schema}
    storage = Storage(str(tmp_path))
    write_table(storage, "scan", name, table_of_rows([row], schema))
    [found] = read_table(storage, "scan", name).to_pylist()
    assert texts_of(row) <= {ODD}
    assert texts_of(found) == ({STORED} if texts_of(row) else set())
