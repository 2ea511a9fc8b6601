"""Probes inside Parquet files: one row is one image, its encoded bytes in a column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.errors import ProbeError, near_names
from depara.locations import open_binary
from depara.probes.storage import storage_errors
from depara.types import ProbeRef

PARQUET_SUFFIX = ".parquet"
_ROW_URI = re.compile(r"(?P<file>.+\.parquet)#(?P<row>\d+)", re.IGNORECASE | re.DOTALL)
_READ_BUFFER_BYTES = 8 * 1024**2
_BATCH_ROWS = 16


class RowUri(NamedTuple):
    """The file and the 0-based row that ``FILE.parquet#ROW`` names."""

    file: str
    row: int


def parse_row_uri(uri: str) -> RowUri | None:
    """Returns the parts of ``FILE.parquet#ROW``, or None for any other URI."""
    match = _ROW_URI.fullmatch(uri)
    return RowUri(match["file"], int(match["row"])) if match else None


def list_rows(uri: str, column: str | None, label_column: str | None) -> list[ProbeRef]:
    """Returns one reference per row of a Parquet file, in row order; reads no image.

    Args:
        uri: the file, local or remote.
        column: column of encoded images: binary, or a struct with a binary field ``bytes`` as
            Hugging Face writes it. None finds the only such column.
        label_column: column of labels, of any plain type; None takes ``label`` when there is one.

    Raises:
        ProbeError: unreadable file, no rows, or no such or no single such column.
    """
    with _open_parquet(uri) as parquet:
        schema = parquet.schema_arrow
        image_column = find_image_column(uri, schema, column)
        labels_column = _find_label_column(uri, schema, label_column)
        count = parquet.metadata.num_rows
        if count == 0:
            raise ProbeError(f"{uri}: has no rows: name a Parquet file that holds images")
        labels: list[Any] = [None] * count
        if labels_column is not None:
            labels = parquet.read(columns=[labels_column]).column(0).to_pylist()
    return [
        ProbeRef(f"{uri}#{row}", None if label is None else str(label), image_column)
        for row, label in enumerate(labels)
    ]


def read_rows(
    uri: str, column: str | None, rows: Sequence[int]
) -> Iterator[tuple[int, bytes | None]]:
    """Yields (row, encoded image) for each of the ascending rows, in one pass over the file.

    Only the image column of the row groups that hold one of the rows is read, page by page and no
    further than the last wanted row, so memory is that of a page or `_BATCH_ROWS` images. A row
    beyond the end, or one that is null, gives None.

    Raises:
        ProbeError: unreadable file, or no such column.
    """
    wanted = np.unique(np.asarray(rows, dtype=np.int64))
    with _open_parquet(uri) as parquet:
        path = _bytes_path(
            parquet.schema_arrow, find_image_column(uri, parquet.schema_arrow, column)
        )
        metadata = parquet.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        for group, (start, stop) in enumerate(pairwise([0, *np.cumsum(sizes).tolist()])):
            inside = wanted[(wanted >= start) & (wanted < stop)]
            for place, data in _group_cells(parquet, group, path, inside - start):
                yield start + place, data
        yield from ((row, None) for row in wanted[wanted >= metadata.num_rows].tolist())


def find_image_column(uri: str, schema: pa.Schema, column: str | None) -> str:
    """Returns the name of the column of encoded images; see `list_rows`."""
    candidates: list[str] = [field.name for field in schema if _holds_images(field.type)]
    listing = ", ".join(f"{field.name} ({field.type})" for field in schema)
    if column is None:
        if len(candidates) == 1:
            return candidates[0]
        found = (
            f"several columns of bytes ({', '.join(candidates)})"
            if candidates
            else "no column of image bytes"
        )
        raise ProbeError(
            f"{uri}: has {found}: set probes.column to the one that holds encoded images; "
            f"the columns are {listing}"
        )
    if column not in schema.names:
        raise ProbeError(
            f"{uri}: has no column {column!r}{_hint(column, schema)}; the columns are {listing}"
        )
    if column not in candidates:
        raise ProbeError(
            f"{uri}: column {column!r} holds {schema.field(column).type}, expected encoded images "
            f"(binary, or a struct with binary 'bytes'); the columns are {listing}"
        )
    return column


def _find_label_column(uri: str, schema: pa.Schema, column: str | None) -> str | None:
    name = "label" if column is None else column
    if name in schema.names and not pa.types.is_nested(schema.field(name).type):
        return name
    if column is None:
        return None
    trouble = "is nested" if name in schema.names else "does not exist"
    raise ProbeError(
        f"{uri}: label column {name!r} {trouble}{_hint(name, schema)}; the columns are "
        f"{', '.join(schema.names)}"
    )


def _hint(name: str, schema: pa.Schema) -> str:
    hint = near_names(name, [other for other in schema.names if other != name])
    return f"; {hint}" if hint else ""


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_bytes(kind.field(place).type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _bytes_path(schema: pa.Schema, column: str) -> str:
    return f"{column}.bytes" if pa.types.is_struct(schema.field(column).type) else column


def _group_cells(
    parquet: pq.ParquetFile, group: int, path: str, places: np.ndarray[Any, np.dtype[np.int64]]
) -> Iterator[tuple[int, bytes | None]]:
    """Yields (place in the row group, cell) for ascending places, and stops at the last one."""
    if not len(places):
        return
    start = 0
    batches = parquet.iter_batches(
        batch_size=_BATCH_ROWS, row_groups=[group], columns=[path], use_threads=False
    )
    for batch in batches:
        stop = start + batch.num_rows
        for place in places[(places >= start) & (places < stop)].tolist():
            cell = batch.column(0)[place - start].as_py()
            yield place, cell.get("bytes") if isinstance(cell, dict) else cell
        if stop > places[-1]:
            return
        start = stop


@contextmanager
def _open_parquet(uri: str) -> Iterator[pq.ParquetFile]:
    """Opens a file so that column chunks are streamed, not loaded whole."""
    with storage_errors(uri), open_binary(uri) as file:
        try:
            parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_READ_BUFFER_BYTES)
        except pa.ArrowInvalid as error:
            raise ProbeError(
                f"{uri}: is no readable Parquet file ({error}): write it again or name another"
            ) from error
        with parquet:
            yield parquet
