"""The columns of the tables of an evaluation."""

from __future__ import annotations

import pyarrow as pa

from depara.store.fields import described_field as _field

EVALUATION_SCHEMA = pa.schema(
    [
        _field("score", pa.string(), "column of the similarity table, or a baseline (key)"),
        _field("is_baseline", pa.bool_(), "whether it is a trivial ranking or a ceiling"),
        _field(
            "metric",
            pa.string(),
            "precision, recall, spearman, kendall, weighted_kendall, pearson, regret or "
            "relative_accuracy (key)",
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
            "precision, recall and regret 0 to 1, correlations -1 to 1, relative_accuracy up to 1; "
            "regret: lower is better",
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
"""Columns of ``evaluation``; key ``score, metric, k, target, source``. What is not defined, such as
the relative accuracy of negative true values, has no row."""

PAIRED_SCHEMA = pa.schema(
    [
        _field("score", pa.string(), "column of the similarity table, or a baseline (key)"),
        _field("other", pa.string(), "the one it is compared with, likewise (key)"),
        _field("metric", pa.string(), "as in evaluation (key)"),
        _field("k", pa.int32(), "first k of the ranking, count; null: all of it (key)", null=True),
        _field("difference", pa.float64(), "mean over targets of score minus other, metric's unit"),
        _field(
            "low",
            pa.float64(),
            "5 % end of the bootstrap over targets, unit of difference; null for one target",
            null=True,
        ),
        _field(
            "high",
            pa.float64(),
            "95 % end of the bootstrap over targets, unit of difference; null for one target",
            null=True,
        ),
        _field(
            "p_better",
            pa.float64(),
            "share of the resamples in which score is better than other, equal ones half, 0 to 1; "
            "null for one target",
            null=True,
        ),
    ]
)
"""Columns of ``paired``; key ``score, other, metric, k``."""

SETUPS_SCHEMA = pa.schema(
    [
        _field("metric", pa.string(), "as in evaluation (key)"),
        _field("k", pa.int32(), "first k of the ranking, count; null: all of it (key)", null=True),
        _field(
            "agreement",
            pa.float64(),
            "mean Kendall tau-b of the rankings of the scores by two setups, -1 to 1; null where "
            "no setup tells scores apart",
            null=True,
        ),
        _field("same_winner", pa.float64(), "how often two setups have the same best, 0 to 1"),
        _field("winner", pa.string(), "score that is the best most often"),
        _field("p_winner", pa.float64(), "share of the setups in which it is, 0 to 1"),
        _field("num_setups", pa.int32(), "random setups that could be judged, count"),
    ]
)
"""Columns of ``setups``; key ``metric, k``."""

EVALUATION_TABLES = {
    "evaluation": EVALUATION_SCHEMA,
    "paired": PAIRED_SCHEMA,
    "setups": SETUPS_SCHEMA,
}

HYBRID = "hybrid"
"""The score that puts the zoo's generally best source first: what a budget of trials follows."""
