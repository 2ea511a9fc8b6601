"""An evaluation as files: its tables as Parquet, and the means as JSON for people."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from depara.evaluation.baselines import BASELINES, NOISE_CEILING
from depara.evaluation.bootstrap import HIGH, LOW
from depara.evaluation.evaluation import Evaluation, metric_label
from depara.evaluation.metrics import METRICS
from depara.evaluation.reliability import mostly_noise
from depara.store.artifacts import encode_table
from depara.store.schemas import SCHEMA_VERSION
from depara.store.storage import Storage

TABLE_FILE = "evaluation.parquet"
"""The long table; the others are named ``<table>.parquet`` too."""

RECORD_FILE = "evaluation.json"


def write_evaluation(
    evaluation: Evaluation,
    folder: str | Storage,
    *,
    paired: pd.DataFrame | None = None,
    setups: pd.DataFrame | None = None,
) -> list[str]:
    """Writes ``evaluation.parquet``, the tables beside it and ``evaluation.json``, replacing older.

    Args:
        evaluation: what to write.
        folder: local folder, URI or storage to write to.
        paired: the rows of `Evaluation.compare`, of one or more pairs; None writes no rows.
        setups: the rows of `Evaluation.stability`, likewise.

    Returns:
        Where they are.

    Raises:
        StoreError: the folder cannot be written.
    """
    storage = Storage(folder) if isinstance(folder, str) else folder
    metadata = {} if evaluation.scan_id is None else {"scan_id": evaluation.scan_id}
    record = describe(evaluation, paired=paired, setups=setups)
    tables = evaluation.to_tables(paired, setups)
    files = {
        TABLE_FILE: encode_table(tables.pop("evaluation"), metadata),
        RECORD_FILE: json.dumps(record, indent=1, allow_nan=False).encode(),
        **{f"{name}.parquet": encode_table(table, metadata) for name, table in tables.items()},
    }
    for name, data in files.items():
        storage.replace(name, data)
    return [storage.location(name) for name in files]


def describe(
    evaluation: Evaluation,
    *,
    paired: pd.DataFrame | None = None,
    setups: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Returns what was evaluated and how, the headline means with intervals, and the curves."""
    fewest, most = evaluation.num_candidates
    names = [*evaluation.scores, *evaluation.baselines]
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": evaluation.kind,
        "truth": evaluation.truth,
        "scan_id": evaluation.scan_id,
        "relevant": evaluation.relevant,
        "num_queries": evaluation.num_queries,
        "num_candidates": {"fewest": fewest, "most": most},
        "interval": {
            "resamples": evaluation.bootstrap,
            "seed": evaluation.seed,
            "quantiles": [LOW, HIGH],
        },
        "weighed_by_reliability": evaluation.weight_Q is not None,
        "targets": _rows(evaluation.targets()),
        "mostly_noise": mostly_noise(evaluation.matched.queries, evaluation.reliability_Q),
        "left_out": list(evaluation.left_out),
        "metrics": {metric_label(m.name, m.k): m.meaning for m in METRICS},
        "baselines": {name: BASELINES[name].meaning for name in evaluation.baselines},
        "means": _means(evaluation, names),
        "curves": {name: _curve(evaluation, name) for name in names if name != NOISE_CEILING},
        "paired": _rows(paired),
        "setups": _rows(setups),
    }


def _means(evaluation: Evaluation, names: list[str]) -> dict[str, Any]:
    means: dict[str, Any] = {name: {} for name in names}
    for metric, k in evaluation.headline():
        rows = evaluation.means(metric, k)
        for name in names:
            means[name][metric_label(metric, k)] = {
                end: _number(rows[end][name]) for end in ("value", "low", "high")
            }
    return means


def _curve(evaluation: Evaluation, name: str) -> dict[str, list[float]]:
    curve = evaluation.curve(name)
    return {metric: curve[metric].tolist() for metric in ("precision", "recall")}


def _rows(frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Returns the rows of a table as JSON has them: what is missing is null."""
    return [] if frame is None else json.loads(frame.to_json(orient="records", double_precision=15))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
