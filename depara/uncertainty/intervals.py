"""5 % to 95 % intervals of scores and of ranks over bootstrap resamples (percentile intervals).

``A`` source graphs, ``B`` target graphs, ``R`` resamples, ``g`` candidates ranked together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depara.types import Float32, Float64
from depara.uncertainty.candidates import Candidates, Int32, ranks

LOW, HIGH = 0.05, 0.95
"""Quantiles over the resamples that bound an interval."""


@dataclass(frozen=True)
class ScoreIntervals:
    """A score of every pair with its interval: float64 ``(A, B)``."""

    value_AB: Float64
    low_AB: Float64
    high_AB: Float64

    def __post_init__(self) -> None:
        assert self.value_AB.shape == self.low_AB.shape == self.high_AB.shape

    @classmethod
    def joined(cls, parts: Sequence[ScoreIntervals]) -> ScoreIntervals:
        """Returns blocks of targets, in order, as one."""
        columns = [(part.value_AB, part.low_AB, part.high_AB) for part in parts]
        return cls(*(np.concatenate(arrays, axis=1) for arrays in zip(*columns, strict=True)))

    def columns(self, targets: Sequence[int]) -> ScoreIntervals:
        """Returns the same of some targets, by their places."""
        places = list(targets)
        return ScoreIntervals(
            self.value_AB[:, places], self.low_AB[:, places], self.high_AB[:, places]
        )


@dataclass(frozen=True)
class RankIntervals:
    """Every source's rank for every target: int32 ``(A, B)``, 1 is the best.

    A source that is no candidate for a target has rank 0. ``p_first_AB`` is the share of resamples
    in which the source is first, float64; over a target's candidates it sums to 1.
    """

    rank_AB: Int32
    low_AB: Int32
    high_AB: Int32
    p_first_AB: Float64

    def __post_init__(self) -> None:
        assert self.rank_AB.shape == self.low_AB.shape == self.high_AB.shape
        assert self.rank_AB.shape == self.p_first_AB.shape

    def columns(self, targets: Sequence[int]) -> RankIntervals:
        """Returns the same of some targets, by their places."""
        places = list(targets)
        rank_AB, low_AB, high_AB = (
            one[:, places] for one in (self.rank_AB, self.low_AB, self.high_AB)
        )
        return RankIntervals(rank_AB, low_AB, high_AB, self.p_first_AB[:, places])


def score_intervals(value_AB: Float64, samples_BAR: Float32) -> ScoreIntervals:
    """Returns the scores between the 5 % and 95 % quantiles of their resamples.

    Percentile intervals (Efron and Tibshirani, 1993, section 13.3), interpolated.

    Args:
        value_AB: the scores themselves.
        samples_BAR: the scores under each bootstrap resample.
    """
    low_AB, high_AB = np.empty(value_AB.shape), np.empty(value_AB.shape)
    for target, samples_AR in enumerate(samples_BAR):
        low_AB[:, target], high_AB[:, target] = np.quantile(samples_AR, (LOW, HIGH), axis=1)
    return ScoreIntervals(value_AB, low_AB, high_AB)


def rank_intervals(
    similarity_AB: Float64, samples_BAR: Float32, groups_B: Sequence[Sequence[Candidates]]
) -> RankIntervals:
    """Returns every rank with the 5 % and 95 % quantiles of the ranks within each resample.

    Bootstrapped ranks as in Goldstein and Spiegelhalter, JRSS A, 1996; the bounds are rounded
    outwards to ranks that occur.

    Args:
        similarity_AB: the scan's similarity, which gives the ranks themselves.
        samples_BAR: similarity under each bootstrap resample.
        groups_B: for each target, who is ranked together, in the order that breaks ties.
    """
    rank_AB, low_AB, high_AB = (np.zeros(similarity_AB.shape, dtype=np.int32) for _ in range(3))
    p_first_AB = np.zeros(similarity_AB.shape)
    for target, groups in enumerate(groups_B):
        for group in groups:
            rank_AB[group, target] = ranks(similarity_AB[None, group, target])[0]
            ranks_Rg = ranks(np.ascontiguousarray(samples_BAR[target, group].T))
            p_first_AB[group, target] = (ranks_Rg == 1).mean(axis=0)
            ranks_Rg.sort(axis=0)
            last = len(ranks_Rg) - 1
            low_AB[group, target] = ranks_Rg[int(np.floor(LOW * last))]
            high_AB[group, target] = ranks_Rg[int(np.ceil(HIGH * last))]
    return RankIntervals(rank_AB, low_AB, high_AB, p_first_AB)
