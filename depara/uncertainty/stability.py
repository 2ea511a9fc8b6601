"""Whether fewer probes would give the same ranking: correlation of subsets' rankings with the full.

``F`` sizes of subsets, ``D`` subsets of each size, ``B`` targets, ``g`` candidates of a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from depara.types import Float32, Float64
from depara.uncertainty.candidates import Candidates
from depara.uncertainty.intervals import HIGH, LOW
from depara.uncertainty.weights import MIN_SUBSET_PROBES, ProbeWeights

FRACTIONS = (1 / 2, 1 / 4, 1 / 8)
"""Shares of the probes that are tried."""


@dataclass(frozen=True)
class Stability:
    """Spearman correlation of subsets' model rankings with the full one: float64 ``(F, D, B)``.

    ``subset_probes`` are the sizes of the subsets, ``num_probes`` that of the probe set. NaN for a
    target with fewer than two candidates.
    """

    num_probes: int
    subset_probes: tuple[int, ...]
    correlation_FDB: Float64

    def __post_init__(self) -> None:
        assert self.correlation_FDB.ndim == 3
        assert len(self.subset_probes) == len(self.correlation_FDB)


@dataclass(frozen=True)
class StabilityRow:
    """The mean over targets of the correlation at one subset size, and its spread over subsets."""

    fraction: float
    num_probes: int
    correlation: float
    low: float
    high: float
    num_subsets: int


def subset_sizes(num_probes: int, fractions: Sequence[float] = FRACTIONS) -> tuple[int, ...]:
    """Returns the subset sizes of a probe set, falling; those too small for edges are left out."""
    sizes = {round(num_probes * fraction) for fraction in fractions}
    return tuple(sorted((s for s in sizes if MIN_SUBSET_PROBES <= s < num_probes), reverse=True))


def ranking_stability(
    samples_BAR: Float32, weights: ProbeWeights, groups_B: Sequence[Sequence[Candidates]]
) -> Stability:
    """Returns how each target's ranking by subsets of the probes agrees with that by all of them.

    Args:
        samples_BAR: similarity under each row of the weights; row 0 is all probes.
        weights: which rows are subsets, and of what size.
        groups_B: the candidates of each target, one group or none.
    """
    sizes = weights.subset_probes
    correlation_FDB = np.full((len(sizes), weights.num_subsets, len(groups_B)), np.nan)
    for target, groups in enumerate(groups_B):
        for group in groups:
            samples_Rg = samples_BAR[target, group].T
            for size, correlation_DB in enumerate(correlation_FDB):
                subsets_Dg = samples_Rg[weights.subsets(size)]
                correlation_DB[:, target] = rank_correlation(samples_Rg[0], subsets_Dg)
    return Stability(weights.weights_RN.shape[1], sizes, correlation_FDB)


def rank_correlation(full_g: NDArray[np.floating], samples_Dg: NDArray[np.floating]) -> Float64:
    """Returns Spearman's correlation of each row with ``full_g``, ``(D,)``; average ranks for ties.

    NaN with fewer than two candidates; 0 when a side has no order.
    """
    if len(full_g) < 2:
        return np.full(len(samples_Dg), np.nan)
    full_ranks_g = _unit(scipy.stats.rankdata(full_g)[None])[0]
    correlation_D: Float64 = _unit(scipy.stats.rankdata(samples_Dg, axis=1)) @ full_ranks_g
    return np.clip(correlation_D, -1.0, 1.0)


def summarize_stability(blocks: Sequence[Stability]) -> list[StabilityRow]:
    """Returns one row per subset size over the targets of all blocks, the largest subset first.

    The correlation is averaged over targets within each subset; the row gives its mean and its 5 %
    and 95 % quantiles over subsets. No rows when no target has two candidates.

    Raises:
        ValueError: blocks of different probe sets or subsets.
    """
    if not blocks:
        return []
    kinds = {(b.num_probes, b.subset_probes, b.correlation_FDB.shape[1]) for b in blocks}
    if len(kinds) > 1:
        raise ValueError(f"blocks differ in probes, subset sizes or subsets: {sorted(kinds)}")
    correlation_FDB = np.concatenate([block.correlation_FDB for block in blocks], axis=2)
    ranked_B = ~np.isnan(correlation_FDB).any(axis=(0, 1))
    num_probes, sizes, num_subsets = kinds.pop()
    if not (ranked_B.any() and num_subsets):
        return []
    mean_FD = correlation_FDB[:, :, ranked_B].mean(axis=2)
    rows = []
    for size, mean_D in zip(sizes, mean_FD, strict=True):
        low, high = np.quantile(mean_D, (LOW, HIGH)).tolist()
        rows.append(
            StabilityRow(size / num_probes, size, float(mean_D.mean()), low, high, num_subsets)
        )
    return rows


def _unit(ranks_Dg: NDArray[np.floating]) -> Float64:
    """Returns rows centred and scaled to unit norm; a constant row becomes 0."""
    centred_Dg = ranks_Dg - ranks_Dg.mean(axis=1, keepdims=True)
    norms_D1 = np.linalg.norm(centred_Dg, axis=1, keepdims=True)
    unit_Dg: Float64 = np.divide(centred_Dg, norms_D1, out=centred_Dg, where=norms_D1 > 0)
    return unit_Dg
