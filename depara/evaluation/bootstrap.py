"""How sure a mean over targets is: percentile intervals of a seeded bootstrap over the targets.

``Q`` queries, ``X`` numbers of each, ``B`` resamples.
"""

from __future__ import annotations

import numpy as np

from depara.types import Float64

LOW, HIGH = 0.05, 0.95
"""The interval's ends, as quantiles of the resampled means."""


def draw_resamples(
    num_queries: int, resamples: int, seed: int, weight_Q: Float64 | None = None
) -> Float64:
    """Returns how much each query counts in each resample: ``(B, Q)``, rows sum to 1.

    ``num_queries`` are drawn with replacement from as many. The same resamples serve all scores.

    Args:
        num_queries: Q.
        resamples: B.
        seed: of the draws.
        weight_Q: what a query counts each time it is drawn; None is all the same. Resamples of
            nothing but queries of weight 0 have no mean and are left out.
    """
    rng = np.random.default_rng(seed)
    counts_BQ = rng.multinomial(num_queries, [1 / num_queries] * num_queries, size=resamples)
    if weight_Q is None:
        weights: Float64 = counts_BQ / num_queries
        return weights
    weighted_BQ = counts_BQ * weight_Q
    total_B = weighted_BQ.sum(axis=1)
    kept: Float64 = weighted_BQ[total_B > 0] / total_B[total_B > 0, None]
    return kept


def mean_intervals(values_QX: Float64, weights_BQ: Float64) -> tuple[Float64, Float64]:
    """Returns the 5 % and 95 % quantiles of the resampled means over queries, each ``(X,)``.

    NaN when there is one query only (its spread is unknown) or no resample.
    """
    if len(values_QX) < 2 or not len(weights_BQ):
        unknown = np.full(values_QX.shape[1], np.nan)
        return unknown, unknown
    low, high = np.quantile(weights_BQ @ values_QX, [LOW, HIGH], axis=0)
    return low, high
