"""The columns of the ``evaluation`` table."""

from __future__ import annotations

import pyarrow as pa


def _field(name: str, kind: pa.DataType, meaning: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null, metadata={"description": meaning})


EVALUATION_SCHEMA = pa.schema(
    [
        _field("score", pa.string(), "column of the similarity table, or a baseline (key)"),
        _field("is_baseline", pa.bool_(), "whether it is a trivial ranking or a ceiling"),
        _field(
            "metric",
            pa.string(),
            "precision, recall, spearman, kendall, weighted_kendall or regret (key)",
        ),
        _field("k", pa.int32(), "first k of the ranking, count; null: all of it (key)", null=True),
        _field("target", pa.string(), "target model; null: mean over the targets (key)", null=True),
        _field(
            "source",
            pa.string(),
            "source whose layers are ranked; null for models (key)",
            null=True,
        ),
        _field(
            "value",
            pa.float64(),
            "precision, recall and regret 0 to 1, correlations -1 to 1; regret: lower is better",
        ),
        _field(
            "low",
            pa.float64(),
            "5 % end of the bootstrap over targets, unit of value; null for one target",
            null=True,
        ),
        _field(
            "high",
            pa.float64(),
            "95 % end of the bootstrap over targets, unit of value; null for one target",
            null=True,
        ),
    ]
)
"""Columns of ``evaluation``; key ``score, metric, k, target, source``."""

HYBRID = "hybrid"
"""The score that puts the zoo's generally best source first: what a budget of trials follows."""
