"""A finished scan of any number of models without any model: tables in the schemas of real ones.

Models fall into families, of which some are related; similarities, intervals and ranks follow from
places of the models on a sphere. Some names, messages and labels hold markup, quotes, signs that
turn the direction of writing, or are very long: they are input that nobody may trust.

``M`` models, ``L`` layers of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.lab.zoo_record import FAMILIES, LAMBDA, ZooTables, fact_tables, manifest
from depara.store.artifacts import table_of_rows
from depara.store.scans import finish_scan, write_table
from depara.store.schemas import TABLES
from depara.store.storage import Storage

_SCORES = ("rsa", "rsa_zscore", "dds", "cka")


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
    return {**fact_tables(zoo), **_pairs(zoo, scores)}


class _Scores:
    """Node, edge and directed scores of every layer with every target's output, ``L M M``."""

    def __init__(self, zoo: ZooTables) -> None:
        rng = np.random.default_rng(zoo.seed)
        size = zoo.num_models
        families = rng.standard_normal((len(FAMILIES), 12))
        places = families[np.arange(size) % len(FAMILIES)] + 0.6 * rng.standard_normal((size, 12))
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
        self.directed = np.tanh(self.edge) - 0.1 * rng.random(self.edge.shape)  # not symmetric
        self.total = self.node + LAMBDA * self.edge + self.directed
        self.width = 0.02 + 0.05 * rng.random((size, size))


def _pairs(zoo: ZooTables, scores: _Scores) -> dict[str, pa.Table]:
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
            "directed": scores.directed[depth, t, s],
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
    values = parts(depth, every_t, every_s)
    cuts = pa.table(
        {
            "target_model": names.take(every_t),
            "source_model": names.take(every_s),
            "rank": layer_ranks,
            "layer": layers.take(depth),
            "depth": depth.astype(np.int32),
            **values,
        }
    )
    others = {name: _neighbour(values, name) for name in _SCORES}
    similarity = pa.table(
        {
            "source_model": cuts["source_model"],
            "source_layer": cuts["layer"],
            "target_model": cuts["target_model"],
            "target_layer": layers.take(np.full(len(depth), count - 1)),
            **values,
            **others,
            "num_probes": np.full(len(depth), zoo.num_probes, np.int32),
        }
    )
    found = {"model_ranking": ranking, "layer_ranking": cuts, "similarity": similarity}
    pairs = (target, source, every_t, every_s, depth)
    found |= _uncertain(zoo, scores, pairs, cuts, ranking)
    return found | _lambda_tables(zoo, ranking)


def _neighbour(values: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Returns another score of the same pairs: the edges', bent."""
    bent = np.tanh(values["edge_similarity"] * (0.8 + 0.1 * _SCORES.index(name)))
    return np.asarray(bent + 0.1 * values["node_similarity"])


def _uncertain(
    zoo: ZooTables,
    scores: _Scores,
    pairs: Sequence[NDArray[Any]],
    cuts: pa.Table,
    ranking: pa.Table,
) -> dict[str, pa.Table]:
    target, source, every_t, every_s, depth = pairs
    names, layers = pa.array(zoo.names()), pa.array(zoo.layers())
    kinds = pa.array(zoo.intervals)
    size, count = zoo.num_models, len(kinds)
    each_t, each_s, each_d = (np.repeat(one, count) for one in (every_t, every_s, depth))
    value = np.stack([cuts[kind].to_numpy() for kind in zoo.intervals], axis=1).ravel()
    width = scores.width[each_t, each_s]
    uncertainty = pa.table(
        {
            "target_model": names.take(each_t),
            "target_layer": layers.take(np.full(len(each_t), zoo.num_layers - 1)),
            "source_model": names.take(each_s),
            "source_layer": layers.take(each_d),
            "score": kinds.take(np.tile(np.arange(count), len(every_t))),
            "value": value,
            "low": value - width,
            "high": value + width,
            "num_resamples": np.full(len(value), 1000, np.int32),
        }
    )
    rank, layer_ranks = (table["rank"].to_numpy() for table in (ranking, cuts))
    gap = scores.total[-1].max(axis=1)[target] - scores.total[-1, target, source]
    chance = np.exp(-gap / 0.03)
    whole = np.bincount(target, chance, size)
    safe = np.random.default_rng(zoo.seed + 2).random(size) < 0.6
    share = np.where(safe[target], rank == 1, chance / np.maximum(whole[target], 1e-9))
    of_models = {
        "ranking": pa.array(["model"]).take(np.zeros(len(target), np.int64)),
        "target_model": ranking["target_model"],
        "source_model": ranking["source_model"],
        "source_layer": ranking["source_layer"],
        "rank": rank,
        "rank_low": np.maximum(rank - 3, 1).astype(np.int32),
        "rank_high": np.minimum(rank + 3, size - 1).astype(np.int32),
        "p_first": share.astype(np.float64),
        "num_resamples": np.full(len(target), 1000, np.int32),
    }
    of_layers = {
        "ranking": pa.array(["layer"]).take(np.zeros(len(every_t), np.int64)),
        "target_model": cuts["target_model"],
        "source_model": cuts["source_model"],
        "source_layer": cuts["layer"],
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
            "lambda": np.full(size, LAMBDA),
            "lambda_low": np.full(size, 0.5),
            "lambda_high": np.full(size, np.inf),
        }
    )
    grid = pa.table(
        {
            "lambda": np.full(size, LAMBDA),
            "target_model": first["target_model"],
            "rank": first["rank"],
            "source_model": first["source_model"],
        }
    )
    return {"lambda_ranges": ranges, "lambda_ranking": grid}
