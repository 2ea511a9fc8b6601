"""Token stitching written out: one row per token and probe, ridge regression by augmented rows.

Lenc & Vedaldi, "Understanding image representations by measuring their equivariance and
equivalence", CVPR 2015, by regression. Nothing here is fast, and nothing is shared.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def rows_of(source: Array, probe: int, side: int) -> list[Array]:
    """The 3x3 tokens around every token of a probe, side by side; zeros beyond the rim."""
    rows = []
    for y in range(side):
        for x in range(side):
            around = []
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    inside = 0 <= y + dy < side and 0 <= x + dx < side
                    token = source[probe, y + dy, x + dx] if inside else 0 * source[probe, 0, 0]
                    around.append(token.astype(np.float64))
            rows.append(np.concatenate(around))
    return rows


def stitch(source: Array, target: Array, ridge: float, num_folds: int) -> float:
    """1 less the squared error at left-out probes over the squared target (of mean zero)."""
    count, side = len(source), source.shape[1]
    folds = np.array_split(np.arange(count), num_folds)
    error, variance = 0.0, 0.0
    for fold in folds:
        left_out = set(fold.tolist())
        seen = [probe for probe in range(count) if probe not in left_out]
        x = np.array([row for probe in seen for row in rows_of(source, probe, side)])
        y = np.array([row for p in seen for row in target[p].reshape(side**2, -1)], np.float64)
        penalty = math.sqrt(ridge * len(x)) * np.eye(x.shape[1])
        zeros = np.zeros((x.shape[1], y.shape[1]))
        fit = np.linalg.lstsq(np.vstack([x, penalty]), np.vstack([y, zeros]), rcond=None)[0]
        for probe in sorted(left_out):
            due = target[probe].reshape(side**2, -1).astype(np.float64)
            apart = due - np.array(rows_of(source, probe, side)) @ fit
            error += float((apart**2).sum())
            variance += float((due**2).sum())
    return 1 - error / variance
