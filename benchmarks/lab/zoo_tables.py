"""A finished scan of any number of models without any model: tables in the schemas of real ones.

Models fall into families, of which some are related; similarities, intervals and ranks follow from
places of the models on a sphere. Some names, messages and labels hold markup, quotes, signs that
turn the direction of writing, or are very long: they are input that nobody may trust.

``M`` models, ``L`` layers of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from depara.store.artifacts import table_of_rows
from depara.store.scans import finish_scan, write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage

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
_FAMILIES = ("resnet", "vit", "convnext", "efficientnet", "swin", "mixer", "deit", "regnet")
_SCORES = ("rsa", "rsa_zscore", "dds", "cka", "directed")
_LAMBDA = 2.0


@dataclass(frozen=True)
class ZooTables:
    """What to make.

    ``num_models``; ``num_layers`` of each; ``hostile``: give some models the names of `HOSTILE`;
    ``num_failures`` and ``with_labels``: failures with messages, a ranking by labels.
    """

    num_models: int
    num_layers: int = 3
    num_probes: int = 200
    hostile: bool = True
    num_failures: int = 3
    with_labels: bool = True
    seed: int = 0

    def names(self) -> list[str]:
        """Returns the names of the models."""
        names = [
            f"{_FAMILIES[place % len(_FAMILIES)]}{18 + place // len(_FAMILIES)}.lab_{place:04d}"
            for place in range(self.num_models)
        ]
        if self.hostile:
            for place, name in enumerate(HOSTILE[: max(self.num_models - 2, 0)]):
                names[(place * self.num_models) // len(HOSTILE)] = name
        return names

    def layers(self) -> list[str]:
        """Returns the names of the layers, the output last."""
        return [f"blocks.{depth}" for depth in range(self.num_layers - 1)] + ["head.norm"]


def write_zoo(output: str, zoo: ZooTables, scan_id: str = "20260131T020000Z-synth1") -> str:
    """Writes the scan; returns its id."""
    storage = Storage(output)
    tables = zoo_tables(zoo)
    facts = {name: write_table(storage, scan_id, name, table) for name, table in tables.items()}
    finish_scan(storage, scan_id, manifest(zoo, facts))
    return scan_id


def zoo_tables(zoo: ZooTables) -> dict[str, pa.Table]:
    """Returns every table of the scan, by name."""
    scores = _Scores(zoo)
    return {**_facts(zoo, scores), **_pairs(zoo, scores)}


class _Scores:
    """Node and edge similarities of every source layer with every target's output, ``L M M``."""

    def __init__(self, zoo: ZooTables) -> None:
        rng = np.random.default_rng(zoo.seed)
        size = zoo.num_models
        families = rng.standard_normal((len(_FAMILIES), 12))
        places = families[np.arange(size) % len(_FAMILIES)] + 0.6 * rng.standard_normal((size, 12))
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        cosine = places @ places.T
        peak = rng.uniform(0.4, 1.0, size)
        depth = (np.arange(zoo.num_layers) + 1) / zoo.num_layers
        fade = 1 - 0.5 * np.abs(depth[:, None] - peak[None, :])
        noise = rng.standard_normal((2, size, size)) * 0.01
        noise = (noise + noise.transpose(0, 2, 1)) / 2
        self.node = (0.15 + 0.25 * cosine + noise[0])[None] * fade[:, None, :]
        self.edge = (0.35 + 0.5 * cosine + noise[1])[None] * fade[:, None, :]
        # At the output layers both are symmetric, as real ones are.
        for part in (self.node, self.edge):
            part[-1] = (part[-1] + part[-1].T) / 2
        self.total = self.node + _LAMBDA * self.edge
        self.width = 0.02 + 0.05 * rng.random((size, size))


