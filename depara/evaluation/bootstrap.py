"""How sure a mean over targets is: percentile intervals of a seeded bootstrap over the targets.

``Q`` queries, ``X`` numbers of each, ``B`` resamples.
"""

from __future__ import annotations

import numpy as np

from depara.types import Float64

LOW, HIGH = 0.05, 0.95
"""The interval's ends, as quantiles of the resampled means."""


def draw_resamples(num_queries: int, resamples: int, seed: int) -> Float64:
    """Returns how much each query counts in each resample: ``(B, Q)``, rows sum to 1.

    ``num_queries`` are drawn with replacement from as many. The same resamples serve all scores.
    """
    rng = np.random.default_rng(seed)
    counts_BQ = rng.multinomial(num_queries, [1 / num_queries] * num_queries, size=resamples)
    weights: Float64 = counts_BQ / num_queries
    return weights


def mean_intervals(values_QX: Float64, weights_BQ: Float64) -> tuple[Float64, Float64]:
    """Returns the 5 % and 95 % quantiles of the resampled means over queries, each ``(X,)``.

    NaN when there is one query only (its spread is unknown) or no resample.
    """
    if len(values_QX) < 2 or not len(weights_BQ):
        unknown = np.full(values_QX.shape[1], np.nan)
        return unknown, unknown
    low, high = np.quantile(weights_BQ @ values_QX, [LOW, HIGH], axis=0)
    return low, high
