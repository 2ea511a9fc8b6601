"""Edge similarity of two blocks of graphs: Spearman's rho of all pairs as one matrix product.

``A`` source graphs, ``B`` target graphs, ``E`` edges of a graph.
"""

from __future__ import annotations

import numpy as np

from depara.types import Float32, Float64

_RANGE_EDGES = 16384
"""Edges per product: float32 within a range, float64 across ranges."""


def edge_similarity(ranks_AE: Float32, ranks_BE: Float32) -> Float64:
    """Returns ``s_E = <r, r'>``, Spearman's rho of every pair: float64 ``(A, B)`` in [-1, 1].

    Song et al., CVPR 2020, Eq. 5, by the rank vectors of `depara.graph.rank_vector`. A graph of
    constant edges has the zero vector and rho 0. The same object for both blocks is computed as
    symmetric, at half the work.

    Args:
        ranks_AE: float32 rank vectors of the sources, one row each.
        ranks_BE: float32 rank vectors of the targets over the same edges.

    Raises:
        ValueError: the blocks have different numbers of edges.
    """
    if ranks_AE.shape[1] != ranks_BE.shape[1]:
        raise ValueError(
            f"source graphs have {ranks_AE.shape[1]} edges, target graphs {ranks_BE.shape[1]}: "
            "both need the same probe set"
        )
    rho_AB = inner_products(ranks_AE, ranks_BE)
    return np.clip(rho_AB, -1.0, 1.0, out=rho_AB)


def inner_products(vectors_AE: Float32, vectors_BE: Float32) -> Float64:
    """Returns the inner product of every two rows, float64 ``(A, B)``.

    Single precision within a range of values, double across ranges.
    """
    product_AB = np.empty((len(vectors_AE), len(vectors_BE)), dtype=np.float32)
    sums_AB = np.zeros(product_AB.shape, dtype=np.float64)
    for start in range(0, vectors_AE.shape[1], _RANGE_EDGES):
        edges = slice(start, start + _RANGE_EDGES)
        # numpy sees x @ x.T by its shared memory and calls syrk.
        np.matmul(vectors_AE[:, edges], vectors_BE[:, edges].T, out=product_AB)
        sums_AB += product_AB
    return sums_AB
