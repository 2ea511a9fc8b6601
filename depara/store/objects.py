"""Features of objects at one layer, as a file beside the layer's graph.

No commit marker knows the file: a graph is complete without it, and may be given one later, of
these boxes or of others, whose key is in its name. It says itself which graph and boxes it is of,
each of its pages has a checksum, and a graph beside which it is damaged is made anew as a whole.

Legend: ``O`` objects, ``D`` features of each.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from depara.errors import SchemaError
from depara.store.artifact_schemas import objects_schema
from depara.store.artifacts import check_artifact, encode_table
from depara.types import Float32

_KEY, _WIDTH, _REASON = "objects_key", "num_features", "reason"


def encode_objects(
    key: str, objects_key: str, features_OD: Float32 | None, reason: str = ""
) -> bytes:
    """Returns the file of some objects' features, or of the reason why a layer has none.

    Args:
        key: of the graph.
        objects_key: of the boxes, `ProbeObjects.key`.
        features_OD: in the order of the objects; None where there are none.
        reason: why there are none.
    """
    rows_OD = np.empty((0, 1), np.float32) if features_OD is None else features_OD
    schema = objects_schema(rows_OD.shape[1])
    values = pa.array(np.ascontiguousarray(rows_OD, np.float32).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(values, type=schema.field("features").type)
    index = np.arange(len(rows_OD), dtype=np.int32)
    facts = {"graph_key": key, _KEY: objects_key, _WIDTH: str(rows_OD.shape[1]), _REASON: reason}
    return encode_table(pa.table([index, lists], schema=schema), facts)


def decode_objects(data: bytes, key: str, objects_key: str, name: str) -> Float32 | str:
    """Returns the features ``(O, D)`` of such a file, or the reason why there are none.

    Raises:
        SchemaError: damaged, of another graph or of other boxes.
    """
    metadata = _metadata(data, name)
    width = metadata.get(_WIDTH, "")
    if metadata.get(_KEY) != objects_key or not width.isdecimal() or not int(width):
        raise SchemaError(f"{name} is not of the objects that its name says")
    table = check_artifact(data, key, None, objects_schema(int(width)), name)
    if metadata.get(_REASON):
        return metadata[_REASON]
    chunks = [chunk.values.to_numpy().reshape(-1, int(width)) for chunk in table["features"].chunks]
    return np.concatenate(chunks) if chunks else np.empty((0, int(width)), np.float32)


def _metadata(data: bytes, name: str) -> dict[str, str]:
    try:
        found = pq.read_schema(pa.BufferReader(data)).metadata or {}
        return {key.decode(): value.decode() for key, value in found.items()}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SchemaError(f"{name} is damaged: {' '.join(str(error).split())}") from error
