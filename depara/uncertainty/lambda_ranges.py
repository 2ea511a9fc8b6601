"""How the ranking depends on lambda, the weight of the edges in ``s = s_V + lambda * s_E``.

``A`` source graphs, ``B`` target graphs, ``g`` candidates of a target, ``K`` values of lambda.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depara.similarity.combine import combine
from depara.types import Float64
from depara.uncertainty.candidates import Candidates, Int32, ranks

LAMBDAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
"""Grid of lambda: nodes only, the values of the paper and beyond, edges only."""


@dataclass(frozen=True)
class LambdaRanges:
    """The model ranking at every lambda of a grid, and where each target's first choice holds.

    ``first_B`` is the place of the first choice at ``lambda_``, int32, -1 for a target without
    candidates (its ``low_B`` and ``high_B`` are NaN). It is first for ``low <= lambda <= high``;
    ``high`` is infinite when no larger lambda changes it. ``ranks_KAB`` is int32, 1 is the best, 0
    where a source is no candidate.
    """

    lambda_: float
    lambdas: tuple[float, ...]
    first_B: Int32
    low_B: Float64
    high_B: Float64
    ranks_KAB: Int32

    def __post_init__(self) -> None:
        assert self.first_B.shape == self.low_B.shape == self.high_B.shape
        assert self.ranks_KAB.shape[::2] == (len(self.lambdas), len(self.first_B))


def lambda_ranges(
    node_AB: Float64,
    edge_AB: Float64,
    groups_B: Sequence[Sequence[Candidates]],
    *,
    lambda_: float,
    lambdas: Sequence[float] = LAMBDAS,
) -> LambdaRanges:
    """Returns the ranking on a grid of lambda, and every first choice's exact range.

    Args:
        node_AB: ``s_V`` of every pair.
        edge_AB: ``s_E`` of every pair.
        groups_B: the candidates of each target, one group or none, in the order that breaks ties.
        lambda_: the scan's value, finite and >= 0; it joins the grid.
        lambdas: values >= 0, infinity allowed.
    """
    grid = tuple(sorted({*lambdas, lambda_}))
    num_sources, num_targets = node_AB.shape
    first_B = np.full(num_targets, -1, dtype=np.int32)
    low_B, high_B = np.full(num_targets, np.nan), np.full(num_targets, np.nan)
    ranks_KAB = np.zeros((len(grid), num_sources, num_targets), dtype=np.int32)
    for target, groups in enumerate(groups_B):
        for group in groups:
            node_g, edge_g = node_AB[group, target], edge_AB[group, target]
            first, low_B[target], high_B[target] = lambda_range(node_g, edge_g, lambda_)
            first_B[target] = group[first]
            ranks_KAB[:, group, target] = lambda_ranks(node_g, edge_g, grid)
    return LambdaRanges(lambda_, grid, first_B, low_B, high_B, ranks_KAB)


def lambda_range(node_g: Float64, edge_g: Float64, lambda_: float) -> tuple[int, float, float]:
    """Returns the first choice at ``lambda_`` and, exactly, the range in which it stays first.

    Against every rival the lead ``(n - n') + lambda (e - e')`` is linear in lambda, so each rival
    bounds the range on one side at most, at the crossing ``-(n - n') / (e - e')``: the closest
    crossings on either side are the ends, where a rival is equal. Song et al., CVPR 2020, Eq. 5,
    leave lambda to be tuned; this tells whether it matters.

    Args:
        node_g: ``s_V`` of each candidate, in the order that breaks ties; at least one.
        edge_g: ``s_E`` likewise.
        lambda_: the scan's value, finite and >= 0.

    Returns:
        The first choice's place, and the lowest and highest lambda, the latter maybe infinite.
    """
    assert node_g.size
    first = int(np.argmax(combine(node_g, edge_g, lambda_)))
    node_lead_g, edge_lead_g = node_g[first] - node_g, edge_g[first] - edge_g
    gaining, losing = edge_lead_g > 0, edge_lead_g < 0
    low_g = -node_lead_g[gaining] / edge_lead_g[gaining]
    high_g = -node_lead_g[losing] / edge_lead_g[losing]
    # A rival that is level at lambda_ itself crosses there, but for rounding.
    low = min(max(0.0, low_g.max(initial=0.0)), lambda_)
    high = max(high_g.min(initial=math.inf), lambda_)
    return first, float(low), float(high)


def lambda_ranks(node_g: Float64, edge_g: Float64, lambdas: Sequence[float]) -> Int32:
    """Returns the rank of each candidate at each lambda: int32 ``(K, g)``, 1 is the best.

    At infinity candidates rank by ``s_E`` and, where that is equal, by ``s_V``: the limit of large
    lambda.

    Args:
        node_g: ``s_V`` of each candidate, in the order that breaks ties.
        edge_g: ``s_E`` likewise.
        lambdas: values >= 0, infinity allowed.
    """
    ranks_Kg = np.empty((len(lambdas), node_g.size), dtype=np.int32)
    for ranks_g, lambda_ in zip(ranks_Kg, lambdas, strict=True):
        if math.isinf(lambda_):
            ranks_g[np.lexsort((-node_g, -edge_g))] = np.arange(1, node_g.size + 1)
        else:
            ranks_g[:] = ranks(combine(node_g, edge_g, lambda_)[None])[0]
    return ranks_Kg