def _pairs(zoo: ZooTables, scores: _Scores) -> dict[str, pa.Table]:
    rng = np.random.default_rng(zoo.seed + 1)
    size, count = zoo.num_models, zoo.num_layers
    target, source = np.nonzero(~np.eye(size, dtype=bool))
    names, layers = pa.array(zoo.names()), pa.array(zoo.layers())
    last = np.full(len(target), count - 1)
    ranks = np.empty((size, size), np.int32)
    total = np.where(np.eye(size, dtype=bool), -np.inf, scores.total[-1])
    order = np.argsort(-total, axis=1, kind="stable")
    np.put_along_axis(ranks, order, np.arange(1, size + 1, dtype=np.int32)[None], axis=1)
    by_rank = np.lexsort((ranks[target, source], target))
    target, source = target[by_rank], source[by_rank]

    def parts(depth: NDArray[Any], t: NDArray[Any], s: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {
            "node_similarity": scores.node[depth, t, s],
            "edge_similarity": scores.edge[depth, t, s],
            "similarity": scores.total[depth, t, s],
        }

    ranking = pa.table(
        {
            "target_model": names.take(target),
            "rank": ranks[target, source],
            "source_model": names.take(source),
            "source_layer": layers.take(last),
            "target_layer": layers.take(last),
            **parts(last, target, source),
            "null_similarity": 0.25 + 0.1 * scores.edge[-1, target, source],
        }
    )
    every_t, every_s = np.repeat(target, count), np.repeat(source, count)
    depth = np.tile(np.arange(count), len(target))
    of_layers = scores.total[:, target, source].T
    layer_ranks = (np.argsort(np.argsort(-of_layers, axis=1), axis=1) + 1).astype(np.int32).ravel()
    cuts = pa.table(
        {
            "target_model": names.take(every_t),
            "source_model": names.take(every_s),
            "rank": layer_ranks,
            "layer": layers.take(depth),
            "depth": depth.astype(np.int32),
            **parts(depth, every_t, every_s),
        }
    )
    values = parts(depth, every_t, every_s)
    others = {name: _neighbour(values, name, rng) for name in _SCORES}
    similarity = pa.table(
        {
            "source_model": names.take(every_s),
            "source_layer": layers.take(depth),
            "target_model": names.take(every_t),
            "target_layer": layers.take(np.full(len(depth), count - 1)),
            **values,
            **others,
            "num_probes": np.full(len(depth), zoo.num_probes, np.int32),
        }
    )
    found = {"model_ranking": ranking, "layer_ranking": cuts, "similarity": similarity}
    pairs = (target, source, every_t, every_s, depth)
    found |= _uncertain(zoo, scores, pairs, layer_ranks, ranks)
    return found | _lambda_tables(zoo, ranking)


def _neighbour(values: dict[str, NDArray[Any]], name: str, rng: Any) -> NDArray[Any]:
    """Returns another score of the same pairs: the edges', bent; ``directed`` is not symmetric."""
    bent = np.tanh(values["edge_similarity"] * (0.8 + 0.1 * _SCORES.index(name)))
    if name == "directed":
        bent = bent - 0.1 * rng.random(len(bent))
    return np.asarray(bent + 0.1 * values["node_similarity"])


def _uncertain(
    zoo: ZooTables,
    scores: _Scores,
    pairs: Sequence[NDArray[Any]],
    layer_ranks: NDArray[np.int32],
    ranks: NDArray[np.int32],
) -> dict[str, pa.Table]:
    target, source, every_t, every_s, depth = pairs
    names, layers = pa.array(zoo.names()), pa.array(zoo.layers())
    kinds = pa.array(["edge_similarity", "node_similarity", "similarity"])
    size = zoo.num_models
    three_t, three_s, three_d = (np.repeat(one, 3) for one in (every_t, every_s, depth))
    value = np.stack(
        [part[depth, every_t, every_s] for part in (scores.edge, scores.node, scores.total)], axis=1
    ).ravel()
    width = scores.width[three_t, three_s]
    uncertainty = pa.table(
        {
            "target_model": names.take(three_t),
            "target_layer": layers.take(np.full(len(three_t), zoo.num_layers - 1)),
            "source_model": names.take(three_s),
            "source_layer": layers.take(three_d),
            "score": kinds.take(np.tile(np.arange(3), len(every_t))),
            "value": value,
            "low": value - width,
            "high": value + width,
            "num_resamples": np.full(len(value), 1000, np.int32),
        }
    )
    rank = ranks[target, source]
    gap = scores.total[-1].max(axis=1)[target] - scores.total[-1, target, source]
    chance = np.exp(-gap / 0.03)
    whole = np.bincount(target, chance, size)
    safe = np.random.default_rng(zoo.seed + 2).random(size) < 0.6
    share = np.where(safe[target], rank == 1, chance / np.maximum(whole[target], 1e-9))
    of_models = {
        "ranking": pa.array(["model"]).take(np.zeros(len(target), np.int64)),
        "target_model": names.take(target),
        "source_model": names.take(source),
        "source_layer": layers.take(np.full(len(target), zoo.num_layers - 1)),
        "rank": rank,
        "rank_low": np.maximum(rank - 3, 1).astype(np.int32),
        "rank_high": np.minimum(rank + 3, size - 1).astype(np.int32),
        "p_first": share.astype(np.float64),
        "num_resamples": np.full(len(target), 1000, np.int32),
    }
    of_layers = {
        "ranking": pa.array(["layer"]).take(np.zeros(len(every_t), np.int64)),
        "target_model": names.take(every_t),
        "source_model": names.take(every_s),
        "source_layer": layers.take(depth),
        "rank": layer_ranks,
        "rank_low": np.maximum(layer_ranks - 1, 1).astype(np.int32),
        "rank_high": np.minimum(layer_ranks + 1, zoo.num_layers).astype(np.int32),
        "p_first": np.where(layer_ranks == 1, 0.8, 0.1),
        "num_resamples": np.full(len(every_t), 1000, np.int32),
    }
    schema = TABLES["rank_uncertainty"]
    sure = pa.concat_tables([pa.table(one).cast(schema) for one in (of_layers, of_models)])
    half = zoo.num_probes // 2
    stability = [
        {"fraction": 0.5, "num_probes": half, "correlation": 0.91, "low": 0.9, "high": 0.93}
        | {"num_subsets": 20}
    ]
    return {
        "uncertainty": uncertainty,
        "rank_uncertainty": sure,
        "stability": table_of_rows(stability, TABLES["stability"]),
    }


def _lambda_tables(zoo: ZooTables, ranking: pa.Table) -> dict[str, pa.Table]:
    first = ranking.slice(0).filter(pa.compute.equal(ranking["rank"], 1))
    size = first.num_rows
    ranges = pa.table(
        {
            "target_model": first["target_model"],
            "first_choice": first["source_model"],
            "lambda": np.full(size, _LAMBDA),
            "lambda_low": np.full(size, 0.5),
            "lambda_high": np.full(size, np.inf),
        }
    )
    grid = pa.table(
        {
            "lambda": np.full(size, _LAMBDA),
            "target_model": first["target_model"],
            "rank": first["rank"],
            "source_model": first["source_model"],
        }
    )
    return {"lambda_ranges": ranges, "lambda_ranking": grid}


def _facts(zoo: ZooTables, scores: _Scores) -> dict[str, pa.Table]:
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
            "similarity": {"lambda": _LAMBDA, "label_scores": True},
        },
    }
