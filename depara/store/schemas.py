"""The columns of every table of a scan: names, types, and meaning with units in the metadata."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from depara.catalog import SCORES, TERMS, z_column
from depara.store.fields import described_field as _field

SCHEMA_VERSION = "1"

_CORNERS = ("x0", "y0", "x1", "y1")
BOX = pa.struct([*((name, pa.float64()) for name in _CORNERS), ("label", pa.string())])
"""The type of a box in ``probes.boxes``."""


_SIMILARITY = _field(
    "similarity", pa.float64(), "what ranks: the sum of the terms by their weights, unitless"
)
_TERMS = [
    _field(term.column, pa.float64(), f"{term.meaning}{term.absent}", null=bool(term.absent))
    for term in TERMS.values()
]
_OWN_TERMS = [field for field in _TERMS if field.name not in SCORES]

NEIGHBOURS = {name: f"{score.meaning}; null when not computed" for name, score in SCORES.items()}
"""The label-free neighbours of DEPARA's scores, columns of ``similarity``."""

CALIBRATED = {
    z_column(name): f"{name} less its mean over all orders of one graph's probes, in deviations of "
    "them: 0 by chance (see below); null where the deviation is 0"
    for name in ("edge_similarity", *SCORES)
}
"""How far scores are from chance, columns of ``similarity``; no ranking is made of them."""


def pair_columns(scores: Sequence[str]) -> list[str]:
    """Returns the columns of ``similarity`` that tiles compute, with these scores."""
    names = ["edge_similarity", *scores]
    return ["node_similarity", *names, *map(z_column, names)]


_TARGET = _field("target_model", pa.string(), "model that stands for the target task (key)")
_SOURCE = _field("source_model", pa.string(), "model to transfer from (key)")
_LAYER = _field("source_layer", pa.string(), "its cut point (key)")
_COUNT = _field("num_resamples", pa.int32(), "bootstrap resamples of the probes, count")

