"""Edges of a graph: cosines of all pairs of probe features, in the order of ``scipy`` ``pdist``.

``N`` probes, ``E = N(N-1)/2`` edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.errors import NonFiniteError
from depara.grams import flat_triangle, upper_triangle
from depara.types import Float32, Float64


def edge_count(num_probes: int) -> int:
    """Returns ``E = N(N-1)/2``, the number of edges of a fully connected undirected graph."""
    return num_probes * (num_probes - 1) // 2


def edge_index(num_probes: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns the two probes of every edge: ``(probe_a_E, probe_b_E)``, int32, ``a < b``.

    Edge ``(a, b)`` is at ``N*a - a(a+1)/2 + (b - a - 1)``: rows of the upper triangle, one after
    the other, which is the condensed order of ``scipy.spatial.distance.pdist``.
    """
    probe_a_E, probe_b_E = np.triu_indices(num_probes, k=1)
    return probe_a_E.astype(np.int32), probe_b_E.astype(np.int32)


def edges_from_gram(gram_NN: Float64) -> Float32:
    """Returns the cosine of every pair of features: float32 ``(E,)`` in [-1, 1], ``pdist`` order.

    ``e_pq = g_pq / sqrt(g_pp g_qq)`` with ``g`` the Gram matrix of the features (Song et al.,
    CVPR 2020, Eq. 4). A feature of zero norm has cosine 0 with every other.

    Args:
        gram_NN: inner products of the ``N >= 2`` (normalised) features, float64, symmetric; only
            its diagonal and upper triangle are read.

    Raises:
        NonFiniteError: the Gram matrix holds NaN or infinity; the message names a probe.
        ValueError: not a square matrix of at least 2 probes.
    """
    if gram_NN.ndim != 2 or gram_NN.shape[0] != gram_NN.shape[1] or len(gram_NN) < 2:
        raise ValueError(
            f"a Gram matrix is square, of at least 2 probes; got shape {gram_NN.shape}"
        )
    squares_N = np.diagonal(gram_NN).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(gram_NN).all(axis=1))
    if bad.size:
        raise NonFiniteError(
            f"features of {bad.size} of {len(gram_NN)} probes give NaN or infinity (first: probe "
            f"{int(bad[0])}): the layer's output overflows; check the model's weights"
        )
    inverse_N = np.zeros_like(squares_N)
    np.divide(
        1.0,
        np.sqrt(squares_N, where=squares_N > 0, out=inverse_N),
        out=inverse_N,
        where=squares_N > 0,
    )
    rows, columns = upper_triangle(len(gram_NN), 1)
    cosine_E = gram_NN.reshape(-1).take(flat_triangle(len(gram_NN), 1))
    cosine_E *= inverse_N.take(rows)
    cosine_E *= inverse_N.take(columns)
    return np.clip(cosine_E, -1.0, 1.0).astype(np.float32)
