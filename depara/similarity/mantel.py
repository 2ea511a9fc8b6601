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


@dataclass(frozen=True)
class Moments:
    """One graph's share in the mean and in the variance of its scores.

    Inner products of two graphs' ``mean_2`` and ``variance_8`` are the mean and the variance.
    """

    mean_2: Float64
    variance_8: Float64


def moments(vector: Float32, layout: Layout, num_probes: int) -> Moments | None:
    """Returns a graph's moments, or None where its vector holds no matrix of pairs of probes.

    They are those of the matrix alone: values behind it (`Layout.own`) know no order of the probes.
    """
    if layout.sums is None:
        return None
    return moments_of_sums(layout.sums(vector[: layout.matrix_length(num_probes)], num_probes))


def moments_of_sums(sums: MatrixSums) -> Moments:
    """Returns the moments of a matrix."""
    count = len(sums.diagonal_N)
    total, trace = float(sums.rows_N.sum()), float(sums.diagonal_N.sum())
    size = sums.squares + float(sums.diagonal_N @ sums.diagonal_N)
    row_N, column_N = sums.rows_N - total / count, sums.columns_N - total / count
    effects_3N = np.zeros((3, count))
    if count > 2:
        effects_3N[0] = (row_N + column_N) / math.sqrt(2 * (count - 2))
    effects_3N[1] = sums.diagonal_N - trace / count
    effects_3N[2] = (row_N - column_N) / math.sqrt(2 * count)
    effects_3N[np.sum(effects_3N**2, axis=1) <= _ROUNDING * size] = 0.0
    products_33 = effects_3N @ effects_3N.T
    mean_square = total**2 / (count * (count - 1))
    left = np.array(
        [
            (sums.squares + sums.mirrored) / 2 - mean_square - products_33[0, 0],
            (sums.squares - sums.mirrored) / 2 - products_33[2, 2],
        ]
    )
    left[left <= _ROUNDING * size] = 0.0
    dimensions = np.array([count * (count - 3) / 2, (count - 1) * (count - 2) / 2])
    left[dimensions <= 0] = 0.0
    left /= np.sqrt(np.maximum(dimensions, 1))
    above = products_33[_ABOVE] * math.sqrt(2)  # each stands for two
    effects = np.concatenate([np.diagonal(products_33), above]) / math.sqrt(count - 1)
    mean = np.array([total / math.sqrt(count * (count - 1)), trace / math.sqrt(count)])
    return Moments(mean, np.concatenate([effects, left]))


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
