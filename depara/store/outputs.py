"""Optional files beside the graph of an output layer: a row of values for each probe.

What a model itself returned, and the features of its output layer. A graph is complete without
either, and says in its marker which it has.

Legend: ``N`` probes, ``C`` values of each, such as a classifier's logits.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.errors import SchemaError
from depara.store.artifacts import encode_table
from depara.types import Float32

OUTPUTS_FILE = "outputs.parquet"
VECTORS_FILE = "vectors.parquet"
OPTIONAL_FILES = (OUTPUTS_FILE, VECTORS_FILE)

MOST_VALUES = 50_000
"""``C`` up to which a return value is stored: of classes there are not more."""

MOST_CELLS = 4096
"""Features of a probe that are stored as they are; more of them are sketched to as many cells."""


def encode_values(key: str, values_NC: Float32, schema: pa.Schema) -> bytes:
    """Returns the file of a graph's values, float32: float16 overflows at 65,504."""
    values = pa.array(np.ascontiguousarray(values_NC, np.float32).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(values, type=schema.field("values").type)
    index = np.arange(len(values_NC), dtype=np.int32)
    return encode_table(pa.table([index, lists], schema=schema), {"graph_key": key})


def decode_values(data: bytes, name: str) -> Float32:
    """Returns the values ``(N, C)`` of such a file.

    Raises:
        SchemaError: it is not readable as one.
    """
    try:
        column = pq.read_table(pa.BufferReader(data), columns=["values"], use_threads=False)[0]
        chunks = [chunk.values.to_numpy().reshape(len(chunk), -1) for chunk in column.chunks]
        values_NC: Float32 = np.concatenate(chunks)
    except (pa.ArrowException, OSError, IndexError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise SchemaError(f"{name} is no readable file of values: {reason}") from error
    return values_NC
