"""Past transfers beside what a scan says of the same pairs: what a learner may see.

``T`` targets with past transfers, ``M`` models, ``K`` scores of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from depara.errors import ConfigError
from depara.evaluation.baselines import mean_known, rank_fraction
from depara.evaluation.truth import Truth
from depara.types import Float64

FEWEST_TARGETS = 3
"""Past targets below which nothing can be left out and learned from the rest."""


@dataclass(frozen=True, eq=False)
class Past:
    """What is known of the models of a scan before a new target is asked for.

    ``scores_MMK`` are the scan's scores of every source (second axis) for every target (first), as
    rank fractions among the target's sources: 1 for the best, 0 for the worst or a missing one; NaN
    throughout for what is no source of the target. ``likeness_MM`` says how alike two models are as
    tasks. ``value_TM`` are the past transfers, higher = better within a target, NaN where none was
    measured; ``targets_T`` the places of these targets among the models.
    """

    models: tuple[str, ...]
    scores: tuple[str, ...]
    scores_MMK: Float64
    likeness_MM: Float64
    targets_T: NDArray[np.intp]
    value_TM: Float64

    def without(self, model: int) -> Past:
        """Returns the past in which a model does not occur, neither as target nor as source.

        That a transfer *from* it went well would tell of its task, too.
        """
        kept = self.targets_T != model
        value_TM = self.value_TM[kept].copy()
        value_TM[:, model] = np.nan
        return replace(self, targets_T=self.targets_T[kept], value_TM=value_TM)

    def candidates(self, target: int) -> NDArray[np.intp]:
        """Returns the places of a target's sources in the scan."""
        return np.flatnonzero(np.isfinite(self.scores_MMK[target]).all(axis=1))

    @cached_property
    def fraction_TM(self) -> Float64:
        """The past transfers as rank fractions of each target: 1 for its best source, 0 worst."""
        return rank_fraction(self.value_TM)

    @cached_property
    def popularity_M(self) -> Float64:
        """How well each model served the past targets: its mean rank fraction, 0.5 if unknown."""
        return mean_known(self.fraction_TM)


def past_of(scores: pd.DataFrame, truth: Truth, likeness: str) -> Past:
    """Returns the past transfers between the models of a scan.

    Args:
        scores: ``target, source`` and one column per score, higher = better, of the pairs that the
            scan ranks.
        truth: measured transfers; those between other models are left out.
        likeness: the score that says how alike two models are, symmetric and 1 for the same.

    Raises:
        ConfigError: fewer than `FEWEST_TARGETS` targets of the scan have two measured sources.
    """
    names = [str(name) for name in scores.columns if name not in ("target", "source")]
    models = tuple(sorted({*scores["target"], *scores["source"]}))
    place = {name: index for index, name in enumerate(models)}
    rows, columns = (scores[key].map(place).to_numpy() for key in ("target", "source"))
    values_MMK = np.full((len(models), len(models), len(names)), np.nan)
    values_MMK[rows, columns] = scores[names].to_numpy(dtype=np.float64)
    is_pair_MM = np.zeros(values_MMK.shape[:2], dtype=np.bool_)
    is_pair_MM[rows, columns] = True
    targets_T, value_TM = _values(truth, place, is_pair_MM)
    if len(targets_T) < FEWEST_TARGETS:
        raise ConfigError(
            f"{truth.origin} has two measured sources or more for {len(targets_T)} targets of the "
            f"scan, learning needs {FEWEST_TARGETS}: measure more transfers, or rank by the scan "
            "alone with `depara recommend`"
        )
    return Past(
        models,
        tuple(names),
        _as_fractions(values_MMK, is_pair_MM),
        _symmetric(values_MMK[:, :, names.index(likeness)]),
        targets_T,
        value_TM,
    )


def _values(
    truth: Truth, place: dict[str, int], is_pair_MM: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], Float64]:
    """Returns the past targets' places and what their sources reached."""
    table = truth.table[truth.table["target"].isin(place) & truth.table["source"].isin(place)]
    value_MM = np.full(is_pair_MM.shape, np.nan)
    rows, columns = (table[key].map(place).to_numpy(dtype=np.intp) for key in ("target", "source"))
    value_MM[rows, columns] = table["value"].to_numpy(dtype=np.float64)
    value_MM[~is_pair_MM] = np.nan
    targets_T = np.flatnonzero(np.isfinite(value_MM).sum(axis=1) > 1)
    return targets_T, value_MM[targets_T]


def _as_fractions(values_MMK: Float64, is_pair_MM: NDArray[np.bool_]) -> Float64:
    """Returns rank fractions among each target's sources; a missing score counts as the lowest."""
    lowest_MK = np.nanmin(
        np.where(is_pair_MM[:, :, None], np.nan_to_num(values_MMK, nan=np.inf), np.inf), axis=1
    )
    known_MMK = np.isfinite(values_MMK)
    floor_MK = np.where(np.isfinite(lowest_MK), lowest_MK, 0.0) - 1
    filled_MMK = np.where(known_MMK, values_MMK, floor_MK[:, None, :])
    filled_MMK[~is_pair_MM] = np.nan
    fraction_MMK = rank_fraction(filled_MMK.swapaxes(1, 2)).swapaxes(1, 2)
    alone = is_pair_MM.sum(axis=1) == 1
    fraction_MMK[alone] = np.where(is_pair_MM[alone][:, :, None], 0.5, np.nan)
    return fraction_MMK


def _symmetric(values_MM: Float64) -> Float64:
    """Returns the mean of both directions, 0 where none is known, 1 of a model with itself."""
    known = np.isfinite(values_MM)
    total = np.where(known, values_MM, 0.0)
    count = known.astype(np.float64) + known.T
    mean_MM: Float64 = (total + total.T) / np.maximum(count, 1)
    np.fill_diagonal(mean_MM, 1.0)
    return mean_MM
