"""The maps of a node file taken straight from its pages, as `plain_pages` takes columns of numbers.

Parquet's own reader takes a list column apart value by value, though every list of a node file has
the same length and no value is null: three times the cost of decompressing the pages.

``n`` probes of a file, ``P`` map pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.store.plain_pages import OtherwiseWrittenError, pages_of_chunk
from depara.types import Float16

_COLUMN = "map.list.element"
_LEVELS = 2


def maps_of_pages(file: pq.ParquetFile, data: bytes) -> Float16 | None:
    """Returns the maps (n, P) float16 of a node file; None where they are not in plain pages.

    They are in the page itself, which cannot be written, where the file has one page of them.

    Args:
        file: the node file, open.
        data: its bytes, which are trusted: `CommittedGraph` has compared their checksum.
    """
    try:
        return _read(file, memoryview(data))
    except (OtherwiseWrittenError, IndexError, KeyError, pa.ArrowException, OSError):
        return None


def _read(file: pq.ParquetFile, data: memoryview) -> Float16:
    kind = file.schema_arrow.field("map").type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float16():
        raise OtherwiseWrittenError
    shape = (file.metadata.num_rows, kind.list_size)
    pages = _pages(file, data)
    first = next(pages, np.empty(0, np.float16))
    if first.size == shape[0] * shape[1] and first.flags.aligned:
        if next(pages, None) is not None:
            raise OtherwiseWrittenError
        return first.reshape(shape)
    maps_nP = np.empty(shape, dtype=np.float16)
    values, start = maps_nP.reshape(-1), 0
    for page in chain((first,), pages):
        if start + page.size > values.size:
            raise OtherwiseWrittenError
        values[start : start + page.size] = page
        start += page.size
    if start != values.size:
        raise OtherwiseWrittenError
    return maps_nP


def _pages(file: pq.ParquetFile, data: memoryview) -> Iterator[Float16]:
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        names = {group.column(place).path_in_schema: place for place in range(group.num_columns)}
        chunk = group.column(names[_COLUMN])
        yield from pages_of_chunk(chunk, data, np.float16, levels=_LEVELS)
