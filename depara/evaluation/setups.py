"""Whether the verdict on scores would stand in other setups: other sources, and other targets.

Agostinelli et al., "How stable are transferability metrics evaluations?", ECCV 2022: a small change
of the setup may change which score looks best. A setup's outcome is the ranking of the scores by a
metric; its stability is the mean agreement of two setups' outcomes, by Kendall's tau.

Our reading, where the paper leaves it open or builds its setups from data that a truth has not:
a setup is a random half (rounded up) of the candidates, three at least, and a random half of the
queries, both drawn anew without replacement; the metric stays the same within a row. Candidates of
a query that were not drawn are left out, and so are queries with fewer than two of them, or whose
true values do not differ. Scores that tie in a setup tie in its ranking (tau-b). Two halves share
sources and targets: the agreement is higher than that of two zoos.

``Q`` queries, ``C`` candidates of one, ``V`` names of candidates, ``N`` setups, ``S`` scores, ``P``
pairs of scores, ``M`` metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from depara.errors import ConfigError
from depara.evaluation.metrics import METRICS
from depara.evaluation.queries import Query
from depara.types import Float64

SETUP_METRICS = tuple(metric for metric in METRICS if metric.k in (None, 1))
"""Correlations and the first choice: of half the sources, more trials find the best anyway."""

_FEWEST_DRAWN = 3
_DIGITS = 12
"""Decimals kept of means, so that equal scores tie and rounding errors decide nothing."""


def setup_stability(
    queries: Sequence[Query],
    scores: Mapping[str, Sequence[Float64]],
    *,
    weight_Q: Float64 | None = None,
    setups: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Returns the agreement of random sub-setups, one row per metric of `SETUP_METRICS`.

    Columns: ``metric, k``; ``agreement``, the mean Kendall tau-b of the rankings of the scores by
    two setups, -1 to 1, NaN where no setup tells scores apart; ``same_winner``, how often two
    setups have the same best score, 0 to 1 (of several best ones in a setup, one at random);
    ``winner``, the score that is best most often, and ``p_winner``, in what share of the setups;
    ``num_setups``. Metrics that are not defined for the truth have no row.

    Raises:
        ConfigError: fewer than two scores or two setups, or no two setups that can be judged.
    """
    if len(scores) < 2:
        raise ConfigError("stability compares rankings of scores: it needs at least 2 scores")
    if setups < 2:
        raise ConfigError(f"stability of {setups} setups: give at least 2, 100 for instance")
    outcomes = [
        values_SM
        for drawn in draw_setups(queries, setups, seed)
        if (values_SM := _measured(queries, scores, weight_Q, drawn)) is not None
    ]
    if len(outcomes) < 2:
        raise ConfigError(
            "no two setups of half the sources and half the targets can be judged: the truth is "
            "too small for a stability"
        )
    names = list(scores)
    rows = []
    for place, metric in enumerate(SETUP_METRICS):
        values_NS = np.array([values_SM[:, place] for values_SM in outcomes]).round(_DIGITS)
        if np.isnan(values_NS).any():
            continue
        better_NS = -values_NS if metric.lower_is_better else values_NS
        share_NS = _shares_of_winning(better_NS)
        p_wins_S = share_NS.mean(axis=0)
        winner = int(p_wins_S.argmax())
        rows.append(
            {
                "metric": metric.name,
                "k": metric.k,
                "agreement": mean_kendall(better_NS),
                "same_winner": _mean_of_pairs(share_NS @ share_NS.T),
                "winner": names[winner],
                "p_winner": float(p_wins_S[winner]),
                "num_setups": len(outcomes),
            }
        )
    return pd.DataFrame(rows).astype({"k": "Int32", "num_setups": "int32"})


def mean_kendall(values_NS: Float64) -> float:
    """Returns the mean Kendall tau-b of two rows; rows of equal values agree with none: left out.

    NaN when fewer than two rows are left. Tau-b is the cosine of the signs of all differences.
    """
    one, other = np.triu_indices(values_NS.shape[1], 1)
    signs_NP = np.sign(values_NS[:, one] - values_NS[:, other])
    norm_N = np.linalg.norm(signs_NP, axis=1)
    if (norm_N > 0).sum() < 2:
        return float("nan")
    unit_NP = signs_NP[norm_N > 0] / norm_N[norm_N > 0, None]
    return _mean_of_pairs(unit_NP @ unit_NP.T)


def draw_setups(
    queries: Sequence[Query], setups: int, seed: int
) -> list[tuple[list[int], frozenset[str]]]:
    """Returns each setup: the places of its queries, and the names of the candidates in it."""
    rng = np.random.default_rng(seed)
    names = sorted({name for query in queries for name in query.candidates})
    num_names = max(-(-len(names) // 2), min(_FEWEST_DRAWN, len(names)))
    num_queries = -(-len(queries) // 2)
    draws = []
    for _ in range(setups):
        places = rng.choice(len(queries), num_queries, replace=False)
        drawn = rng.choice(len(names), num_names, replace=False)
        draws.append((sorted(places.tolist()), frozenset(names[place] for place in drawn)))
    return draws


def _measured(
    queries: Sequence[Query],
    scores: Mapping[str, Sequence[Float64]],
    weight_Q: Float64 | None,
    drawn: tuple[list[int], frozenset[str]],
) -> Float64 | None:
    """Returns the means ``(S, M)`` of a setup, None where it has no query that can be judged."""
    places, names = drawn
    values, weights = [], []
    for place in places:
        query = queries[place]
        kept_C = np.array([name in names for name in query.candidates])
        truth_C = query.truth_C[kept_C]
        if len(truth_C) < 2 or truth_C.min() == truth_C.max():
            continue
        values.append(
            [
                [metric.measure(score[place][kept_C], truth_C) for metric in SETUP_METRICS]
                for score in scores.values()
            ]
        )
        weights.append(1.0 if weight_Q is None else weight_Q[place])
    if not sum(weights):
        return None
    means_SM: Float64 = np.average(np.array(values), axis=0, weights=weights)
    return means_SM


def _shares_of_winning(values_NS: Float64) -> Float64:
    """Returns 1 for the best score of each row, shared by those that tie."""
    is_best_NS = values_NS == values_NS.max(axis=1, keepdims=True)
    share: Float64 = is_best_NS / is_best_NS.sum(axis=1, keepdims=True)
    return share


def _mean_of_pairs(table_NN: Float64) -> float:
    """Returns the mean over all pairs of two different rows of a symmetric table."""
    return float(table_NN[np.triu_indices(len(table_NN), 1)].mean())
