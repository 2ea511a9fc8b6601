"""Columns of the tables of uncertainty: names, types, and meaning with units in the metadata."""

from __future__ import annotations

import pyarrow as pa


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"description": meaning})


_TARGET = _field("target_model", pa.string(), "model that stands for the target task (key)")
_SOURCE = _field("source_model", pa.string(), "model to transfer from (key)")
_LAYER = _field("source_layer", pa.string(), "its cut point (key)")
_COUNT = _field("num_resamples", pa.int32(), "bootstrap resamples of the probes, count")

TABLES: dict[str, pa.Schema] = {
    "uncertainty": pa.schema(
        [
            _TARGET,
            _field("target_layer", pa.string(), "its layer (key)"),
            _SOURCE,
            _LAYER,
            _field("score", pa.string(), "node_similarity, edge_similarity or similarity (key)"),
            _field("value", pa.float64(), "the score with all probes, unitless"),
            _field("low", pa.float64(), "5 % quantile of the score over resamples, unitless"),
            _field("high", pa.float64(), "95 % quantile of the score over resamples, unitless"),
            _COUNT,
        ]
    ),
    "rank_uncertainty": pa.schema(
        [
            _field("ranking", pa.string(), "model or layer: the table that it joins (key)"),
            _TARGET,
            _SOURCE,
            _LAYER,
            _field("rank", pa.int32(), "rank with all probes, 1 is the best"),
            _field("rank_low", pa.int32(), "5 % quantile of the rank over resamples"),
            _field("rank_high", pa.int32(), "95 % quantile of the rank over resamples"),
            _field("p_first", pa.float64(), "share of resamples in which it is first, 0 to 1"),
            _COUNT,
        ]
    ),
    "stability": pa.schema(
        [
            _field("fraction", pa.float64(), "share of the probes, 0 to 1 (key)"),
            _field("num_probes", pa.int32(), "probes of each subset, count"),
            _field(
                "correlation",
                pa.float64(),
                "Spearman correlation of the model ranking by a subset with that by all probes, "
                "mean over targets and subsets, -1 to 1",
            ),
            _field("low", pa.float64(), "5 % quantile over subsets of the mean over targets"),
            _field("high", pa.float64(), "95 % quantile over subsets of the mean over targets"),
            _field("num_subsets", pa.int32(), "random subsets, count"),
        ]
    ),
    "lambda_ranges": pa.schema(
        [
            _TARGET,
            _field("first_choice", pa.string(), "source model of rank 1 at the scan's lambda"),
            _field("lambda", pa.float64(), "the scan's lambda, unitless"),
            _field("lambda_low", pa.float64(), "least lambda at which it is first, unitless"),
            _field(
                "lambda_high",
                pa.float64(),
                "greatest lambda at which it is first, unitless; infinity: no larger one matters",
            ),
        ]
    ),
    "lambda_ranking": pa.schema(
        [
            _field("lambda", pa.float64(), "weight of the edges, infinity: edges alone (key)"),
            _TARGET,
            _field("rank", pa.int32(), "1 is the best source at this lambda (key)"),
            _field("source_model", pa.string(), "model to transfer from"),
        ]
    ),
}
"""The tables of uncertainty, by name. The first two join to the scan's rankings on the models and
layers: ``source_layer`` is ``layer`` in ``layer_ranking``."""
