"""Where similarity starts for nothing: a source's random-weights twins against the same target.

grad*input multiplies all models' maps by the same image, so that unrelated models share a positive
floor; a twin of the same architecture shows how much of a score is that floor.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from depara.store.artifacts import plain_texts


def without_sources(similarity: pa.Table, models: Mapping[str, str]) -> pa.Table:
    """Returns the rows whose source model is none of the given ones."""
    if not models:
        return similarity
    return similarity.filter(pc.invert(_is_of(similarity, models)))


def null_similarity(
    ranking: pa.Table, similarity: pa.Table, null_of: Mapping[str, str]
) -> pa.Array:
    """Returns, for each row of a model ranking, its twins' mean similarity: float64, nullable.

    Args:
        ranking: the ``model_ranking`` table.
        similarity: the ``similarity`` table, twins among the sources.
        null_of: the model that each twin stands beside, by the twin's id.
    """
    if not null_of:
        return pa.nulls(ranking.num_rows, pa.float64())
    keys = ["source_model", "source_layer", "target_model", "target_layer"]
    twins = similarity.select([*keys, "similarity"]).filter(_is_of(similarity, null_of))
    frame = plain_texts(twins).to_pandas()
    assert isinstance(frame, pd.DataFrame)
    frame["source_model"] = frame["source_model"].map(dict(null_of))
    means = frame.groupby(keys, as_index=False)["similarity"].mean()
    rows = plain_texts(ranking.select(keys)).to_pandas().merge(means, on=keys, how="left")
    return pa.array(rows["similarity"], pa.float64(), from_pandas=True)


def _is_of(similarity: pa.Table, models: Mapping[str, str]) -> pa.ChunkedArray:
    """Whether each row's source model is one of some."""
    names = pa.array(list(models), pa.string())
    return pc.is_in(similarity["source_model"].cast(pa.string()), value_set=names)
