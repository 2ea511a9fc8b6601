"""An evaluation as files: the long table as Parquet, and the means as JSON for people."""

from __future__ import annotations

import json
import math
from typing import Any

from depara.evaluation.baselines import BASELINES
from depara.evaluation.bootstrap import HIGH, LOW
from depara.evaluation.evaluation import Evaluation, metric_label
from depara.evaluation.metrics import METRICS
from depara.store.artifacts import encode_table
from depara.store.schemas import SCHEMA_VERSION
from depara.store.storage import Storage

TABLE_FILE = "evaluation.parquet"
RECORD_FILE = "evaluation.json"


def write_evaluation(evaluation: Evaluation, folder: str | Storage) -> list[str]:
    """Writes ``evaluation.parquet`` and ``evaluation.json``, replacing older ones.

    Returns:
        Where they are.

    Raises:
        StoreError: the folder cannot be written.
    """
    storage = Storage(folder) if isinstance(folder, str) else folder
    metadata = {} if evaluation.scan_id is None else {"scan_id": evaluation.scan_id}
    record = json.dumps(describe(evaluation), indent=1, allow_nan=False)
    storage.replace(TABLE_FILE, encode_table(evaluation.to_tables()["evaluation"], metadata))
    storage.replace(RECORD_FILE, record.encode())
    return [storage.location(name) for name in (TABLE_FILE, RECORD_FILE)]


def describe(evaluation: Evaluation) -> dict[str, Any]:
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
        "left_out": list(evaluation.left_out),
        "metrics": {metric_label(m.name, m.k): m.meaning for m in METRICS},
        "baselines": {name: BASELINES[name].meaning for name in evaluation.baselines},
        "means": _means(evaluation, names),
        "curves": {name: _curve(evaluation, name) for name in names},
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


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
