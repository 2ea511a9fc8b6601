"""Columns of a Parquet file taken straight from its pages, where their values stand end to end.

A graph's files are small, and Parquet's own reader sets up more for one than it decodes of it; a
list column it takes apart value by value. What is written otherwise than `encode_table` writes
numbers, in plain pages, is left to that reader.

Format: https://parquet.apache.org/docs/file-format/data-pages/ (version 1), headers in Thrift's
compact protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
"""Values of ``PageType`` and ``Encoding`` in parquet.thrift."""

_TYPE, _UNCOMPRESSED_SIZE, _COMPRESSED_SIZE, _DATA_HEADER = 1, 2, 3, 5
_NUM_VALUES, _ENCODING, _DEFINITION, _REPETITION = 1, 2, 3, 4
"""Fields of ``PageHeader`` and, in the second line, of ``DataPageHeader``."""

_KINDS: dict[str, np.dtype[Any]] = {"FLOAT": np.dtype("<f4"), "DOUBLE": np.dtype("<f8")}

_Struct = dict[int, "int | _Struct"]


class OtherwiseWrittenError(Exception):
    """The file is not as `encode_table` writes it, or damaged."""


def columns_of_pages(data: bytes, names: Sequence[str]) -> list[NDArray[Any]] | None:
    """Returns some columns of float32 or float64 without nulls; None unless in plain pages.

    Args:
        data: a Parquet file, which is trusted: `CommittedGraph` has compared its checksum.
        names: of the columns wanted.
    """
    try:
        return _columns(memoryview(data), names)
    except (OtherwiseWrittenError, IndexError, KeyError, ValueError, pa.ArrowException, OSError):
        return None


def _columns(data: memoryview, names: Sequence[str]) -> list[NDArray[Any]]:
    file = pq.ParquetFile(pa.BufferReader(data))
    metadata, schema = file.metadata, file.schema
    places = {schema.column(place).path: place for place in range(metadata.num_columns)}
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    found = []
    for name in names:
        column = schema.column(places[name])
        if column.max_definition_level or column.max_repetition_level:
            raise OtherwiseWrittenError
        kind = _KINDS[column.physical_type]
        pages = [
            page
            for group in groups
            for page in pages_of_chunk(group.column(places[name]), data, kind, levels=0)
        ]
        values = pages[0] if len(pages) == 1 else np.concatenate(pages)
        if values.size != metadata.num_rows:
            raise OtherwiseWrittenError
        found.append(values)
    return found


def pages_of_chunk(
    chunk: pq.ColumnChunkMetaData, data: memoryview, kind: DTypeLike, *, levels: int
) -> Iterator[NDArray[Any]]:
    """Yields the values of each page of a column chunk.

    Args:
        chunk: of a file.
        data: that file.
        kind: the values' type.
        levels: how many kinds of levels stand before the values: none of a required column.

    Raises:
        OtherwiseWrittenError, IndexError, KeyError, ValueError, OSError: no plain pages.
    """
    codec = None if chunk.compression == "UNCOMPRESSED" else pa.Codec(chunk.compression.lower())
    place, start = chunk.data_page_offset, 0
    num_values, most = chunk.num_values, chunk.total_uncompressed_size
    while start < num_values:
        header, place = _struct(data, place)
        counts = header[_DATA_HEADER]
        if not isinstance(counts, dict):
            raise OtherwiseWrittenError
        described = (header[_TYPE], counts[_ENCODING], counts[_DEFINITION], counts[_REPETITION])
        whole, size = _number(header, _UNCOMPRESSED_SIZE), _number(header, _COMPRESSED_SIZE)
        count = _number(counts, _NUM_VALUES)
        if described != (_DATA_PAGE, _PLAIN, _RLE, _RLE) or whole > most or not count:
            raise OtherwiseWrittenError
        page: pa.Buffer = pa.py_buffer(data[place : place + size])
        if codec is not None:
            page = codec.decompress(page, decompressed_size=whole)
        values = _values(memoryview(page), np.dtype(kind), levels)
        if values.size != count or start + count > num_values:  # a null has no value
            raise OtherwiseWrittenError
        yield values
        place, start = place + size, start + count
    if place != chunk.data_page_offset + chunk.total_compressed_size:
        raise OtherwiseWrittenError


def _values(page: memoryview, kind: np.dtype[Any], levels: int) -> NDArray[Any]:
    """Returns what follows the repetition and the definition levels, each after its length."""
    place = 0
    for _ in range(levels):
        place += 4 + int.from_bytes(page[place : place + 4], "little")
    if (len(page) - place) % kind.itemsize or place > len(page):
        raise OtherwiseWrittenError
    return np.frombuffer(page, kind, offset=place) if place < len(page) else np.empty(0, kind)


def _number(struct: _Struct, field: int) -> int:
    value = struct[field]
    if not isinstance(value, int) or value < 0:
        raise OtherwiseWrittenError
    return value


def _struct(data: memoryview, place: int) -> tuple[_Struct, int]:
    """Returns the numbers and structs of a Thrift struct by field, and the place after it."""
    found: _Struct = {}
    field = 0
    while True:
        head = data[place]
        place += 1
        if head == 0:
            return found, place
        kind = head & 0x0F
        if head >> 4:
            field += head >> 4
        else:
            field, place = _zigzag(data, place)
        if kind in (1, 2):  # a truth value is its kind
            found[field] = 2 - kind
        elif kind in (4, 5, 6):
            found[field], place = _zigzag(data, place)
        elif kind == 8:  # bytes, of statistics
            length, place = _varint(data, place)
            place += length
        elif kind == 12:
            found[field], place = _struct(data, place)
        else:
            raise OtherwiseWrittenError


def _zigzag(data: memoryview, place: int) -> tuple[int, int]:
    value, place = _varint(data, place)
    return (value >> 1) ^ -(value & 1), place


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise OtherwiseWrittenError
