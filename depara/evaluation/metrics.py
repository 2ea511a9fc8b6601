"""How good a ranking is: what each metric says of one query, expectations over ties included.

A query asks for the best of some candidates: the sources of a target, or the layers of a source.
Scores that are equal do not say which candidate comes first, so precision, recall and regret are
exact expectations over all orders of the tied candidates; no order of the rows or of the names can
change them. A score that is the same for all candidates therefore gets just what a random ranking
gets on average.

``C`` candidates of a query, ``K`` cut-offs 1 to ``C``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from depara.types import Float64


def relevance(truth_C: Float64, relevant: int) -> Float64:
    """Returns how relevant each candidate is: 1 for the ``relevant`` best, 0 for the others.

    Candidates that tie at the border share the places that are left: the probability of each to be
    among the best when ties are broken at random. ``(C,)``, 0 to 1, sums to ``relevant``.
    """
    assert 0 < relevant < len(truth_C)
    order, sizes = _tie_groups(truth_C)
    starts = np.cumsum(sizes) - sizes
    share = np.clip((relevant - starts) / sizes, 0.0, 1.0)
    relevance_C = np.empty(len(truth_C))
    relevance_C[order] = np.repeat(share, sizes)
    return relevance_C


def expected_hits(score_C: Float64, relevance_C: Float64) -> Float64:
    """Returns the expected number of relevant candidates among the first K, K = 1 to C. ``(K,)``.

    A place within a group of equal scores is worth the group's mean relevance.
    """
    order, sizes = _tie_groups(score_C)
    starts = np.cumsum(sizes) - sizes
    means = np.add.reduceat(relevance_C[order], starts) / sizes
    return np.cumsum(np.repeat(means, sizes))


def precision_at(hits_K: Float64) -> Float64:
    """Returns P@K: the part of the first K that is relevant, 0 to 1. ``(K,)``."""
    precision: Float64 = hits_K / np.arange(1, len(hits_K) + 1)
    return precision


def recall_at(hits_K: Float64, relevant: int) -> Float64:
    """Returns R@K: the part of the relevant candidates among the first K, 0 to 1. ``(K,)``."""
    recall: Float64 = hits_K / relevant
    return recall


def regret_at(score_C: Float64, truth_C: Float64, k: int) -> float:
    """Returns what is lost by trying only the first k: 0 (the best is among them) to 1 (the worst).

    ``(best - best of the first k) / (best - worst)`` in true values, the expectation over ties.
    The truth must not be constant. With fewer than k candidates all of them are tried: 0.
    """
    best, worst = truth_C.max(), truth_C.min()
    assert best > worst
    order, sizes = _tie_groups(score_C)
    stops = np.cumsum(sizes)
    group = int(np.searchsorted(stops, min(k, len(score_C))))
    start = int(stops[group] - sizes[group])
    certain = truth_C[order[:start]].max() if start else -np.inf
    tied = np.sort(truth_C[order[start : stops[group]]])
    drawn = min(k, len(score_C)) - start
    found = float(np.maximum(tied, certain) @ _largest_of_draw(len(tied), drawn))
    return float((best - found) / (best - worst))


def relative_accuracy(score_C: Float64, truth_C: Float64) -> float:
    """Returns the true value of the first choice over the best one, the expectation over ties.

    Up to 1, which is the best choice: the "top-1 relative accuracy" of Li et al., CVPR 2021. For
    truths that are a share, such as an accuracy or an AUC: unlike a regret it depends on where the
    truth has its zero, and it is NaN where a true value is negative.
    """
    if truth_C.min() < 0:
        return float("nan")
    first_C = score_C == score_C.max()
    return float(truth_C[first_C].mean() / truth_C.max())


def pearson(score_C: Float64, truth_C: Float64) -> float:
    """Returns Pearson's r, -1 to 1; 0 when the score is constant.

    Unlike the other metrics it changes with a monotone change of scores or truth. Each side is
    first divided by its largest deviation, so that no magnitude over- or underflows.
    """
    if _is_constant(score_C):
        return 0.0
    score_unit_C, truth_unit_C = _centred(score_C), _centred(truth_C)
    return float(np.clip(score_unit_C @ truth_unit_C, -1.0, 1.0))


def spearman(score_C: Float64, truth_C: Float64) -> float:
    """Returns Spearman's rho with average ranks, -1 to 1; 0 when the score is constant."""
    return _correlation(scipy.stats.spearmanr, score_C, truth_C)


def kendall(score_C: Float64, truth_C: Float64) -> float:
    """Returns Kendall's tau-b, -1 to 1; 0 when the score is constant."""
    return _correlation(scipy.stats.kendalltau, score_C, truth_C)


def weighted_kendall(score_C: Float64, truth_C: Float64) -> float:
    """Returns Kendall's tau with hyperbolic weights, -1 to 1: the top counts most (Vigna 2015).

    A pair of places r and s (0-based) counts ``1 / (r + 1) + 1 / (s + 1)``; the mean of the places
    by score and by truth, as `scipy.stats.weightedtau` has it. 0 when the score is constant.
    """
    return _correlation(scipy.stats.weightedtau, score_C, truth_C)


@dataclass(frozen=True)
class Metric:
    """One number of a query: ``measure(score_C, truth_C)``, its k where it has one, its meaning.

    ``measure`` is NaN where the metric is not defined for the truth, whatever the score.
    """

    name: str
    k: int | None
    measure: Callable[[Float64, Float64], float]
    meaning: str
    lower_is_better: bool = False


BUDGETS = (1, 2, 3, 5)
"""The numbers of trials whose regret is measured."""

METRICS: tuple[Metric, ...] = (
    Metric("spearman", None, spearman, "Spearman's rho of score and truth, -1 to 1"),
    Metric("kendall", None, kendall, "Kendall's tau-b of score and truth, -1 to 1"),
    Metric("weighted_kendall", None, weighted_kendall, "Kendall's tau, top-weighted, -1 to 1"),
    Metric("pearson", None, pearson, "Pearson's r of score and truth, -1 to 1"),
    *(
        Metric("regret", k, partial(regret_at, k=k), f"true range lost by trying {k}, 0 to 1", True)
        for k in BUDGETS
    ),
    Metric("relative_accuracy", 1, relative_accuracy, "true value of the first / best, up to 1"),
)
"""The metrics that are one number; adding one is a function and a row. Their order is the order of
the evaluation table, after ``precision`` and ``recall`` at every K."""


def _tie_groups(values: Float64) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the order of falling values, and the sizes of the groups of equal ones in it."""
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return order, np.diff(starts, append=len(values))


def _largest_of_draw(size: int, drawn: int) -> Float64:
    """Returns the chance of each of ``size`` rising items to be the largest of ``drawn`` of them.

    ``C(i, drawn - 1) / C(size, drawn)`` for the item with ``i`` smaller ones.
    """
    draws = comb(size, drawn)
    return np.array([comb(smaller, drawn - 1) / draws for smaller in range(size)])


def _centred(values: Float64) -> Float64:
    """Returns deviations from the mean, of Euclidean norm 1; the values are not all equal."""
    scaled = values / np.abs(values).max()
    centred = scaled - scaled.mean()
    unit: Float64 = centred / np.linalg.norm(centred)
    return unit


def _correlation(measure: Callable[..., Any], score_C: Float64, truth_C: Float64) -> float:
    return 0.0 if _is_constant(score_C) else float(measure(score_C, truth_C).statistic)


def _is_constant(values: Float64) -> bool:
    return bool((values == values[0]).all())
