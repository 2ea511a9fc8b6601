"""What trivial rankings would have said, and the most that a symmetric score could: the yardsticks.

Each baseline scores the same queries as the scores beside it. `BASELINES` names them all.

``C`` candidates of a query, ``Q`` queries, ``T`` queries that share their candidates, ``V`` names
of candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy

from depara.evaluation.queries import Query, some
from depara.types import Float64

_DIGITS = 12
"""Decimals kept of means of ranks, so that equal means tie and rounding errors decide nothing."""


@dataclass(frozen=True)
class Known:
    """What is known of the candidates without looking at their attributions or features.

    ``parameters``: of models, count; ``depths``: of (model, layer), place in firing order;
    ``gflop``: of models, a forward pass of one probe up to the output, 1e9 operations.
    """

    parameters: Mapping[str, float] = field(default_factory=dict)
    depths: Mapping[tuple[str, str], float] = field(default_factory=dict)
    gflop: Mapping[str, float] = field(default_factory=dict)


Scores = list[Float64]
"""One array ``(C,)`` per query."""


@dataclass(frozen=True)
class Baseline:
    """A yardstick: what it is, its scores for queries, and whether it is one to stay below.

    ``score`` returns None where it does not apply, or knows nothing of the candidates.
    """

    meaning: str
    score: Callable[[Sequence[Query], Known], Scores | None]
    is_ceiling: bool = False


def rank_fraction(values: Float64) -> Float64:
    """Returns ``(n - rank) / (n - 1)`` along the last axis: 1 for the best, 0 for the worst.

    Average ranks for ties; NaN stays NaN and is not counted in n; NaN where n is 1.
    """
    rank = scipy.stats.rankdata(-values, axis=-1, nan_policy="omit")
    count = np.isfinite(values).sum(axis=-1, keepdims=True)
    span = np.where(count > 1, count - 1.0, np.nan)
    fraction: Float64 = (count - rank) / span
    return fraction


def random(queries: Sequence[Query], known: Known) -> Scores:
    """Returns the same score for all candidates, whose metrics are a random ranking's expectations.

    P@K is then ``relevant / C``, R@K is ``K / C``, each correlation 0.
    """
    return [np.zeros(len(query.candidates)) for query in queries]


def popularity(queries: Sequence[Query], known: Known) -> Scores | None:
    """Returns how well each candidate served the other targets: its mean rank fraction there.

    One target is left out at a time, as a target and as a source: of each other target, the sources
    but itself and the left-out one are ranked by truth. Layers are compared within their source. A
    candidate that no other target was measured with gets 0.5. None when there is one target only.

    Taskonomy's affinities (16k images, 20 sources, 5 relevant): P@1 0.36 and P@5 0.54 over all 18
    targets; 0.35 and 0.54 over 17, without ``class_places`` or without ``class_1000``.
    """
    groups = _groups(queries)
    if all(len(group) == 1 for group in groups):
        return None
    scores: list[Float64 | None] = [None] * len(queries)
    for group in groups:
        members = [queries[place] for place in group]
        columns, truth_TV = _matrix(members)
        for row, (place, query) in enumerate(zip(group, members, strict=True)):
            others_TV = np.delete(truth_TV, row, axis=0)
            if query.source is None and query.target in columns:
                others_TV[:, columns[query.target]] = np.nan
            mean_V = mean_known(rank_fraction(others_TV))
            scores[place] = mean_V[[columns[name] for name in query.candidates]]
    return [score for score in scores if score is not None]


def depth(queries: Sequence[Query], known: Known) -> Scores | None:
    """Returns the depth of each layer: the later, the better. None for models."""
    layers = [[(str(query.source), name) for name in query.candidates] for query in queries]
    if any(layer not in known.depths for row in layers for layer in row):
        return None
    return [np.array([known.depths[layer] for layer in row], dtype=np.float64) for row in layers]


def parameters(queries: Sequence[Query], known: Known) -> Scores | None:
    """Returns the number of parameters of each source: the more, the better. None for layers."""
    return _fact_of_sources(queries, known.parameters)


def gflop(queries: Sequence[Query], known: Known) -> Scores | None:
    """Returns the operations of each source's forward pass: the more, the better. None for layers.

    Of one probe, up to the output layer.
    """
    return _fact_of_sources(queries, known.gflop)


def symmetrised_ranks(queries: Sequence[Query], known: Known) -> Scores | None:
    """Returns the mean of the truth of both directions, each as a rank fraction of its target.

    What a symmetric score could reach that knew the truth: the ceiling, for truths whose values
    differ in scale between targets. Where the way back was not measured, the way there counts alone
    (so the figure is a little too high). None when no way back was measured.

    Taskonomy's affinities: P@1 1.00 and P@5 0.85 over 18 targets (0.86 over the 17 without
    ``class_places``), where `symmetrised_values` reach a P@5 of 0.71 only.
    """
    ranked = [rank_fraction(query.truth_C) for query in queries]
    scores = _symmetrised(queries, ranked)
    return None if scores is None else [score.round(_DIGITS) for score in scores]


def symmetrised_values(queries: Sequence[Query], known: Known) -> Scores | None:
    """Returns ``(T + T') / 2`` in true values, for truths of one scale (such as win rates).

    Otherwise as `symmetrised_ranks`.
    """
    return _symmetrised(queries, [query.truth_C for query in queries])


def no_ranking(queries: Sequence[Query], known: Known) -> None:
    """Returns None: the noise ceiling bounds one metric and ranks nothing.

    See `depara.evaluation.reliability.noise_ceiling`.
    """


NOISE_CEILING = "ceiling_noise"

BASELINES: dict[str, Baseline] = {
    "random": Baseline("exact expectation of a random ranking", random),
    "popularity": Baseline("mean true rank for the other targets", popularity),
    "depth": Baseline("place of the layer in firing order, deeper is better", depth),
    "parameters": Baseline("number of parameters, more is better", parameters),
    "gflop": Baseline("operations of a forward pass, more is better", gflop),
    "ceiling_ranks": Baseline(
        "mean truth of both directions, as ranks", symmetrised_ranks, is_ceiling=True
    ),
    "ceiling_values": Baseline(
        "mean truth of both directions, as values", symmetrised_values, is_ceiling=True
    ),
    NOISE_CEILING: Baseline(
        "sqrt of the truth's reliability, what its repeats let a Spearman reach",
        no_ranking,
        is_ceiling=True,
    ),
}
"""The baselines in the order of the tables; adding one is a function and a row."""


def baseline_scores(queries: Sequence[Query], known: Known) -> dict[str, Scores]:
    """Returns the scores of every baseline that applies."""
    found = {name: entry.score(queries, known) for name, entry in BASELINES.items()}
    return {name: scores for name, scores in found.items() if scores is not None}


def unknown_baselines(queries: Sequence[Query], known: Known) -> list[str]:
    """Returns in words which baselines were left out because of what is not known."""
    is_layers = queries[0].source is not None
    wanted: dict[str, tuple[set[Any], Mapping[Any, float]]]
    if is_layers:
        layers = {(query.source, name) for query in queries for name in query.candidates}
        wanted = {"depth": (layers, known.depths)}
    else:
        sources = {name for query in queries for name in query.candidates}
        wanted = {"parameters": (sources, known.parameters), "gflop": (sources, known.gflop)}
    said = []
    nothing = [name for name, (_, facts) in wanted.items() if not facts]
    if nothing:
        said.append(f"baselines that need what a scan knows of its models: {', '.join(nothing)}")
    for name, (things, facts) in wanted.items():
        missing = sorted(things - set(facts))
        if facts and missing:
            said.append(f"the baseline {name}, unknown of {some([repr(one) for one in missing])}")
    return said


def _fact_of_sources(queries: Sequence[Query], facts: Mapping[str, float]) -> Scores | None:
    """Returns a number known of each source; None where one lacks it, or all have the same."""
    if any(name not in facts for query in queries for name in query.candidates):
        return None
    scores = [
        np.array([facts[name] for name in query.candidates], dtype=np.float64) for query in queries
    ]
    return scores if any(len(set(score.tolist())) > 1 for score in scores) else None


def _groups(queries: Sequence[Query]) -> list[list[int]]:
    """Returns the places of queries whose candidates are the same things: one group per source."""
    groups: dict[str | None, list[int]] = {}
    for place, query in enumerate(queries):
        groups.setdefault(query.source, []).append(place)
    return list(groups.values())


def _matrix(queries: Sequence[Query]) -> tuple[dict[str, int], Float64]:
    """Returns the column of each candidate, and the truth ``(T, V)`` with NaN where unmeasured."""
    names = sorted({name for query in queries for name in query.candidates})
    columns = {name: place for place, name in enumerate(names)}
    truth_TV = np.full((len(queries), len(names)), np.nan)
    for row, query in enumerate(queries):
        truth_TV[row, [columns[name] for name in query.candidates]] = query.truth_C
    return columns, truth_TV


def mean_known(fractions_TV: Float64) -> Float64:
    """Returns the mean over the rows of what is known, 0.5 where nothing is."""
    known_TV = np.isfinite(fractions_TV)
    count_V = known_TV.sum(axis=0)
    total_V = np.where(known_TV, fractions_TV, 0.0).sum(axis=0)
    mean: Float64 = np.where(count_V > 0, total_V / np.maximum(count_V, 1), 0.5)
    return mean.round(_DIGITS)


def _symmetrised(queries: Sequence[Query], values: Sequence[Float64]) -> Scores | None:
    way = {
        (name, query.target): float(value)
        for query, value_C in zip(queries, values, strict=True)
        for name, value in zip(query.candidates, value_C, strict=True)
        if query.source is None
    }
    if not any((target, source) in way for source, target in way):
        return None
    return [
        np.array(
            [
                (way[name, query.target] + way.get((query.target, name), way[name, query.target]))
                / 2
                for name in query.candidates
            ]
        )
        for query in queries
    ]