TABLES: dict[str, pa.Schema] = {
    "models": pa.schema(
        [
            _field("model_id", pa.string(), "name of the model in the scan file (key)"),
            _field("source", pa.string(), "where its code comes from, e.g. timm:NAME"),
            _field(
                "architecture", pa.string(), "source, arguments and module-tree hash", null=True
            ),
            _field("weights_sha256", pa.string(), "sha256 of the weights, hex", null=True),
            _field("num_parameters", pa.int64(), "parameters, count", null=True),
            _field("input_size", pa.int32(), "side of the model's own input, px", null=True),
            _field("input_channels", pa.string(), "RGB, BGR or luminance", null=True),
            _field(
                "input_mean",
                pa.string(),
                "subtracted per channel, in that order, of pixels in [0, 1]",
                null=True,
            ),
            _field("input_std", pa.string(), "divided by, likewise", null=True),
            _field(
                "input_from",
                pa.string(),
                "where each part of the input was found, and what the canvas stands for",
                null=True,
            ),
            _field(
                "seconds_per_probe",
                pa.float64(),
                "a forward pass of one probe where the model was opened, s",
                null=True,
            ),
            _field(
                "bytes_per_probe",
                pa.int64(),
                "activations of one probe up to the last layer, bytes",
                null=True,
            ),
            _field(
                "licence", pa.string(), "of the weights, where their source states it", null=True
            ),
            _field("status", pa.string(), "computed, reused or failed"),
            _field("null_of", pa.string(), "the model whose random-weights twin it is", null=True),
            _field("seconds", pa.float64(), "time spent in this scan, s", null=True),
            _field("peak_memory_bytes", pa.int64(), "peak memory of its worker, bytes", null=True),
        ]
    ),
    "layers": pa.schema(
        [
            _field("model_id", pa.string(), "model (key)"),
            _field("layer", pa.string(), "module name of the cut point (key)"),
            _field("depth", pa.int32(), "place in firing order, 0-based"),
            _field("depth_fraction", pa.float64(), "(depth + 1) / number of layers, 0 to 1"),
            _field("num_features", pa.int64(), "values per probe at the layer, count"),
            _field(
                "gflop",
                pa.float64(),
                "forward pass of one probe up to this cut, 1e9 floating point operations "
                "(2 per multiply-add); null: not counted",
                null=True,
            ),
            _field("is_output", pa.bool_(), "whether it stands for the model as a target"),
            _field("graph_key", pa.string(), "content key: folder graphs/<2 digits>/<key>"),
            _field(
                "conditioning",
                pa.float64(),
                "relative change of the attributed scalar for one of the input, unitless: median "
                "of the first 32 probes; sound layers have 0.05 and up to 50; far below, and above "
                "1,000, maps are noise of float32 (see notes); null: not measured",
                null=True,
            ),
            _field(
                "precision",
                pa.string(),
                "fp32, tf32 or bf16: what its graph was computed in; null: not recorded by the "
                "scan that it is taken from",
                null=True,
            ),
        ]
    ),
    "probes": pa.schema(
        [
            _field("probe_id", pa.string(), "sha256 of the decoded canvas, hex (key)"),
            _field("index", pa.int32(), "place in the probe set, 0-based"),
            _field(
                "uri", pa.string(), "where the image was read; bytes that are no UTF-8 as \\xNN"
            ),
            _field("width", pa.int32(), "width of the image, px"),
            _field("height", pa.int32(), "height of the image, px"),
            _field("label", pa.string(), "class label where the source has one", null=True),
            _field(
                "boxes",
                pa.list_(pa.field("element", BOX)),
                "objects: corners in px of the upright image, x right and y down, and class; null: "
                "not known",
                null=True,
            ),
        ]
    ),
    "similarity": pa.schema(
        [
            _field("source_model", pa.string(), "model to transfer from (key)"),
            _field("source_layer", pa.string(), "its cut point (key)"),
            _field("target_model", pa.string(), "model that stands for the target task (key)"),
            _field("target_layer", pa.string(), "its layer (key)"),
            *_OWN_TERMS,
            _SIMILARITY,
            *(_field(name, pa.float64(), text, null=True) for name, text in NEIGHBOURS.items()),
            *(_field(name, pa.float32(), text, null=True) for name, text in CALIBRATED.items()),
            _field("num_probes", pa.int32(), "probes compared, count"),
        ]
    ),
    "model_ranking": pa.schema(
        [
            _field("target_model", pa.string(), "model that stands for the target task (key)"),
            _field("rank", pa.int32(), "1 is the best source (key)"),
            _field("source_model", pa.string(), "model to transfer from"),
            _field("source_layer", pa.string(), "its output layer"),
            _field("target_layer", pa.string(), "output layer of the target"),
            _SIMILARITY,
            *_TERMS,
            _field(
                "null_similarity",
                pa.float64(),
                "mean similarity of the source's random-weights twins; null without twins",
                null=True,
            ),
        ]
    ),
    "layer_ranking": pa.schema(
        [
            _field("target_model", pa.string(), "model that stands for the target task (key)"),
            _field("source_model", pa.string(), "model to cut (key)"),
            _field("rank", pa.int32(), "1 is the best cut point (key)"),
            _field("layer", pa.string(), "cut point of the source"),
            _field("depth", pa.int32(), "place in firing order, 0-based"),
            _field(
                "similarity",
                pa.float64(),
                "what ranks layers: the sum of the terms by `similarity.layer_terms`, unitless",
            ),
            *_TERMS,
        ]
    ),
    "failures": pa.schema(
        [
            _field("model_id", pa.string(), "model, empty for a probe (key)"),
            _field("stage", pa.string(), "probes, resolve, extract or reduce (key)"),
            _field("layer", pa.string(), "layer where known", null=True),
            _field("probe_id", pa.string(), "probe where known", null=True),
            _field("error_type", pa.string(), "class of the error"),
            _field("message", pa.string(), "what happened and how to mend it"),
            _field("nights", pa.int32(), "scans in a row that the model failed in", null=True),
        ]
    ),
    "notes": pa.schema(
        [
            _field("model_id", pa.string(), "model (key)"),
            _field("stage", pa.string(), "resolve or extract: what noticed it (key)"),
            _field("layer", pa.string(), "layer; null: the whole model (key)", null=True),
            _field("kind", pa.string(), "what the note is about, one word (key)"),
            _field("message", pa.string(), "what is the case, why, and what to do"),
        ]
    ),
    "label_scores": pa.schema(
        [
            _field("model_id", pa.string(), "model (key)"),
            _field("layer", pa.string(), "module name of the cut point (key)"),
            _field("score", pa.string(), "name of the score, e.g. knn or logme (key)"),
            _field(
                "value",
                pa.float64(),
                "higher is better, comparable among graphs of one scan; unit of the score; null "
                "where it is not defined",
                null=True,
            ),
            _field("reason", pa.string(), "why value is null; null where it is not", null=True),
        ]
    ),
    "label_ranking": pa.schema(
        [
            _field(
                "ranking",
                pa.string(),
                "model: models at their output layer; layer: the layers of one model (key)",
            ),
            _field("model_id", pa.string(), "model (key)"),
            _field("layer", pa.string(), "module name of the cut point (key)"),
            _field("score", pa.string(), "name of the score, or consensus: of all of them (key)"),
            _field("rank", pa.int32(), "1 is the best"),
            _field("value", pa.float64(), "the score; of the consensus: the mean rank"),
            _field(
                "num_agree",
                pa.int32(),
                "scores that rank it as high as the consensus does, or higher; null for one score",
                null=True,
            ),
            _field("num_scores", pa.int32(), "scores that these labels define, count"),
            _field("rank_low", pa.int32(), "5 % quantile over half samples", null=True),
            _field("rank_high", pa.int32(), "95 % quantile over half samples", null=True),
            _field(
                "p_first",
                pa.float64(),
                "share of half samples in which it is first, 0 to 1; null: not sampled",
                null=True,
            ),
            _field("num_subsets", pa.int32(), "random halves of the labelled probes", null=True),
        ]
    ),
    "uncertainty": pa.schema(
        [
            _TARGET,
            _field("target_layer", pa.string(), "its layer (key)"),
            _SOURCE,
            _LAYER,
            _field(
                "score",
                pa.string(),
                "similarity; layer_similarity, where layers are ranked by weights of their own; or "
                "a term (key)",
            ),
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
    "centre": pa.schema(
        [
            _field("model_id", pa.string(), "model (key)"),
            _field("layer", pa.string(), "module name of the cut point (key)"),
            _field(
                "cosines",
                pa.list_(pa.field("element", pa.float32(), nullable=False)),
                "inner product of each probe's map and the mean map of the output graphs",
            ),
            _field(
                "squares",
                pa.list_(pa.field("element", pa.float32(), nullable=False)),
                "squared norm of each probe's node: 1; 0, or less than 1, where maps are all zero",
            ),
        ]
    ),
    "nearest": pa.schema(
        [
            _TARGET,
            _field("rank", pa.int32(), "by the estimates, 1 is the nearest (key)"),
            _field("source_model", pa.string(), "model to transfer from"),
            _field("compared", pa.bool_(), "whether the two are compared: the first few are"),
            _field("estimate", pa.float32(), "similarity by the sketches, unitless"),
            _field("deviation", pa.float32(), "at most its standard deviation, unitless"),
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
"""The tables of a scan, by name: one Parquet file each, or a folder of parts (`store.parts`)."""
