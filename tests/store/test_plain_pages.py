"""Columns straight from the pages of a file, against Parquet's own reader."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depara.store.artifacts import decode_edges, encode_edges
from depara.store.plain_pages import columns_of_pages

VALUES = np.random.default_rng(0).standard_normal(5000)
VALUES[:4] = [np.nan, np.inf, -0.0, 5e-324]
TYPES = {"single": np.float32, "double": np.float64}


def written(nulls: tuple[str, ...] = (), **options: Any) -> bytes:
    """A file with a column of each type; some may be null."""
    columns = {
        "other": pa.array(np.arange(len(VALUES), dtype=np.int32)),
        **{name: pa.array(VALUES.astype(kind)) for name, kind in TYPES.items()},
    }
    fields = [pa.field(name, one.type, name in nulls) for name, one in columns.items()]
    sink = io.BytesIO()
    table = pa.table(list(columns.values()), schema=pa.schema(fields))
    pq.write_table(table, sink, **{"use_dictionary": False, **options})
    return sink.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "none"},
        {"compression": "zstd", "write_page_checksum": True, "write_statistics": False},
        {"data_page_size": 1000, "write_batch_size": 100, "compression": "snappy"},
        {"row_group_size": 700},
    ],
)
def test_pages_groups_and_codecs_do_not_matter(options: dict[str, Any]) -> None:
    found = columns_of_pages(written(**options), ["double", "single"])
    assert found is not None
    assert [column.dtype for column in found] == [np.float64, np.float32]
    assert found[0].tobytes() == VALUES.tobytes()
    assert found[1].tobytes() == VALUES.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": True},
        {"data_page_version": "2.0"},
        {"use_byte_stream_split": ["single"]},
        {"nulls": ("single",)},
    ],
)
def test_what_is_written_otherwise_is_left_to_parquets_own_reader(options: dict[str, Any]) -> None:
    assert columns_of_pages(written(**options), ["single"]) is None


@pytest.mark.parametrize("name", ["absent", "other"])
def test_a_column_of_no_floats_is_not_taken(name: str) -> None:
    assert columns_of_pages(written(), [name]) is None


def test_no_parquet_file_has_no_columns() -> None:
    assert columns_of_pages(b"PAR1 but no more", ["single"]) is None


def test_edges_written_otherwise_are_read_all_the_same() -> None:
    pairs = np.triu_indices(5, 1)
    cosine_E = np.linspace(-1, 1, 10, dtype=np.float32)
    data = encode_edges("0" * 32, pairs, cosine_E)
    sink = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(data)), sink, data_page_version="2.0")
    for one in (data, sink.getvalue()):
        np.testing.assert_array_equal(decode_edges(one, "x"), cosine_E)


def test_a_flipped_bit_of_a_page_header_gives_no_other_values() -> None:
    data = written(compression="none", write_statistics=False)
    chunk = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(2)
    values = data.index(VALUES.tobytes())
    for place in range(chunk.data_page_offset, values):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            found = columns_of_pages(bytes(flipped), ["double"])
            assert found is None or found[0].tobytes() == VALUES.tobytes(), place
