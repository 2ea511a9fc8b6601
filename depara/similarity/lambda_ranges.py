"""How the model ranking depends on lambda, the weight of the edges: ``s = rest + lambda * s_E``.

``rest`` is the sum of the other terms, ``s_V`` in the paper.

``g`` candidates of a target, ``K`` values of lambda, ``R`` rows of the model ranking.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from depara.catalog import TERMS
from depara.similarity.combine import combine
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
    """
    lambda_ = terms.get("edge", 0.0)
    others = {name: weight for name, weight in terms.items() if name != "edge" and weight}
    grid = tuple(sorted({*lambdas, lambda_}))
    ranges: list[tuple[str, str, float, float, float]] = []
    fields = TABLES["lambda_ranges"]
    orders = []
    for target, names_g, rest_g, edge_g in _targets(ranking, others):
        first, low, high = lambda_range(rest_g, edge_g, lambda_)
        ranges.append((target, names_g[first].as_py(), lambda_, low, high))
        orders.append((target, names_g, lambda_orders(rest_g, edge_g, grid)))
    rows = [dict(zip(fields.names, row, strict=True)) for row in ranges]
    return {
        "lambda_ranges": pa.Table.from_pylist(rows, schema=fields),
        "lambda_ranking": _ranking_table(grid, orders),
    }


def _ranking_table(
    grid: Sequence[float], orders: Sequence[tuple[str, pa.Array, NDArray[np.intp]]]
) -> pa.Table:
    """Returns the ranking at every lambda, of targets in order of their names.

    Args:
        grid: the ``K`` values of lambda.
        orders: each target, its sources, and their order ``(K, g)`` at each lambda.
    """
    schema = TABLES["lambda_ranking"]
    if not orders:
        return schema.empty_table()
    sizes = [order_Kg.shape[1] for _, _, order_Kg in orders]
    places = np.repeat(np.arange(len(orders)), sizes)
    starts = np.cumsum([0, *sizes[:-1]])
    by_lambda_KR = np.concatenate(
        [order_Kg + start for (_, _, order_Kg), start in zip(orders, starts, strict=True)], axis=1
    )
    sources = pa.concat_arrays([names_g for _, names_g, _ in orders])
    targets = pa.array([target for target, _, _ in orders], pa.string())
    ranks = (np.arange(sum(sizes)) - starts[places] + 1).astype(np.int32)
    return pa.table(
        {
            "lambda": np.repeat(np.array(grid), len(places)),
            "target_model": targets.take(pa.array(np.tile(places, len(grid)))),
            "rank": np.tile(ranks, len(grid)),
            "source_model": sources.take(pa.array(by_lambda_KR.ravel())),
        },
        schema=schema,
    )


def _targets(
    ranking: pa.Table, others: Mapping[str, float]
) -> Iterator[tuple[str, pa.Array, Float64, Float64]]:
    """Yields each target with its sources in order of name, and both parts of their similarity."""
    by_name = ranking.sort_by([("target_model", "ascending"), ("source_model", "ascending")])
    by_name = by_name.combine_chunks()
    runs = pc.run_end_encode(by_name["target_model"].combine_chunks())
    start = 0
    for target, stop in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        part = by_name.slice(start, stop - start)
        columns = {TERMS[name].column for name in (*others, "edge")}
        scores = {name: part[name].to_numpy() for name in columns}
        edge_g = scores["edge_similarity"]
        rest_g = combine(scores, others) if others else np.zeros_like(edge_g)
        yield target, part["source_model"].combine_chunks(), rest_g, edge_g
        start = stop


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
    orders = [
        np.lexsort((-rest_g, -edge_g))
        if math.isinf(lambda_)
        else _falling(rest_g + lambda_ * edge_g)
        for lambda_ in lambdas
    ]
    return np.stack(orders)


def _falling(values_g: Float64) -> NDArray[np.intp]:
    """Returns the places of the values from the greatest on, of equal ones in their order."""
    order_g = np.argsort(-values_g)  # half of what a stable sort takes; the same without ties
    if (np.diff(values_g[order_g]) == 0).any():
        order_g = np.argsort(-values_g, kind="stable")
    return order_g
