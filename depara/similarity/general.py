"""The source to try whatever the target: the most similar to a zoo's other models on average.

``T`` targets, ``S`` sources.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from depara.types import Float64

_DIGITS = 12
"""Decimals kept, so that equal means tie and rounding errors decide nothing."""


def means_of_others(values_TS: Float64) -> Float64:
    """Returns each source's mean similarity to the *other* targets, for every target: ``T S``.

    It takes the place of "the best on ImageNet" in the hybrid rule of Renggli et al., CVPR 2022. A
    source that no other target has is judged by this one.

    Args:
        values_TS: similarity of output graphs, NaN where a source is none of the target's; so is
            the result there.
    """
    known = np.isfinite(values_TS)
    filled = np.where(known, values_TS, 0.0)
    count = known.sum(axis=0)[None, :] - known
    others = (filled.sum(axis=0)[None, :] - filled) / np.maximum(count, 1)
    return np.where(known, np.where(count > 0, others, filled), np.nan).round(_DIGITS)


def generally_best(pairs: pd.DataFrame) -> dict[str, str]:
    """Returns for each target the source of the highest of `means_of_others`; equal ones by name.

    Args:
        pairs: ``target_model, source_model, similarity`` of output graphs, each pair once.
    """
    wide = pairs.pivot_table(index="target_model", columns="source_model", values="similarity")
    means_TS = np.nan_to_num(means_of_others(wide.to_numpy(np.float64)), nan=-np.inf)
    if not means_TS.size:
        return {}
    return dict(zip(wide.index, wide.columns[means_TS.argmax(axis=1)], strict=True))
