"""Ensembles in float64 from explicit features and predictions: slow, and nothing shared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tests.oracle.scores import zscore

Array = NDArray[np.float64]


def e_leep(outputs: Sequence[Array], labels: Sequence[str]) -> float:
    """Agostinelli et al. 2022, in loops over probes, members and the members' own classes."""
    total = 0.0
    for i, own in enumerate(labels):
        expected = 0.0
        for logits in outputs:
            chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            for z in range(chances.shape[1]):
                mass = math.fsum(chances[j, z] for j, y in enumerate(labels) if y == own)
                expected += chances[i, z] * mass / math.fsum(chances[:, z])
        total += math.log(expected / len(outputs))
    return total / len(labels)


def predicted_share(
    sources: Sequence[Array], target: Array, ridge: float = 1.0, *, is_labels: bool = False
) -> float:
    """Ridge regression on the joined features, fitted anew without each probe in turn.

    One-hot labels are centred, not z-scored.
    """
    joined = []
    for source in sources:
        z = zscore(source)
        scale = float(np.sum(z**2)) / len(z)  # mean squared norm 1, shared by the members
        joined.append(z / math.sqrt(scale * len(sources)))
    x = np.hstack(joined)
    y = target - target.mean(axis=0) if is_labels else zscore(target)
    lost = 0.0
    for i in range(len(x)):
        kept = [j for j in range(len(x)) if j != i]
        weights = np.linalg.solve(
            x[kept].T @ x[kept] + ridge * np.eye(x.shape[1]), x[kept].T @ y[kept]
        )
        lost += float(np.sum((y[i] - x[i] @ weights) ** 2))
    return 1 - lost / float(np.sum(y**2))


def best_set(parts: dict[str, object], value, size: int) -> tuple[set[str], float]:
    """The best set of up to so many members, by looking at all of them."""
    found = [
        (value([parts[name] for name in names]), set(names))
        for count in range(1, size + 1)
        for names in combinations(sorted(parts), count)
    ]
    best = max(found, key=lambda one: one[0])
    return best[1], best[0]
