"""The ``centre`` table: one row per graph, its products with the zoo's mean map probe by probe.

``G`` graphs, ``N`` probes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from depara.similarity.centre import Centre
from depara.similarity.stored import GraphRef
from depara.store.schemas import TABLES
from depara.types import Float32


def centre_table(graphs: Sequence[GraphRef], centre: Centre) -> pa.Table:
    """Returns the ``centre`` table of some graphs, in their order."""
    values = pa.field("element", pa.float32(), nullable=False)
    columns = {
        "model_id": pa.array([graph.model_id for graph in graphs], pa.string()),
        "layer": pa.array([graph.layer for graph in graphs], pa.string()),
    }
    for name, rows in (("cosines", centre.cosines_GN), ("squares", centre.squares_GN)):
        columns[name] = pa.array(list(rows), pa.list_(values))
    return pa.table(columns, schema=TABLES["centre"])


def centre_of_table(table: pa.Table, is_ranked: Sequence[bool]) -> Centre:
    """Returns what a ``centre`` table, or some rows of it, says."""
    return Centre.of_zoo(*centre_rows(table), is_ranked)


def centre_rows(table: pa.Table) -> tuple[Float32, Float32]:
    """Returns the graphs' products with the mean map and with themselves: float32 ``(G, N)``."""
    cosines_GN, squares_GN = (
        _values(table[name]).reshape(table.num_rows, -1) for name in ("cosines", "squares")
    )
    return cosines_GN, squares_GN


def _values(column: pa.ChunkedArray) -> Float32:
    values: Float32 = pc.list_flatten(column).to_numpy().astype(np.float32, copy=False)
    return values
