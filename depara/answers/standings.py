"""How each source stands for its target: first, as good as the first, behind it, or out."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

Standing = Literal["first", "as good", "behind", "out"]
"""``first`` in the ranking; ``as good``: it cannot be told from the first; ``behind`` it; ``out``:
not among the first three in 95 % of resamples."""

SYMBOLS: dict[str, str] = {"first": "★", "as good": "≈", "behind": "·", "out": "✕"}
"""One sign per standing."""

CONFIDENCE = 0.95
"""Sources that share the first place in this part of the resamples are as good as the first."""

OUT_BEYOND = 3


def standings(table: pd.DataFrame) -> pd.Series[str]:
    """Returns how each row stands, of all targets at once.

    As good as the first are those of the smallest set that holds the first place in 95 % of the
    resamples, the first of the ranking always in it. Without resamples all others are behind.

    Args:
        table: ``target_model, rank`` (1 is the best), ``p_first`` (share of resamples in which it
            is first) and ``rank_low`` (5 % quantile of the rank), null without resamples.
    """
    is_first = table["rank"] == 1
    share = table["p_first"].astype("float64")
    order = pd.DataFrame(
        {
            "target": table["target_model"],
            "is_other": ~is_first,
            "minus_share": -share.fillna(0.0),
            "rank": table["rank"],
            "share": share.fillna(0.0),
        }
    ).sort_values(["target", "is_other", "minus_share", "rank"])
    held = (order.groupby("target")["share"].cumsum() - order["share"]).reindex(table.index)
    has_resamples = share.notna().groupby(table["target_model"]).transform("any")
    is_good = has_resamples & (share > 0) & (held < CONFIDENCE)
    is_out = table["rank_low"].astype("float64") > OUT_BEYOND
    found = np.select([is_first, is_good, is_out], ["first", "as good", "out"], "behind")
    return pd.Series(found, table.index)
