"""The maps of a node file taken straight from its pages: the values stand there end to end.

Parquet's own reader takes a list column apart value by value, though every list of a node file has
the same length and no value is null: three times the cost of decompressing the pages. What is
written otherwise than `encode_nodes` does is left to that reader.

Format: https://parquet.apache.org/docs/file-format/data-pages/ (version 1), headers in Thrift's
compact protocol. ``n`` probes of a file, ``P`` map pixels.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.types import Float16

_COLUMN = "map.list.element"
_ITEM_BYTES = 2

_DATA_PAGE, _PLAIN, _RLE = 0, 0, 3
"""Values of ``PageType`` and ``Encoding`` in parquet.thrift."""

_TYPE, _UNCOMPRESSED_SIZE, _COMPRESSED_SIZE, _DATA_HEADER = 1, 2, 3, 5
_NUM_VALUES, _ENCODING, _DEFINITION, _REPETITION = 1, 2, 3, 4
"""Fields of ``PageHeader`` and, in the second line, of ``DataPageHeader``."""

_Struct = dict[int, "int | _Struct"]


class _OtherwiseWrittenError(Exception):
    """The file is not as `encode_nodes` writes it, or damaged."""


def maps_of_pages(file: pq.ParquetFile, data: bytes) -> Float16 | None:
    """Returns the maps (n, P) float16 of a node file; None where they are not in plain pages.

    Args:
        file: the node file, open.
        data: its bytes, which are trusted: `CommittedGraph` has compared their checksum.
    """
    try:
        return _read(file, memoryview(data))
    except (_OtherwiseWrittenError, IndexError, KeyError, pa.ArrowException, OSError):
        return None


def _read(file: pq.ParquetFile, data: memoryview) -> Float16:
    kind = file.schema_arrow.field("map").type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float16():
        raise _OtherwiseWrittenError
    metadata = file.metadata
    maps_nP = np.empty((metadata.num_rows, kind.list_size), dtype=np.float16)
    values = maps_nP.reshape(-1)
    start = 0
    for group in range(metadata.num_row_groups):
        start += _read_chunk(metadata.row_group(group), data, values[start:])
    if start != values.size:
        raise _OtherwiseWrittenError
    return maps_nP


def _read_chunk(group: pq.RowGroupMetaData, data: memoryview, out: Float16) -> int:
    """Copies the values of one column chunk to the front of ``out``; returns how many."""
    names = {group.column(place).path_in_schema: place for place in range(group.num_columns)}
    chunk = group.column(names[_COLUMN])
    codec = None if chunk.compression == "UNCOMPRESSED" else pa.Codec(chunk.compression.lower())
    place, start = chunk.data_page_offset, 0
    while start < chunk.num_values:
        header, place = _struct(data, place)
        counts = header[_DATA_HEADER]
        if not isinstance(counts, dict):
            raise _OtherwiseWrittenError
        described = (header[_TYPE], counts[_ENCODING], counts[_DEFINITION], counts[_REPETITION])
        whole, size = _number(header, _UNCOMPRESSED_SIZE), _number(header, _COMPRESSED_SIZE)
        count = _number(counts, _NUM_VALUES)
        if described != (_DATA_PAGE, _PLAIN, _RLE, _RLE) or whole > chunk.total_uncompressed_size:
            raise _OtherwiseWrittenError
        page: pa.Buffer = pa.py_buffer(data[place : place + size])
        if codec is not None:
            page = codec.decompress(page, decompressed_size=whole)
        values = _values(memoryview(page))
        if values.size != count or start + count > out.size:  # a null has no value
            raise _OtherwiseWrittenError
        out[start : start + count] = values
        place, start = place + size, start + count
    return start


def _values(page: memoryview) -> Float16:
    """Returns what follows the repetition and the definition levels, each after its length."""
    place = 0
    for _ in range(2):
        place += 4 + int.from_bytes(page[place : place + 4], "little")
    if (len(page) - place) % _ITEM_BYTES or place > len(page):
        raise _OtherwiseWrittenError
    return np.frombuffer(page[place:], dtype=np.float16)


def _number(struct: _Struct, field: int) -> int:
    value = struct[field]
    if not isinstance(value, int) or value < 0:
        raise _OtherwiseWrittenError
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
            raise _OtherwiseWrittenError


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
            raise _OtherwiseWrittenError
