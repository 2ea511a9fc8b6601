"""What a model itself returned for the probes, as a file beside the graph of its output layer.

Legend: ``N`` probes, ``C`` values of each, such as a classifier's logits.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.errors import SchemaError
from depara.store.artifact_schemas import outputs_schema
from depara.store.artifacts import encode_table
from depara.types import Float32

OUTPUTS_FILE = "outputs.parquet"
"""Optional: a graph is complete without it, and says in its marker whether it has one."""

MOST_VALUES = 50_000
"""``C`` up to which a return value is stored: of classes there are not more."""


def encode_outputs(key: str, outputs_NC: Float32) -> bytes:
    """Returns the file of a model's return values, float32: float16 overflows at 65,504."""
    num_probes, num_values = outputs_NC.shape
    schema = outputs_schema(num_values)
    values = pa.array(np.ascontiguousarray(outputs_NC, np.float32).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(values, type=schema.field("values").type)
    index = np.arange(num_probes, dtype=np.int32)
    return encode_table(pa.table([index, lists], schema=schema), {"graph_key": key})


def decode_outputs(data: bytes, name: str) -> Float32:
    """Returns the return values ``(N, C)`` of such a file.

    Raises:
        SchemaError: it is not readable as one.
    """
    try:
        column = pq.read_table(pa.BufferReader(data), columns=["values"], use_threads=False)[0]
        chunks = [chunk.values.to_numpy().reshape(len(chunk), -1) for chunk in column.chunks]
        outputs_NC: Float32 = np.concatenate(chunks)
    except (pa.ArrowException, OSError, IndexError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise SchemaError(f"{name} is no readable file of return values: {reason}") from error
    return outputs_NC
