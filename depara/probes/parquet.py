"""Probes inside Parquet files: one row is one image, its encoded bytes or its path in a column."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.errors import ProbeError
from depara.locations import is_remote, local_path, open_binary
from depara.probes.addresses import resolve
from depara.probes.boxes import read_annotations
from depara.probes.columns import (
    BoxColumns,
    ImageColumn,
    check_box_columns,
    find_image_column,
    find_label_column,
    is_base64,
    label_text,
    partition_value,
)
from depara.probes.storage import storage_errors
from depara.types import Annotation, ProbeRef

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


def list_rows(
    uri: str, column: str | None, label_column: str | None, boxes: BoxColumns | None = None
) -> list[ProbeRef]:
    """Returns one reference per row of a Parquet file, in row order; reads no image.

    A row that holds no bytes but the path of an image refers to that file: beside the Parquet file
    when it is relative. Labels come from a column, or from a folder ``label=...`` in the path. A
    file without rows has no references, whatever its columns are.

    Args:
        uri: the file, local or remote.
        column: column of encoded images: binary, or a struct with a binary field ``bytes`` and a
            text field ``path`` as Hugging Face writes it; or a column of paths or base64 text.
            None finds the only column of bytes.
        label_column: column of labels, of any plain type; None takes ``label`` when there is one.
        boxes: columns of the objects of each picture; None where there are none.

    Raises:
        ProbeError: unreadable file, no such or no single such column, or paths where no file is.
    """
    with _open_parquet(uri) as parquet:
        count = parquet.metadata.num_rows
        if count == 0:
            return []
        schema = parquet.schema_arrow
        image = find_image_column(uri, schema, column)
        labels = _labels(uri, parquet, label_column)
        objects = _objects(uri, parquet, boxes)
        named = _named_paths(parquet, image)
    files = {row: resolve(uri, path) for row, path in named.items()}
    if files and len(files) == count:
        _require_a_file(uri, image.name, files)
    return [
        ProbeRef(files[row], label, None, objects[row])
        if row in files
        else ProbeRef(f"{uri}#{row}", label, image.name, objects[row])
        for row, label in enumerate(labels)
    ]


def read_rows(
    uri: str, column: str | None, rows: Sequence[int]
) -> Iterator[tuple[int, bytes | None]]:
    """Yields (row, encoded image) for each of the ascending rows, in one pass over the file.

    Only the image column of the row groups that hold one of the rows is read, page by page and no
    further than the last wanted row, so memory is that of a page or `_BATCH_ROWS` images. A row
    beyond the end, or one without bytes, gives None.

    Raises:
        ProbeError: unreadable file, or no such column.
    """
    wanted = np.unique(np.asarray(rows, dtype=np.int64))
    with _open_parquet(uri) as parquet:
        image = find_image_column(uri, parquet.schema_arrow, column)
        if image.bytes_path is None:
            yield from ((row, None) for row in wanted.tolist())
            return
        for group, (start, stop) in enumerate(_group_bounds(parquet)):
            inside = wanted[(wanted >= start) & (wanted < stop)]
            for place, data in _group_cells(parquet, group, image.bytes_path, inside - start):
                yield start + place, image.encoded(data)
        yield from ((row, None) for row in wanted[wanted >= parquet.metadata.num_rows].tolist())


def _labels(uri: str, parquet: pq.ParquetFile, label_column: str | None) -> list[str | None]:
    count = parquet.metadata.num_rows
    in_path = partition_value(uri, label_column or "label")
    name = find_label_column(uri, parquet.schema_arrow, label_column, in_path is not None)
    if name is None:
        return [in_path] * count
    return [label_text(value) for value in parquet.read(columns=[name]).column(0).to_pylist()]


def _objects(
    uri: str, parquet: pq.ParquetFile, boxes: BoxColumns | None
) -> list[tuple[Annotation, ...] | None]:
    if boxes is None:
        return [None] * parquet.metadata.num_rows
    check_box_columns(uri, parquet.schema_arrow, boxes)
    table = parquet.read(columns=[boxes.boxes, boxes.labels])
    cells = (table[name].to_pylist() for name in (boxes.boxes, boxes.labels))
    return [read_annotations(*row) for row in zip(*cells, strict=True)]


def _require_a_file(uri: str, column: str, files: dict[int, str]) -> None:
    """Refuses a table of paths none of which leads to a file; remote ones are not asked for."""
    if any(is_remote(file) or os.path.exists(local_path(file)) for file in files.values()):
        return
    raise ProbeError(
        f"{uri}: column {column!r} holds text, read as paths of images, and none of its "
        f"{len(files)} files is there (first: {next(iter(files.values()))}): put the files there, "
        "name their folder as probes.source, or write the table with the images embedded "
        "(Hugging Face: datasets.table.embed_table_storage)"
    )


def _named_paths(parquet: pq.ParquetFile, image: ImageColumn) -> dict[int, str]:
    """The paths of the rows that hold no bytes, by row."""
    if image.text_path is None:
        return {}
    found: dict[int, str] = {}
    for group, (start, _) in enumerate(_group_bounds(parquet)):
        lacking = _rows_without_bytes(parquet, group, image)
        for place, text in _group_cells(parquet, group, image.text_path, lacking):
            if image.holds_text and text and is_base64(text):
                return {}
            if text:
                found[start + place] = text
    return found


def _rows_without_bytes(
    parquet: pq.ParquetFile, group: int, image: ImageColumn
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The places in a row group whose bytes are null: told by its statistics, else by reading.

    Where the writer left no statistics, a first batch full of bytes stands for all.
    """
    facts = parquet.metadata.row_group(group)
    every = np.arange(facts.num_rows)
    if image.bytes_path is None or image.holds_text:
        return every
    nulls = _null_count(facts, image.bytes_path)
    if nulls in (0, facts.num_rows):
        return every[: nulls or 0]
    lacking: list[int] = []
    for place, data in _group_cells(parquet, group, image.bytes_path, every):
        if data is None:
            lacking.append(place)
        if nulls is None and place == _BATCH_ROWS - 1 and not lacking:
            break
    return np.asarray(lacking, dtype=np.int64)


def _null_count(group: pq.RowGroupMetaData, path: str) -> int | None:
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema == path:
            statistics = column.statistics
            known = statistics is not None and statistics.has_null_count
            return int(statistics.null_count) if known else None
    return None


def _group_bounds(parquet: pq.ParquetFile) -> Iterator[tuple[int, int]]:
    """Yields the first row of each row group, and the one after its last."""
    metadata = parquet.metadata
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    yield from pairwise([0, *np.cumsum(sizes).tolist()])


def _group_cells(
    parquet: pq.ParquetFile, group: int, path: str, places: np.ndarray[Any, np.dtype[np.int64]]
) -> Iterator[tuple[int, Any]]:
    """Yields (place in the row group, cell) for ascending places, and stops at the last one."""
    if not len(places):
        return
    start = 0
    field = path.rpartition(".")[2]
    batches = parquet.iter_batches(
        batch_size=_BATCH_ROWS, row_groups=[group], columns=[path], use_threads=False
    )
    for batch in batches:
        stop = start + batch.num_rows
        for place in places[(places >= start) & (places < stop)].tolist():
            cell = batch.column(0)[place - start].as_py()
            yield place, cell.get(field) if isinstance(cell, dict) else cell
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
