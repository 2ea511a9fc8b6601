"""The metrics and baselines of an evaluation by their definitions, one order of ties at a time.

Nothing here is fast, and nothing is shared with the product.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

Pair = tuple[str, str]


def orders(scores: Sequence[float]) -> Iterator[tuple[int, ...]]:
    """All rankings (places of candidates, best first) that falling scores allow."""
    groups = [
        [place for place, score in enumerate(scores) if score == value]
        for value in sorted(set(scores), reverse=True)
    ]
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield tuple(itertools.chain.from_iterable(parts))


def expectation(scores: Sequence[float], measure: Callable[[tuple[int, ...]], float]) -> float:
    """The mean of a measure over all rankings that the scores allow."""
    found = [measure(order) for order in orders(scores)]
    return math.fsum(found) / len(found)


def precision(scores: Sequence[float], truth: Sequence[float], k: int, relevant: int) -> float:
    """P@K, the mean over all ways to break the ties of scores and of truth."""
    return expectation(
        truth,
        lambda best: expectation(
            scores, lambda order: len(set(order[:k]) & set(best[:relevant])) / k
        ),
    )


def regret(scores: Sequence[float], truth: Sequence[float], k: int) -> float:
    """(best - best of the first k) / (best - worst), the mean over all ways to break ties."""
    best, worst = max(truth), min(truth)
    return expectation(
        scores, lambda order: (best - max(truth[i] for i in order[:k])) / (best - worst)
    )


def relative_accuracy(scores: Sequence[float], truth: Sequence[float]) -> float:
    """True value of the first over the best one, the mean over all ways to break ties."""
    return expectation(scores, lambda order: truth[order[0]] / max(truth))


def average_ranks(values: Sequence[float]) -> list[float]:
    """1-based ranks of rising values, ties get the mean of their places."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Covariance over the product of the standard deviations."""
    a = [value - math.fsum(x) / len(x) for value in x]
    b = [value - math.fsum(y) / len(y) for value in y]
    norm = math.sqrt(math.fsum(v * v for v in a) * math.fsum(v * v for v in b))
    return math.fsum(v * w for v, w in zip(a, b, strict=True)) / norm


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation of average ranks."""
    return pearson(average_ranks(x), average_ranks(y))


def reliability(repeats: Sequence[Sequence[float]]) -> float:
    """Mean Spearman of two repeats, stepped up to all of them (Spearman 1910; Brown 1910)."""
    pairs = list(itertools.combinations(repeats, 2))
    one = max(0.0, math.fsum(spearman(a, b) for a, b in pairs) / len(pairs))
    return len(repeats) * one / (1 + (len(repeats) - 1) * one)


def mean_of_resample(
    values: Sequence[float], counts: Sequence[int], weights: Sequence[float]
) -> float:
    """The weighted mean of the values that were drawn, each as often as it was drawn."""
    drawn = [
        (value, weight)
        for value, count, weight in zip(values, counts, weights, strict=True)
        for _ in range(count)
    ]
    return math.fsum(v * w for v, w in drawn) / math.fsum(w for _, w in drawn)


def sign(value: float) -> int:
    return (value > 0) - (value < 0)


def kendall(
    x: Sequence[float], y: Sequence[float], weights: Sequence[float] | None = None
) -> float:
    """Tau-b pair by pair; a pair counts the sum of its two weights, 1 each without weights."""
    weights = weights or [1.0] * len(x)

    def inner(a: Sequence[float], b: Sequence[float]) -> float:
        return math.fsum(
            sign(a[i] - a[j]) * sign(b[i] - b[j]) * (weights[i] + weights[j])
            for i, j in itertools.combinations(range(len(a)), 2)
        )

    return inner(x, y) / math.sqrt(inner(x, x) * inner(y, y))


def weighted_kendall(x: Sequence[float], y: Sequence[float]) -> float:
    """Vigna, "A weighted correlation index for rankings with ties", WWW 2015: hyperbolic weights.

    The mean of the two values with places by (x, then y) and by (y, then x), best first.
    """

    def weights(first: Sequence[float], second: Sequence[float]) -> list[float]:
        order = sorted(range(len(first)), key=lambda i: (first[i], second[i]), reverse=True)
        return [1 / (order.index(i) + 1) for i in range(len(first))]

    return (kendall(x, y, weights(x, y)) + kendall(x, y, weights(y, x))) / 2


def random_precision(candidates: int, relevant: int, k: int) -> float:
    """P@K of a random ranking: the mean of a hypergeometric draw, term by term."""
    ways = [
        hits / k * math.comb(relevant, hits) * math.comb(candidates - relevant, k - hits)
        for hits in range(1, min(k, relevant) + 1)
    ]
    return math.fsum(ways) / math.comb(candidates, k)


def rank_fraction(value: float, values: Sequence[float]) -> float:
    """1 for the best of the values, 0 for the worst, ties in the middle of their places."""
    worse = sum(other < value for other in values)
    tied = sum(other == value for other in values) - 1
    return (worse + tied / 2) / (len(values) - 1)


def popularity(truth: Mapping[Pair, float], target: str, source: str) -> float:
    """The mean rank fraction of a source for the other targets; ``truth`` is by (target, source).

    The target is left out as a target and as a source, a target's own model as its source.
    """
    fractions = []
    for other in sorted({name for name, _ in truth} - {target, source}):
        rivals = [
            value for (t, s), value in truth.items() if t == other and s not in (target, other)
        ]
        if (other, source) in truth and len(rivals) > 1:
            fractions.append(rank_fraction(truth[other, source], rivals))
    return math.fsum(fractions) / len(fractions) if fractions else 0.5


def symmetrised(truth: Mapping[Pair, float], target: str, source: str) -> float:
    """Half the sum of both directions; the way there alone where there is no way back."""
    there = truth[target, source]
    return (there + truth.get((source, target), there)) / 2
