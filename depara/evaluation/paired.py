"""Whether one score is better than another: the mean of their differences over the same targets.

Targets differ more than scores do, so that two intervals may overlap where one score is better on
nearly every target. Differences of the same target take that out.

``Q`` queries, ``X`` numbers of each, ``B`` resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depara.evaluation.bootstrap import mean_intervals
from depara.types import Float64

_DIGITS = 12
"""Decimals kept of resampled means, so that rounding errors decide between no equal scores."""


@dataclass(frozen=True, eq=False)
class Differences:
    """Means over queries of first minus second, each ``(X,)``, in the unit of the metric.

    ``low_X`` and ``high_X`` are the 5 % and 95 % quantiles over the resamples, and ``p_better_X``
    the share of the resamples in which the first is better, equal ones counted half. These are NaN
    for one query, and without resamples; all is NaN where a metric is not defined.
    """

    mean_X: Float64
    low_X: Float64
    high_X: Float64
    p_better_X: Float64


def paired_differences(
    first_QX: Float64,
    second_QX: Float64,
    weights_BQ: Float64,
    weight_Q: Float64 | None,
    lower_is_better_X: NDArray[np.bool_],
) -> Differences:
    """Returns the paired differences of two scores; the same resamples serve both.

    A paired bootstrap over queries (Efron & Tibshirani, An Introduction to the Bootstrap, 1993).

    Args:
        first_QX: the numbers of the first score.
        second_QX: of the second score, for the same queries.
        weights_BQ: what each query counts in each resample; rows sum to 1.
        weight_Q: what each query counts in the mean; None is all the same.
        lower_is_better_X: whether a number is better when it is lower, such as a regret.
    """
    difference_QX = first_QX - second_QX
    low_X, high_X = mean_intervals(difference_QX, weights_BQ)
    p_better_X = np.full(difference_QX.shape[1], np.nan)
    if len(difference_QX) > 1 and len(weights_BQ):
        gain_QX = np.where(lower_is_better_X, -difference_QX, difference_QX)
        gain_BX = (weights_BQ @ gain_QX).round(_DIGITS)
        p_better_X = (gain_BX > 0).mean(axis=0) + (gain_BX == 0).mean(axis=0) / 2
        p_better_X[np.isnan(difference_QX).any(axis=0)] = np.nan
    mean_X = np.average(difference_QX, axis=0, weights=weight_Q)
    return Differences(mean_X, low_X, high_X, p_better_X)
