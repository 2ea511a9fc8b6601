"""Which model, cut where, suits the labels best: ranks by every score, their consensus, intervals.

``M`` candidates, ``S`` scores, ``R`` half samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import scipy
from numpy.typing import NDArray

from depara.catalog import voters
from depara.labelled.scores import ScoreValue
from depara.store.artifacts import table_of_rows
from depara.store.schemas import TABLES
from depara.types import Float64

CONSENSUS = "consensus"
"""The mean rank over the scores, as a value of ``score``; less is better."""

QUANTILES = (0.05, 0.95)

Graph = tuple[str, str]
"""Model and layer."""


def half_samples(labels: Sequence[str | None], count: int, seed: int = 0) -> list[list[str | None]]:
    """Returns the labels with half of each class left out at random, ``count`` times.

    A score of half of the probes, drawn without replacement, varies about that of all of them as
    that of all would with other probes of the same kind (Politis & Romano, Annals of Statistics
    1994: the variance of a mean over n of N is 1/n - 1/N of the values', 1/N at half). A bootstrap
    would put copies of a probe among its own nearest neighbours.

    Args:
        labels: of all probes; None where a probe has no label.
        count: how many.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    classes: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        if label is not None:
            classes.setdefault(label, []).append(place)
    halves = []
    for _ in range(count):
        half: list[str | None] = [None] * len(labels)
        for label, places in classes.items():
            size = max((len(places) + int(rng.integers(2))) // 2, 1)
            for place in rng.choice(places, size, replace=False):
                half[place] = label
        halves.append(half)
    return halves


def label_ranking(
    graphs: Sequence[tuple[str, str, Mapping[str, ScoreValue]]],
    outputs: Mapping[str, str],
    halves: Mapping[str, Float64],
) -> pa.Table:
    """Returns the ``label_ranking`` table: models at their output layer, and layers of each model.

    Per score, the highest value is first; equal values rank by name, layers by their order. The
    consensus is the mean of the ranks by all scores that vote (`voters`), a score that a candidate
    does not have counting as its last place. It stands above any one score: which of them predicts
    best differs from data to data (Agostinelli et al., ECCV 2022). Where none that votes is
    defined there is no ranking.

    Args:
        graphs: model, layer and label scores of each graph, layers of a model in their order.
        outputs: output layer of each model that is ranked.
        halves: of each model's output graph, the scores on half samples, ``R S`` in the order of
            its scores on all probes, the same samples for all; empty where there are none.
    """
    layers: dict[str, list[tuple[str, Mapping[str, ScoreValue]]]] = {}
    for model, layer, scores in graphs:
        layers.setdefault(model, []).append((layer, scores))
    rows: list[dict[str, Any]] = []
    top = [
        ((model, layer), scores)
        for model in sorted(layers)
        for layer, scores in layers[model]
        if outputs.get(model) == layer
    ]
    values_RMS = None
    if top and all(model in halves for (model, _), _ in top):
        values_RMS = np.stack([halves[model] for (model, _), _ in top], axis=1)
    rows += _ranked("model", top, values_RMS)
    for model in layers:
        rows += _ranked("layer", [((model, layer), one) for layer, one in layers[model]], None)
    return table_of_rows(rows, TABLES["label_ranking"])


def _ranked(
    ranking: str,
    candidates: Sequence[tuple[Graph, Mapping[str, ScoreValue]]],
    halves_RMS: Float64 | None,
) -> Iterator[dict[str, Any]]:
    every = list(candidates[0][1]) if candidates else []
    values_MS = np.array(
        [[scores[name].value for name in every] for _, scores in candidates], np.float64
    ).reshape(len(candidates), len(every))
    is_defined_S = np.asarray(~np.isnan(values_MS).all(axis=0))
    names = [name for name, known in zip(every, is_defined_S, strict=True) if known]
    voting = voters(names)
    is_voter_S = np.array([name in voting for name in names], np.bool_)
    if not is_voter_S.any():
        return
    values_MS = values_MS[:, is_defined_S]
    mean_M, ranks_MS = _consensus(values_MS[:, is_voter_S])
    consensus_M = _places(-mean_M)
    agree_M = (ranks_MS <= consensus_M[:, None]).sum(axis=1)
    ranks_of = [_places(values_M) for values_M in values_MS.T]
    sure = _Sure.of(None if halves_RMS is None else halves_RMS[:, :, is_defined_S], is_voter_S)
    for place in np.argsort(consensus_M):
        (model, layer), _ = candidates[place]
        common: dict[str, Any] = {"ranking": ranking, "model_id": model, "layer": layer}
        common["num_scores"] = int(is_voter_S.sum())
        yield {
            **common,
            "score": CONSENSUS,
            "rank": int(consensus_M[place]),
            "value": float(mean_M[place]),
            "num_agree": int(agree_M[place]),
            **sure.facts(place, -1, int(consensus_M[place])),
        }
        for column, name in enumerate(names):
            if not np.isnan(values_MS[place, column]):
                rank = int(ranks_of[column][place])
                yield {
                    **common,
                    "score": name,
                    "rank": rank,
                    "value": float(values_MS[place, column]),
                    **sure.facts(place, column, rank),
                }


def _consensus(values_MS: Float64) -> tuple[Float64, Float64]:
    """Returns the mean rank of each candidate ``M``, and its ranks ``M S``, ties shared."""
    lowest_MS = np.where(np.isnan(values_MS), -np.inf, values_MS)
    ranks_MS = scipy.stats.rankdata(-lowest_MS, axis=0)
    return ranks_MS.mean(axis=1), ranks_MS


def _places(values_M: Float64) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Returns the rank of each value, 1 for the highest; equal ones in their order, NaN last."""
    order = np.argsort(-np.where(np.isnan(values_M), -np.inf, values_M), kind="stable")
    ranks = np.empty(len(order), np.intp)
    ranks[order] = np.arange(1, len(order) + 1)
    return ranks


class _Sure:
    """Ranks over half samples ``R M S+1``, the consensus last; or none."""

    def __init__(self, ranks_RMT: Float64 | None) -> None:
        self._ranks_RMT = ranks_RMT

    @classmethod
    def of(cls, halves_RMS: Float64 | None, is_voter_S: NDArray[np.bool_]) -> _Sure:
        if halves_RMS is None or not len(halves_RMS):
            return cls(None)
        ranks = []
        for values_MS in halves_RMS:
            columns = [_places(values_M) for values_M in values_MS.T]
            columns.append(_places(-_consensus(values_MS[:, is_voter_S])[0]))
            ranks.append(np.stack(columns, axis=1))
        return cls(np.stack(ranks).astype(np.float64))

    def facts(self, place: int, column: int, rank: int) -> dict[str, Any]:
        if self._ranks_RMT is None:
            return {}
        ranks_R = self._ranks_RMT[:, place, column]
        low, high = np.quantile(ranks_R, QUANTILES, method="inverted_cdf")
        return {
            "rank_low": min(int(low), rank),
            "rank_high": max(int(high), rank),
            "p_first": float((ranks_R == 1).mean()),
            "num_subsets": len(ranks_R),
        }
