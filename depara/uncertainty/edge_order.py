"""The edges of a graph in rising order, sorted once and for all resamples.

``E = N(N-1)/2`` edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depara.errors import NonFiniteError
from depara.types import Float32

BYTES_PER_EDGE = 8
"""What an `EdgeOrder` holds per edge, at most: 4 for the order, 4 when all edges are tied."""

WORKSPACE_BYTES_PER_EDGE = 48
"""Upper bound of what `edge_order` allocates per edge, its result included."""


@dataclass(frozen=True)
class EdgeOrder:
    """``order_E[s]`` is the edge at place ``s`` of the rising order.

    Tied edges take places ``tie_starts[t] <= s < tie_stops[t]``, for each group of two or more.
    """

    order_E: NDArray[np.int32]
    tie_starts: NDArray[np.int32]
    tie_stops: NDArray[np.int32]

    def __post_init__(self) -> None:
        assert self.tie_starts.shape == self.tie_stops.shape
        assert self.order_E.dtype == self.tie_starts.dtype == self.tie_stops.dtype == np.int32


def edge_order(cosine_E: Float32) -> EdgeOrder:
    """Returns the order of one graph's edges by rising cosine, with the groups of equal ones.

    Args:
        cosine_E: edges of one graph, float32, any length.

    Raises:
        NonFiniteError: an edge is NaN or infinite.
    """
    if not np.isfinite(cosine_E).all():
        raise NonFiniteError(
            f"{int(np.count_nonzero(~np.isfinite(cosine_E)))} of {cosine_E.size} edges are NaN or "
            "infinite: write the graph again"
        )
    order_E = np.argsort(cosine_E)
    sorted_E = cosine_E[order_E]
    is_new_E = np.ones(cosine_E.size, dtype=np.bool_)
    np.not_equal(sorted_E[1:], sorted_E[:-1], out=is_new_E[1:])
    starts = np.flatnonzero(is_new_E)
    counts = np.diff(starts, append=cosine_E.size)
    tied = counts > 1
    return EdgeOrder(
        order_E=order_E.astype(np.int32),
        tie_starts=starts[tied].astype(np.int32),
        tie_stops=(starts[tied] + counts[tied]).astype(np.int32),
    )
