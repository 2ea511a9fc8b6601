"""What a scan of no models records beside its scores: names, costs, failures, labels, manifest.

See `benchmarks.lab.zoo_tables`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from depara.catalog import DEFAULT_TERMS
from depara.store.artifacts import table_of_rows
from depara.store.schemas import TABLES

MARKUP = "<img src=x onerror=\"document.title='owned'\">"
SCRIPT = "</script><script>document.title='owned'</script>"
HOSTILE = (
    MARKUP,
    SCRIPT,
    "quo\"te'd & {{ 7 * 7 }} {% raw %}",
    "right\u202eto\u202cleft",
    "a-name-that-goes-on-and-on-" * 8,
    "vit_große_模型_🦜",
    "javascript:alert(1)//https://example.org/x.png",
    "tab\tline\nbreak",
)
FAMILIES = ("resnet", "vit", "convnext", "efficientnet", "swin", "mixer", "deit", "regnet")
TERMS = dict(DEFAULT_TERMS)
LAMBDA = TERMS["edge"]


@dataclass(frozen=True)
class ZooTables:
    """What to make.

    ``num_models``; ``num_layers`` of each; ``hostile``: give some models the names of `HOSTILE`;
    ``num_failures`` and ``with_labels``: failures with messages, a ranking by labels;
    ``intervals``: the scores that have some.
    """

    num_models: int
    num_layers: int = 3
    num_probes: int = 200
    hostile: bool = True
    num_failures: int = 3
    with_labels: bool = True
    intervals: tuple[str, ...] = ("edge_similarity", "node_similarity", "similarity")
    seed: int = 0

    def names(self) -> list[str]:
        """Returns the names of the models."""
        names = [
            f"{FAMILIES[place % len(FAMILIES)]}{18 + place // len(FAMILIES)}.lab_{place:04d}"
            for place in range(self.num_models)
        ]
        if self.hostile:
            for place, name in enumerate(HOSTILE[: max(self.num_models - 2, 0)]):
                names[(place * self.num_models) // len(HOSTILE)] = name
        return names

    def layers(self) -> list[str]:
        """Returns the names of the layers, the output last."""
        return [f"blocks.{depth}" for depth in range(self.num_layers - 1)] + ["head.norm"]


def fact_tables(zoo: ZooTables) -> dict[str, pa.Table]:
    """Returns what describes the scan: its models, layers, probes, failures, notes and labels."""
    rng = np.random.default_rng(zoo.seed + 3)
    names, layers = zoo.names(), zoo.layers()
    models = [
        {
            "model_id": name,
            "source": f"timm:{name}" if name.isascii() else "python:ours:Encoder",
            "weights_sha256": "0" * 64,
            "num_parameters": int(rng.integers(1_000_000, 90_000_000)),
            "input_size": 224,
            "seconds_per_probe": float(rng.uniform(0.002, 0.09)),
            "bytes_per_probe": int(rng.integers(1_000_000, 60_000_000)),
            "licence": "apache-2.0",
            "status": "computed" if place % 3 else "reused",
            "seconds": float(rng.uniform(1, 60)),
            "peak_memory_bytes": int(rng.integers(400_000_000, 2_000_000_000)),
        }
        for place, name in enumerate(names)
    ]
    failed = [(f"broken-{place} {MARKUP}", SCRIPT) for place in range(zoo.num_failures)]
    models += [{"model_id": name, "source": "x", "status": "failed"} for name, _ in failed]
    rows = {
        "models": models,
        "layers": [
            {
                "model_id": name,
                "layer": layer,
                "depth": depth,
                "depth_fraction": (depth + 1) / len(layers),
                "num_features": 512,
                "gflop": 4.1 * (depth + 1) / len(layers),
                "is_output": depth + 1 == len(layers),
                "graph_key": f"{place:030x}{depth:02x}",
            }
            for place, name in enumerate(names)
            for depth, layer in enumerate(layers)
        ],
        "probes": [
            {
                "probe_id": f"{place:064x}",
                "index": place,
                "uri": f"s3://photos/{MARKUP}/{place}.jpg" if place == 0 else f"p/{place}.jpg",
                "width": 640,
                "height": 480,
                "label": (MARKUP if place % 5 == 0 else f"class {place % 5}"),
            }
            for place in range(zoo.num_probes)
        ],
        "failures": [
            {"model_id": name, "stage": "resolve", "error_type": "ModelError", "nights": 2}
            | {"message": f"{message}: install it"}
            for name, message in failed
        ],
        "notes": [
            {"model_id": names[0], "stage": "extract", "layer": layers[-1]}
            | {"kind": "conditioning", "message": f"maps are rounding noise {MARKUP}"}
        ],
        "label_scores": [],
        "label_ranking": _label_rows(zoo, rng) if zoo.with_labels else [],
    }
    return {name: table_of_rows(part, TABLES[name]) for name, part in rows.items()}


def _label_rows(zoo: ZooTables, rng: Any) -> list[dict[str, Any]]:
    names, layers = zoo.names(), zoo.layers()
    common = {"ranking": "model", "layer": layers[-1], "num_scores": 2}
    rows = []
    for rank, place in enumerate(rng.permutation(len(names)), start=1):
        model = {**common, "model_id": names[place]}
        rows.append(
            {**model, "score": "consensus", "rank": rank, "value": rank + 0.5, "num_agree": 1}
            | {"rank_low": max(rank - 2, 1), "rank_high": min(rank + 2, len(names))}
            | {"p_first": float(rank == 1), "num_subsets": 100}
        )
        rows += [
            {**model, "score": score, "rank": rank, "value": 1 - rank / len(names)}
            for score in ("knn", "logme")
        ]
    rows += [
        {"ranking": "layer", "model_id": name, "layer": layers[-1], "score": "consensus"}
        | {"rank": 1, "value": 1.0, "num_agree": 2, "num_scores": 2}
        for name in names
    ]
    return rows


def manifest(zoo: ZooTables, facts: dict[str, Any]) -> dict[str, Any]:
    """Returns the scan's record of itself."""
    failed = [f"broken-{place} {MARKUP}" for place in range(zoo.num_failures)]
    pairs = zoo.num_models * (zoo.num_models - 1) * zoo.num_layers
    phases = {"probes": 40.0, "models": 310.0, "graphs": 5200.0, "comparison": 640.0}
    return {
        "started_at": "2026-01-31T02:00:00+00:00",
        "finished_at": "2026-01-31T03:52:10+00:00",
        "seconds": 6730.0,
        "phases": {**phases, "analysis": 480.0, "tables": 60.0},
        "workers": {"starting": 30.0, "busy": 5100.0, "idle": 300.0, "tasks": 6000.0},
        "bytes": {"driver": {"read": 10**9, "written": 10**8}},
        "num_models": zoo.num_models + zoo.num_failures,
        "num_failed_models": zoo.num_failures,
        "num_reused_models": len(zoo.names()) // 3,
        "num_graphs": zoo.num_models * zoo.num_layers,
        "num_reused_graphs": zoo.num_models,
        "num_pairs": pairs,
        "num_reused_pairs": pairs // 3,
        "num_probes": zoo.num_probes,
        "num_notes": 1,
        "changes": {
            "new": zoo.names()[:5],
            "changed": [],
            "reused": zoo.names()[5:],
            "removed": ["gone"],
            "failed": failed,
        },
        "probe_set": "0" * 32,
        "comparison": {"attribution": {"method": "grad_input", "scalar": "l2norm"}},
        "tables": facts,
        "versions": {"python": "3.11", "depara": "0", "torch": "2"},
        "git_revision": None,
        "config": {
            "output": SCRIPT,
            "probes": {"source": MARKUP, "count": zoo.num_probes},
            "similarity": {"terms": TERMS, "lambda": LAMBDA, "label_scores": True},
        },
    }
