"""Nodes of a graph: attribution maps, split into direction (unit norm, float16) and norm.

``N`` probes, ``P`` map pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.errors import NonFiniteError
from depara.types import Float64, NodeMaps

_BLOCK_BYTES = 8 << 20
"""Float64 copy of this many bytes at a time: precision without a second copy of all maps."""


def normalize_maps(maps_NP: NDArray[np.floating]) -> NodeMaps:
    """Returns each map divided by its Euclidean norm, and the norms: the nodes of one graph.

    ``maps_NP[i] = a_i / ||a_i||_2`` as float16 and ``norms_N[i] = ||a_i||_2`` as float32, so that
    the cosine of two graphs' nodes (Song et al., CVPR 2020, section 3.2) is a plain inner product.
    An all-zero map stays all zero with norm 0: its cosine with anything counts as 0. The norm is
    taken out because raw gradients of a mean over 1e5 units underflow float16.

    Args:
        maps_NP: attribution maps, any floating type, ``N >= 0`` rows of ``P >= 1`` pixels.

    Raises:
        NonFiniteError: a map holds NaN or infinity; the message names the row.
        ValueError: not two-dimensional, or not floating point.
    """
    if maps_NP.ndim != 2 or not np.issubdtype(maps_NP.dtype, np.floating):
        raise ValueError(
            f"maps must be floating point of shape (probes, pixels), "
            f"got {maps_NP.dtype} of shape {maps_NP.shape}"
        )
    num_probes, num_pixels = maps_NP.shape
    unit_NP = np.empty(maps_NP.shape, dtype=np.float16)
    norms_N = np.empty(num_probes, dtype=np.float64)
    rows = max(1, _BLOCK_BYTES // (8 * max(num_pixels, 1)))
    for start in range(0, num_probes, rows):
        block = slice(start, start + rows)
        unit_NP[block], norms_N[block] = _normalize_rows(maps_NP[block].astype(np.float64), start)
    return NodeMaps(maps_NP=unit_NP, norms_N=norms_N.astype(np.float32))


def _normalize_rows(rows_NP: Float64, first: int) -> tuple[Float64, Float64]:
    """Returns unit rows and their norms; works in place on ``rows_NP``."""
    norms_N = np.sqrt(np.einsum("np,np->n", rows_NP, rows_NP))
    # Every NaN or infinity of a row shows in its norm; so does a norm that float32 cannot hold.
    bad = np.flatnonzero(~(norms_N <= np.finfo(np.float32).max))
    if bad.size:
        raise NonFiniteError(
            f"attribution map of probe {first + int(bad[0])} (row of this batch) holds NaN or "
            f"infinity, as do {bad.size} of {len(rows_NP)} maps looked at with it: the model's "
            "gradients overflow; check its weights and its input range"
        )
    rows_NP /= np.where(norms_N > 0, norms_N, 1.0)[:, None]
    return rows_NP, norms_N
