"""Made-up scans and past transfers that several tests share."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pyarrow as pa

from depara.evaluation import Truth
from depara.results import ScanResults, open_scan
from depara.similarity import model_ranking
from depara.store.scans import finish_scan, write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage
from depara.types import Float64

NAMES = tuple(f"m{place:02d}" for place in range(12))
SCORES = ("similarity", "node_similarity", "edge_similarity", "cka")


def pair_scores(seed: int = 0, models: int = len(NAMES)) -> pd.DataFrame:
    """Scores of all ordered pairs; ``edge_similarity`` and ``cka`` are symmetric."""
    rng = np.random.default_rng(seed)
    names = NAMES[:models]
    values = {
        name: rng.uniform(0, 1, size=(models, models)).round(6)
        for name in ("similarity", "node_similarity")
    }
    points = rng.normal(size=(models, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    values |= {"edge_similarity": points @ points.T, "cka": points @ points.T}
    pairs = list(permutations(range(models), 2))
    columns = {name: [values[name][pair] for pair in pairs] for name in SCORES}
    named = {"target": [names[t] for t, _ in pairs], "source": [names[s] for _, s in pairs]}
    return pd.DataFrame({**named, **columns})


def truth_of(scores: pd.DataFrame, values: Float64 | pd.Series) -> Truth:
    """Past transfers of the pairs of scores."""
    return Truth(scores[["target", "source"]].assign(value=np.asarray(values)), "past.csv")


def source_quality(scores: pd.DataFrame, noise: float = 0.0) -> Float64:
    """Values that depend on the source alone, and noise."""
    place = {name: float(index) for index, name in enumerate(NAMES)}
    rng = np.random.default_rng(7)
    values: Float64 = scores["source"].map(place).to_numpy() + noise * rng.normal(size=len(scores))
    return values


def scan_of(folder: str, scores: pd.DataFrame) -> ScanResults:
    """A finished scan whose output graphs have these scores."""
    storage = Storage(folder)
    schema = TABLES["similarity"]
    layer = ["code"] * len(scores)
    given = {
        "source_model": scores["source"].tolist(),
        "target_model": scores["target"].tolist(),
        "source_layer": layer,
        "target_layer": layer,
        "num_probes": [10] * len(scores),
        **{name: scores[name].tolist() for name in SCORES},
    }
    columns = [
        pa.array(given.get(field.name, [None] * len(scores)), field.type) for field in schema
    ]
    similarity = pa.table(columns, schema=schema)
    outputs = dict.fromkeys(sorted(set(scores["target"])), "code")
    models = [
        {"model_id": name, "source": "python:x:y", "num_parameters": 1, "status": "computed"}
        | {"seconds": 1.0}
        for name in outputs
    ]
    tables = {
        "similarity": similarity,
        "model_ranking": model_ranking(similarity, outputs),
        "models": pa.Table.from_pylist(models, schema=TABLES["models"]),
        "layers": TABLES["layers"].empty_table(),
    }
    for name, table in tables.items():
        write_table(storage, "scan1", name, table)
    finish_scan(storage, "scan1", {})
    return open_scan(storage.root)
