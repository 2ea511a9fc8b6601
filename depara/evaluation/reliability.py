"""How far a truth can be met at all: the agreement of its repeated measurements.

``R`` repeats of a ranking, ``C`` its candidates, ``Q`` queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from depara.evaluation.metrics import spearman
from depara.evaluation.queries import Query
from depara.types import Float64

MOSTLY_NOISE = 0.5
"""A reliability below it means that less than half of the variance of the true ranks would come
again in other repeats."""


def reliability(repeats_RC: Float64) -> float:
    """Returns the reliability of the mean over repeats, 0 to 1; NaN for one repeat.

    The mean Spearman correlation r of two repeats, stepped up to the mean of all R by the formula
    of Spearman (1910) and Brown (1910), both British Journal of Psychology 3:
    ``R r / (1 + (R - 1) r)``. 0 where repeats do not agree on average (r below 0); a repeat that
    tells no candidates apart agrees with none. The formula is of correlations of values with
    independent errors; for ranks it is an approximation.
    """
    count = len(repeats_RC)
    if count < 2:
        return float("nan")
    agreement = [_agreement(one, other) for one, other in combinations(repeats_RC, 2)]
    mean = max(0.0, float(np.mean(agreement)))
    return count * mean / (1 + (count - 1) * mean)


def reliabilities(queries: Sequence[Query]) -> Float64:
    """Returns the reliability of each query's truth, NaN where it was measured once. ``(Q,)``."""
    return np.array(
        [np.nan if query.repeats_RC is None else reliability(query.repeats_RC) for query in queries]
    )


def noise_ceiling(reliability_Q: Float64) -> Float64:
    """Returns the highest Spearman that a score can be expected to have: ``sqrt(reliability)``.

    Spearman, "The proof and measurement of association between two things", American Journal of
    Psychology 15, 1904: errors of measurement lower a correlation by the square root of the
    reliability. A score that knew the transfers without error would reach it. ``(Q,)``, 0 to 1.
    """
    ceiling: Float64 = np.sqrt(reliability_Q)
    return ceiling


def mostly_noise(queries: Sequence[Query], reliability_Q: Float64) -> list[str]:
    """Returns the queries whose reliability is below `MOSTLY_NOISE`, with it, lowest first."""
    pairs = sorted(zip(reliability_Q, (query.label for query in queries), strict=True))
    return [f"{label} ({value:.2f})" for value, label in pairs if value < MOSTLY_NOISE]


def _agreement(one_C: Float64, other_C: Float64) -> float:
    is_flat = one_C.min() == one_C.max() or other_C.min() == other_C.max()
    return 0.0 if is_flat else spearman(one_C, other_C)
