"""The ``label_scores`` table of a scan: one row per graph and score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pyarrow as pa

from depara.labelled.scores import ScoreValue
from depara.store.artifacts import table_of_rows
from depara.store.schemas import TABLES


def label_score_table(
    graphs: Iterable[tuple[str, str, Mapping[str, ScoreValue]]],
) -> pa.Table:
    """Returns the ``label_scores`` table, in the order given; NaN becomes null.

    Args:
        graphs: model, layer and `label_scores` of each graph.
    """
    rows = [
        {
            "model_id": model_id,
            "layer": layer,
            "score": name,
            "value": None if math.isnan(score.value) else score.value,
            "reason": score.reason,
        }
        for model_id, layer, scores in graphs
        for name, score in scores.items()
    ]
    return table_of_rows(rows, TABLES["label_scores"])
