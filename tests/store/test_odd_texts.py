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
    return [1.0] if pa.types.is_list(kind) else pa.scalar(1).cast(kind).as_py()


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_texts_takes_any_text(name: str, tmp_path: Path) -> None:
    schema = TABLES[name]
    row = {field.name: value_of(field.type) for field in schema}
    storage = Storage(str(tmp_path))
    write_table(storage, "scan", name, table_of_rows([row], schema))
    [found] = read_table(storage, "scan", name).to_pylist()
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    assert {found[column] for column in texts} <= {STORED}
