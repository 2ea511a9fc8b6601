"""Distances of sets, bounds and gradients in float64: slow, from the papers, nothing shared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.optimize import linprog

Array = NDArray[np.float64]


def emd(one: Array, other: Array) -> float:
    """Kantorovich's linear programme, written out."""
    cost = [[math.dist(a, b) for b in other] for a in one]
    num, count = len(one), len(other)
    rows, sums = [], []
    for i in range(num):
        rows.append([float(r == i) for r in range(num) for _ in range(count)])
        sums.append(1 / num)
    for j in range(count):
        rows.append([float(c == j) for _ in range(num) for c in range(count)])
        sums.append(1 / count)
    found = linprog(np.ravel(cost), A_eq=rows[:-1], b_eq=sums[:-1], method="highs-ds")
    return float(found.fun)


def emd_of_equals(one: Array, other: Array) -> float:
    """The best of all one-to-one assignments, by looking at every one."""
    orders = permutations(range(len(other)))
    return min(sum(math.dist(one[i], other[j]) for i, j in enumerate(o)) for o in orders) / len(one)


def frechet(mean: Array, covariance: Array, other_mean: Array, other_covariance: Array) -> float:
    """Dowson & Landau 1982, with the matrix root itself."""
    root = np.real(sqrtm(covariance @ other_covariance))
    spread = np.trace(covariance) + np.trace(other_covariance) - 2 * np.trace(root)
    return float(np.sum((mean - other_mean) ** 2) + spread)


def principal_gradient(
    features: Array, targets: Array, draws: Sequence[tuple[Array, Array]]
) -> Array:
    """The mean of autograd's gradients over restarts."""
    total = None
    for block, head in draws:
        weights = [torch.tensor(one, requires_grad=True) for one in (block, head)]
        logits = torch.relu(torch.tensor(features) @ weights[0]) @ weights[1]
        loss = -(torch.log_softmax(logits, dim=1) * torch.tensor(targets)).sum() / len(features)
        loss.backward()
        flat = torch.cat([one.grad.ravel() for one in weights])
        total = flat if total is None else total + flat
    return (total / len(draws)).numpy()


def conditional_entropy(labels: Sequence[object], given: Sequence[object]) -> float:
    """H(labels | given), counted."""
    both, alone = Counter(zip(labels, given, strict=True)), Counter(given)
    return -sum(count / len(given) * math.log(count / alone[g]) for (_, g), count in both.items())


def osborn(outputs: Sequence[Array], labels: Sequence[str]) -> float:
    """Task and cohesion terms of Vimal et al. 2023, each ordered pair counted, negated."""
    predicted = [[int(np.argmax(row)) for row in one] for one in outputs]
    task = sum(conditional_entropy(labels, one) for one in predicted)
    apart = sum(
        conditional_entropy(one, other)
        for i, one in enumerate(predicted)
        for j, other in enumerate(predicted)
        if i != j
    )
    return -(task + apart)
