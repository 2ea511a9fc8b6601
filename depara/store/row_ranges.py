"""Some rows of a Parquet file: its row groups that hold them are decoded, the others are not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 1 << 15
"""Rows of a group in the parts of a large table: a target is read from one of them, or two."""

Rows = Callable[[pq.FileMetaData], range]
"""Says of a file's metadata which of its rows are wanted."""


def read_rows(file: pq.ParquetFile, columns: Sequence[str] | None, rows: Rows | None) -> pa.Table:
    """Returns some columns of some rows of a file; None is all of either."""
    names = None if columns is None else list(columns)
    if rows is None:
        return file.read(columns=names, use_threads=False)
    wanted, starts = rows(file.metadata), _starts(file.metadata)
    groups = [
        group
        for group in range(file.num_row_groups)
        if starts[group + 1] > wanted.start and starts[group] < wanted.stop
    ]
    table = file.read_row_groups(groups, columns=names, use_threads=False)
    return table.slice(max(wanted.start - starts[groups[0]], 0) if groups else 0, len(wanted))


def rows_between(start: int, stop: int) -> Rows:
    """Returns rows by their numbers, whatever the file."""
    return lambda _: range(start, stop)


def rows_with(column: str, texts: Collection[str]) -> Rows:
    """Returns which rows may hold one of some texts in a column, by the statistics of the groups.

    They are from the first to the last such group: few where the file is sorted by the column.
    """
    wanted = sorted(texts)

    def find(metadata: pq.FileMetaData) -> range:
        place = metadata.schema.names.index(column) if column in metadata.schema.names else None
        starts, groups = _starts(metadata), []
        for group in range(metadata.num_row_groups):
            of_group = None if place is None else metadata.row_group(group).column(place).statistics
            if _may_hold(of_group, wanted):
                groups.append(group)
        return range(starts[groups[0]], starts[groups[-1] + 1]) if groups else range(0)

    return find


def _may_hold(statistics: Any, texts: Sequence[str]) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    return any(statistics.min <= text <= statistics.max for text in texts)


def _starts(metadata: pq.FileMetaData) -> list[int]:
    """The first row of each group, and the number of all."""
    sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    return list(accumulate(sizes, initial=0))
