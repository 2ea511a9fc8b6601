"""The edges of a graph as one rank vector, so that Spearman's rho becomes an inner product.

``E = N(N-1)/2`` edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.errors import NonFiniteError
from depara.types import Float32, Float64

WORKSPACE_BYTES_PER_EDGE = 48
"""Upper bound of what `rank_vector` allocates per edge, its result included."""


def rank_vector(cosine_E: Float32) -> Float32:
    """Returns the edges' average ranks, centred and scaled to unit norm: float32 ``(E,)``.

    ``r = (rank(e) - (E+1)/2) / ||rank(e) - (E+1)/2||_2`` with tied values sharing the mean of the
    ranks they span (``scipy.stats.rankdata(method="average")``). Spearman's rho is Pearson's
    correlation of ranks, hence ``rho(e, e') = <r, r'>``. Constant edges have no ranking: their
    vector is all zero, so that rho counts as 0.

    One sort of 64-bit keys (the value's bits in order, then its place) replaces an argsort; ties
    are exact, and ranks are exact in float32 before scaling.

    Args:
        cosine_E: edges of one graph, float32, any length.

    Raises:
        NonFiniteError: an edge is NaN or infinite.
        ValueError: not a float32 vector.
    """
    if cosine_E.ndim != 1 or cosine_E.dtype != np.float32:
        raise ValueError(
            f"edges must be a float32 vector, got {cosine_E.dtype} of shape {cosine_E.shape}"
        )
    if not np.isfinite(cosine_E).all():
        raise NonFiniteError(
            f"{int(np.count_nonzero(~np.isfinite(cosine_E)))} of {cosine_E.size} edges are NaN or "
            "infinite: write the graph again"
        )
    if cosine_E.size == 0:
        return np.zeros(0, dtype=np.float32)
    keys_E = _sorted_keys(cosine_E)
    ranks_E = _scaled_ranks(keys_E)
    keys_E &= 0xFFFFFFFF
    out_E = np.empty(cosine_E.size, dtype=np.float32)
    out_E[keys_E] = ranks_E
    return out_E


def _sorted_keys(values_E: Float32) -> NDArray[np.int64]:
    """Returns sorted keys: the high 32 bits order like the values, the low 32 are their places."""
    assert values_E.size < 2**32
    bits_E = (values_E + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0: they are equal
    # IEEE floats order like sign-magnitude integers; flip the magnitude of the negative ones.
    bits_E ^= (bits_E >> 31) & np.int32(0x7FFFFFFF)
    keys_E = bits_E.astype(np.int64)
    keys_E <<= 32
    keys_E |= np.arange(values_E.size, dtype=np.int64)
    keys_E.sort()
    return keys_E


def _scaled_ranks(keys_E: NDArray[np.int64]) -> Float32:
    """Returns centred unit-norm average ranks in sorted order; all zero when all keys are tied."""
    size = keys_E.size
    ranks_E = np.arange(size, dtype=np.float64)
    _average_ties(ranks_E, (keys_E >> 32).astype(np.int32))
    ranks_E -= (size - 1) / 2
    norm = np.sqrt(np.einsum("e,e->", ranks_E, ranks_E))
    ranks_E /= norm or 1.0
    return ranks_E.astype(np.float32)


def _average_ties(ranks_E: Float64, values_E: NDArray[np.int32]) -> None:
    """Gives every run of equal sorted values the mean of its ranks, in place.

    Work is in proportion to the ties, which are few among real edges.
    """
    repeats = np.flatnonzero(values_E[1:] == values_E[:-1]) + 1
    if not repeats.size:
        return
    is_gap = np.diff(repeats) > 1
    starts = repeats[np.concatenate(([True], is_gap))] - 1
    stops = repeats[np.concatenate((is_gap, [True]))]
    means = (starts + stops) / 2
    ranks_E[starts] = means
    ranks_E[repeats] = np.repeat(means, stops - starts)
