"""How the model ranking depends on lambda, the weight of the edges: ``s = rest + lambda * s_E``.

``rest`` is the sum of the other terms, ``s_V`` in the paper.

``g`` candidates of a target, ``K`` values of lambda, ``R`` rows of the model ranking.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from depara.catalog import TERMS
from depara.similarity.combine import combine
from depara.similarity.text_codes import Codes, text_codes, texts_of
from depara.store.artifacts import texts_as_dictionaries
from depara.store.schemas import TABLES
from depara.types import Float64

LAMBDAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
"""Grid of lambda: without edges, the values of the paper and beyond, edges only."""


def lambda_tables(
    ranking: pa.Table, terms: Mapping[str, float], lambdas: Sequence[float] = LAMBDAS
) -> dict[str, pa.Table]:
    """Returns the tables ``lambda_ranges`` and ``lambda_ranking`` of a scan.

    Args:
        ranking: its ``model_ranking`` table.
        terms: its weights of the terms; that of the edges, lambda, joins the grid.
        lambdas: values >= 0, infinity allowed.

    Returns:
        Both, the texts of the latter as dictionaries.
    """
    lambda_ = terms.get("edge", 0.0)
    others = {name: weight for name, weight in terms.items() if name != "edge" and weight}
    grid = tuple(sorted({*lambdas, lambda_}))
    ranges: list[tuple[str, str, float, float, float]] = []
    fields = TABLES["lambda_ranges"]
    models, codes = text_codes(ranking, ("target_model", "source_model"))
    orders = []
    for target, sources_g, rest_g, edge_g in _targets(ranking, codes, others):
        first, low, high = lambda_range(rest_g, edge_g, lambda_)
        ranges.append((models[target], models[sources_g[first]], lambda_, low, high))
        orders.append((target, sources_g[lambda_orders(rest_g, edge_g, grid)]))
    rows = [dict(zip(fields.names, row, strict=True)) for row in ranges]
    return {
        "lambda_ranges": pa.Table.from_pylist(rows, schema=fields),
        "lambda_ranking": _ranking_table(grid, models, orders),
    }


def _ranking_table(
    grid: Sequence[float], models: Sequence[str], orders: Sequence[tuple[int, Codes]]
) -> pa.Table:
    """Returns the ranking at every lambda, of targets in order of their names.

    Args:
        grid: the ``K`` values of lambda.
        models: names of models.
        orders: each target, and its sources from the best on at each lambda ``(K, g)``, as places
            in ``models``.
    """
    schema = texts_as_dictionaries(TABLES["lambda_ranking"])
    if not orders:
        return schema.empty_table()
    sizes = [sources_Kg.shape[1] for _, sources_Kg in orders]
    targets = np.array([target for target, _ in orders], dtype=np.int32)
    ranks = np.concatenate([np.arange(1, size + 1, dtype=np.int32) for size in sizes])
    sources_KR = np.concatenate([sources_Kg for _, sources_Kg in orders], axis=1)
    return pa.table(
        {
            "lambda": np.repeat(np.array(grid), len(ranks)),
            "target_model": texts_of(np.tile(np.repeat(targets, sizes), len(grid)), models),
            "rank": np.tile(ranks, len(grid)),
            "source_model": texts_of(sources_KR.ravel(), models),
        },
        schema=schema,
    )


def _targets(
    ranking: pa.Table, codes: Mapping[str, Codes], others: Mapping[str, float]
) -> Iterator[tuple[int, Codes, Float64, Float64]]:
    """Yields each target with its sources in order of name, and both parts of their similarity."""
    by_name = np.lexsort((codes["source_model"], codes["target_model"]))
    targets, sources = codes["target_model"][by_name], codes["source_model"][by_name]
    columns = {TERMS[name].column for name in (*others, "edge")}
    scores = {name: ranking[name].to_numpy()[by_name] for name in columns}
    edges = scores["edge_similarity"]
    rest = combine(scores, others) if others else np.zeros_like(edges)
    cuts = [0, *(np.flatnonzero(np.diff(targets)) + 1).tolist(), len(targets)]
    for start, stop in pairwise(cuts):
        if start < stop:
            yield int(targets[start]), sources[start:stop], rest[start:stop], edges[start:stop]


def lambda_range(rest_g: Float64, edge_g: Float64, lambda_: float) -> tuple[int, float, float]:
    """Returns the first choice at ``lambda_`` and, exactly, the range in which it stays first.

    Against every rival the lead ``(r - r') + lambda (e - e')`` is linear in lambda, so each rival
    bounds the range on one side at most, at the crossing ``-(r - r') / (e - e')``: the closest
    crossings on either side are the ends, where a rival is equal. Song et al., CVPR 2020, Eq. 5,
    leave lambda to be tuned; this tells whether it matters.

    Args:
        rest_g: the other terms of each candidate, in the order that breaks ties; at least one.
        edge_g: ``s_E`` likewise.
        lambda_: the scan's value, finite and >= 0.

    Returns:
        The first choice's place, and the lowest and highest lambda, the latter maybe infinite.
    """
    assert rest_g.size
    first = int(np.argmax(rest_g + lambda_ * edge_g))
    rest_lead_g, edge_lead_g = rest_g[first] - rest_g, edge_g[first] - edge_g
    gaining, losing = edge_lead_g > 0, edge_lead_g < 0
    low_g = -rest_lead_g[gaining] / edge_lead_g[gaining]
    high_g = -rest_lead_g[losing] / edge_lead_g[losing]
    # A rival that is level at lambda_ itself crosses there, but for rounding.
    low = min(max(0.0, low_g.max(initial=0.0)), lambda_)
    high = max(high_g.min(initial=math.inf), lambda_)
    return first, float(low), float(high)


def lambda_orders(rest_g: Float64, edge_g: Float64, lambdas: Sequence[float]) -> NDArray[np.intp]:
    """Returns the places of the candidates, best first, at each lambda: ``(K, g)``.

    At infinity candidates rank by ``s_E`` and, where that is equal, by the rest: the limit of large
    lambda.

    Args:
        rest_g: the other terms of each candidate, in the order that breaks ties.
        edge_g: ``s_E`` likewise.
        lambdas: values >= 0, infinity allowed.
    """
    level_g = np.zeros_like(rest_g)
    orders = [
        _falling(edge_g, rest_g)
        if math.isinf(lambda_)
        else _falling(rest_g + lambda_ * edge_g, level_g)
        for lambda_ in lambdas
    ]
    return np.stack(orders)


def _falling(values_g: Float64, ties_g: Float64) -> NDArray[np.intp]:
    """Returns the places of the values from the greatest on, then of ``ties_g``, then in order."""
    order_g = np.argsort(-values_g)  # a fraction of what a stable sort takes
    sorted_g = values_g[order_g]
    if (sorted_g[1:] == sorted_g[:-1]).any():
        order_g = np.lexsort((-ties_g, -values_g))
    return order_g
