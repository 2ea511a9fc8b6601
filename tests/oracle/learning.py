"""Slow forms of the learners: loops over targets, sources and pairs, from their definitions."""

from __future__ import annotations

import math

import numpy as np

from depara.types import Float64


def popularity(fraction_TM: Float64) -> list[float]:
    """The mean of what was measured of each model; 0.5 where nothing was."""
    means = []
    for column in fraction_TM.T:
        known = [value for value in column if math.isfinite(value)]
        means.append(sum(known) / len(known) if known else 0.5)
    return means


def pair_loss(
    weights_F: Float64, features: list[Float64], fraction_TM: Float64, ridge: float
) -> float:
    """The ranker's loss: over targets, over ordered pairs of measured sources, then the ridge."""
    total = 0.0
    for features_MF, fraction_M in zip(features, fraction_TM, strict=True):
        loss = gains = 0.0
        for better, high in enumerate(fraction_M):
            for worse, low in enumerate(fraction_M):
                if math.isfinite(high) and math.isfinite(low) and high > low:
                    margin = float(weights_F @ (features_MF[better] - features_MF[worse]))
                    loss += (high - low) * math.log1p(math.exp(-margin))
                    gains += high - low
        total += loss / gains / len(features)
    return total + ridge * float(weights_F @ weights_F)


def placed(kernel_TT: Float64, kernel_T: Float64, product_TM: Float64, ridge: float) -> Float64:
    """Kernel ridge regression of the factors' product at a new target."""
    return kernel_T @ np.linalg.solve(kernel_TT + ridge * np.eye(len(kernel_TT)), product_TM)


def left_out_error(kernel_TT: Float64, product_TM: Float64, ridge: float) -> float:
    """The squared error at every past target, predicted from the others alone."""
    total = 0.0
    for target in range(len(kernel_TT)):
        others = [place for place in range(len(kernel_TT)) if place != target]
        predicted = placed(
            kernel_TT[np.ix_(others, others)],
            kernel_TT[target, others],
            product_TM[others],
            ridge,
        )
        total += float(np.square(product_TM[target] - predicted).sum())
    return total
