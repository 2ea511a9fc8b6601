"""Scans in memory: tables that tests fill, in the schemas of real ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from depara.results import ScanResults
from depara.similarity import model_ranking
from depara.store.artifacts import table_of_rows
from depara.store.schemas import TABLES

OUT = "out"
"""Name of every output layer."""


@dataclass(frozen=True)
class ScanInMemory(ScanResults):
    """A scan whose tables are given; those that are not are empty."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def arrow_table(self, name: str, targets: Collection[str] | None = None) -> pa.Table:
        rows = self.rows.get(name, ())
        kept = [one for one in rows if targets is None or one["target_model"] in targets]
        return table_of_rows(kept, TABLES[name])

    def arrow_parts(
        self, name: str, columns: Sequence[str], targets: Collection[str] | None = None
    ) -> Iterator[pa.Table]:
        yield self.arrow_table(name, targets).select(list(columns))


def scan_of(
    matrix_TS: np.ndarray,
    names: Sequence[str],
    *,
    folder: str = "nowhere",
    scan_id: str = "s1",
    p_first: Mapping[tuple[str, str], tuple[int, int, float]] | None = None,
    manifest: Mapping[str, Any] | None = None,
    **tables: Sequence[Mapping[str, Any]],
) -> ScanInMemory:
    """Returns a scan of models whose similarities are those of a matrix, targets in rows.

    ``p_first`` gives rank_low, rank_high and p_first of some (target, source).
    """
    pairs = [
        {
            "source_model": source,
            "source_layer": OUT,
            "target_model": target,
            "target_layer": OUT,
            "node_similarity": matrix_TS[t, s] / 3,
            "edge_similarity": matrix_TS[t, s] / 3,
            "similarity": matrix_TS[t, s],
            "num_probes": 200,
        }
        for t, target in enumerate(names)
        for s, source in enumerate(names)
    ]
    similarity = table_of_rows(pairs, TABLES["similarity"])
    ranking = model_ranking(similarity, dict.fromkeys(names, OUT)).to_pylist()
    sure = [
        {
            "ranking": "model",
            "target_model": row["target_model"],
            "source_model": row["source_model"],
            "source_layer": OUT,
            "rank": row["rank"],
            "rank_low": low,
            "rank_high": high,
            "p_first": share,
            "num_resamples": 100,
        }
        for row in ranking
        if (found := (p_first or {}).get((row["target_model"], row["source_model"])))
        for low, high, share in [found]
    ]
    models = [
        {"model_id": name, "source": "python:m:f", "status": "computed", "num_parameters": 7}
        for name in names
    ]
    layers = [
        {
            "model_id": name,
            "layer": OUT,
            "depth": 0,
            "depth_fraction": 1.0,
            "num_features": 4,
            "gflop": 0.5,
            "is_output": True,
            "graph_key": "0" * 32,
        }
        for name in names
    ]
    rows = {
        "similarity": pairs,
        "model_ranking": ranking,
        "rank_uncertainty": sure,
        "models": models,
        "layers": layers,
        **tables,
    }
    record = {"num_probes": 200, "config": {"similarity": {"lambda": 2.0}}, **(manifest or {})}
    return ScanInMemory(folder, scan_id, record, rows)
