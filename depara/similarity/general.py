"""The source to try whatever the target: the most similar to a zoo's other models on average."""

from __future__ import annotations

import pandas as pd


def generally_best(pairs: pd.DataFrame) -> dict[str, str]:
    """Returns, for each target, the source of the highest mean similarity to the *other* targets.

    It takes the place of "the best on ImageNet" in the hybrid rule of Renggli et al., CVPR 2022. A
    source that no other target has is judged by this one; equal means go by name.

    Args:
        pairs: ``target_model, source_model, similarity`` of output graphs, each pair once.
    """
    of_source = pairs.groupby("source_model")["similarity"]
    count = of_source.transform("size") - 1
    others = (of_source.transform("sum") - pairs["similarity"]) / count.where(count > 0, 1)
    means = pairs.assign(mean=others.where(count > 0, pairs["similarity"]).round(12))
    order = means.sort_values(["mean", "source_model"], ascending=[False, True])
    first = order.drop_duplicates("target_model")
    return dict(zip(first["target_model"], first["source_model"], strict=True))
