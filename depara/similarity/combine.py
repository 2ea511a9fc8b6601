"""The one similarity that ranks: node plus weighted edge similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.types import Float64


def combine(
    node_similarity: NDArray[np.floating], edge_similarity: NDArray[np.floating], lambda_: float
) -> Float64:
    """Returns ``s = s_V + lambda * s_E``, float64, in ``[-(1 + lambda), 1 + lambda]``.

    Song et al., CVPR 2020, Eq. 5. The two are added as they are; standardising them first
    ranks worse.

    Args:
        node_similarity: ``s_V``, any shape.
        edge_similarity: ``s_E``, the same shape.
        lambda_: weight of the edges, finite and >= 0.

    Raises:
        ValueError: shapes differ, or ``lambda_`` is negative or not finite.
    """
    if np.shape(node_similarity) != np.shape(edge_similarity):
        raise ValueError(
            f"node similarity has shape {np.shape(node_similarity)}, "
            f"edge similarity {np.shape(edge_similarity)}"
        )
    if not (np.isfinite(lambda_) and lambda_ >= 0):
        raise ValueError(f"lambda must be finite and at least 0, got {lambda_}")
    node = np.asarray(node_similarity, dtype=np.float64)
    return node + float(lambda_) * np.asarray(edge_similarity, dtype=np.float64)
