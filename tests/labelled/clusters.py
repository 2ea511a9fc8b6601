"""Made-up features of labelled probes."""

from __future__ import annotations

import math

import numpy as np

from depara.catalog import LABEL_SCORES
from depara.labelled import label_scores
from tests.oracle.grams import grams_of

OF_FEATURES = [name for name, score in LABEL_SCORES.items() if score.needs != "outputs"]
"""The scores of features; the others are of what the model returned."""


def clustered(
    sizes: tuple[int, ...], dimensions: int, *, spread: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Features around one centre per class, shifted off the origin; and the labels."""
    rng = np.random.default_rng(seed)
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    centres = rng.standard_normal((len(sizes), dimensions))
    noise = rng.standard_normal((len(labels), dimensions)) * rng.uniform(0.5, 1.5, dimensions)
    return np.repeat(centres, sizes, axis=0) + spread * noise + 0.7, labels


def values(features_ND: np.ndarray, labels: list[str]) -> dict[str, float]:
    """Every score of the features; none may be undefined."""
    scores = label_scores(grams_of(features_ND), labels)
    scores = {name: scores[name] for name in OF_FEATURES}
    undefined = {name: score.reason for name, score in scores.items() if math.isnan(score.value)}
    assert not undefined
    return {name: score.value for name, score in scores.items()}
