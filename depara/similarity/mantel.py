"""What a score would be by chance: its mean and deviation over all orders of a graph's probes.

``N`` probes, ``A`` source graphs, ``B`` target graphs.

Whether two matrices over the same probes have to do with each other is asked by permuting the
probes of one of them, rows and columns together (Mantel, "The detection of disease clustering and a
generalized regression approach", Cancer Research 1967). For a score ``Z = sum_ij a_ij b_p(i)p(j)``
and a uniformly random order ``p``, mean and variance need no permutations, and no pair of graphs:
they are inner products of a few numbers of each graph.

The permutations split a matrix into orthogonal parts that they do not mix (irreducible
representations of the symmetric group): the mean off the diagonal and that of the diagonal, which
they leave alone; effects of the single probes, ``N - 1`` dimensions each, of which there are three,
``x`` of rows and columns together, ``y`` on the diagonal, ``w`` of rows less columns; and what is
left, a symmetric part of ``N(N-3)/2`` dimensions, which is the U-centred matrix, and an
antisymmetric one of ``(N-1)(N-2)/2``. By Schur's orthogonality, with ``s`` the sum off the
diagonal, ``t`` the trace, ``F`` and ``G`` the squared norms of the parts that are left,

    ``E Z = s_a s_b / (N(N-1)) + t_a t_b / N``

    ``Var Z = sum_{u,v in x,y,w} <u_a, v_a> <u_b, v_b> / (N-1) + F_a F_b 2 / (N(N-3))
    + G_a G_b 2 / ((N-1)(N-2))``.

For symmetric matrices with a diagonal of zeros it is Mantel's formula. Every term is at least 0 and
none is a difference of large ones. U-centred matrices of norm 1 (debiased CKA) have no part but the
first that is left: their deviation is ``sqrt(2 / (N(N-3)))`` for every two graphs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depara.similarity.layouts import Layout, MatrixSums
from depara.types import Float32, Float64

_ROUNDING = 1e-12
"""The share of a squared norm below which a part of a float32 matrix is rounding."""


_ABOVE = np.triu_indices(3, 1)
_STEP_GRAPHS, _STEP_VALUES = 64, 1 << 17
"""What is summed at once: few graphs where each has many values."""


@dataclass(frozen=True)
class Moments:
    """One graph's share in the mean and in the variance of its scores.

    Inner products of two graphs' ``mean_2`` and ``variance_8`` are the mean and the variance.
    """

    mean_2: Float64
    variance_8: Float64


def moments(vectors_GV: Float32, layout: Layout, num_probes: int) -> list[Moments]:
    """Returns the moments of graphs, none where their vectors hold no matrix of pairs of probes.

    They are those of the matrix alone: values behind it (`Layout.own`) know no order of the probes.
    """
    if layout.sums is None:
        return []
    length, found = layout.matrix_length(num_probes), []
    step = max(1, min(_STEP_GRAPHS, _STEP_VALUES // max(length, 1)))
    for start in range(0, len(vectors_GV), step):
        some_GV = vectors_GV[start : start + step, :length]
        found += moments_of_sums(layout.sums(some_GV, num_probes))
    return found


def moments_of_sums(sums: MatrixSums) -> list[Moments]:
    """Returns the moments of matrices over the same probes."""
    rows_GN, columns_GN, diagonal_GN = sums.rows_GN, sums.columns_GN, sums.diagonal_GN
    squares_G, mirrored_G = sums.squares_G, sums.mirrored_G
    count = diagonal_GN.shape[1]
    total_G, trace_G = rows_GN.sum(axis=1), diagonal_GN.sum(axis=1)
    size_G = squares_G + np.einsum("gn,gn->g", diagonal_GN, diagonal_GN)
    row_GN, column_GN = (one - total_G[:, None] / count for one in (rows_GN, columns_GN))
    effects_G3N = np.zeros((len(rows_GN), 3, count))
    if count > 2:
        effects_G3N[:, 0] = (row_GN + column_GN) / math.sqrt(2 * (count - 2))
    effects_G3N[:, 1] = diagonal_GN - trace_G[:, None] / count
    effects_G3N[:, 2] = (row_GN - column_GN) / math.sqrt(2 * count)
    rounding_G = _ROUNDING * size_G
    effects_G3N[np.sum(effects_G3N**2, axis=2) <= rounding_G[:, None]] = 0.0
    products_G33 = effects_G3N @ effects_G3N.transpose(0, 2, 1)
    mean_square_G = total_G**2 / (count * (count - 1))
    left_G2 = np.stack(
        [
            (squares_G + mirrored_G) / 2 - mean_square_G - products_G33[:, 0, 0],
            (squares_G - mirrored_G) / 2 - products_G33[:, 2, 2],
        ],
        axis=1,
    )
    left_G2[left_G2 <= rounding_G[:, None]] = 0.0
    dimensions = np.array([count * (count - 3) / 2, (count - 1) * (count - 2) / 2])
    left_G2[:, dimensions <= 0] = 0.0
    left_G2 /= np.sqrt(np.maximum(dimensions, 1))
    squares_G3 = np.diagonal(products_G33, axis1=1, axis2=2)
    above_G3 = products_G33[:, *_ABOVE] * math.sqrt(2)  # each stands for two
    effects_G6 = np.concatenate([squares_G3, above_G3], axis=1) / math.sqrt(count - 1)
    mean_G2 = np.stack([total_G / math.sqrt(count * (count - 1)), trace_G / math.sqrt(count)], 1)
    return list(map(Moments, mean_G2, np.concatenate([effects_G6, left_G2], axis=1)))


def chance(sources: list[Moments], targets: list[Moments]) -> tuple[Float64, Float64]:
    """Returns mean and deviation of every pair's score over all orders: float64 ``(A, B)`` each."""
    mean_AB = np.stack([m.mean_2 for m in sources]) @ np.stack([m.mean_2 for m in targets]).T
    variance_AB = (
        np.stack([m.variance_8 for m in sources]) @ np.stack([m.variance_8 for m in targets]).T
    )
    np.maximum(variance_AB, 0.0, out=variance_AB)
    return mean_AB, np.sqrt(variance_AB, out=variance_AB)


def z_scores(products_AB: Float64, sources: list[Moments], targets: list[Moments]) -> Float32:
    """Returns ``(score - mean) / deviation`` of every pair: float32 ``(A, B)``.

    NaN where the deviation is 0: a graph whose matrix no order of the probes changes, such as one
    of constant features.

    Args:
        products_AB: inner products of the graphs' matrices: the scores, less what is the same for
            every order and would only add its rounding.
        sources: moments of the ``A`` sources.
        targets: moments of the ``B`` targets.
    """
    z_AB, deviation_AB = chance(sources, targets)
    np.subtract(products_AB, z_AB, out=z_AB)
    is_defined_AB = deviation_AB > 0
    np.divide(z_AB, deviation_AB, out=z_AB, where=is_defined_AB)
    z_AB[~is_defined_AB] = np.nan
    return z_AB.astype(np.float32)
