"""The one similarity that ranks: the weighted sum of node, centred node and edge similarity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from depara.catalog import TERMS
from depara.types import Float64


def combine(scores: Mapping[str, NDArray[np.floating]], terms: Mapping[str, float]) -> Float64:
    """Returns ``s = sum_k w_k s_k``, float64; with node 1 and edge lambda, the paper's.

    Song et al., CVPR 2020, Eq. 5: ``s = s_V + lambda * s_E``. The terms are added as they are;
    standardising them first ranks worse.

    Args:
        scores: the weighted terms by the name of their column, of any one shape.
        terms: weights by the name of the term (`depara.catalog.TERMS`), finite and >= 0, not all
            of them 0.

    Raises:
        ValueError: no such term, shapes differ, or a weight is negative or not finite.
    """
    unknown = [name for name in terms if name not in TERMS]
    if unknown:
        raise ValueError(f"no term {', '.join(unknown)}: the terms are {', '.join(TERMS)}")
    wrong = {name: weight for name, weight in terms.items() if not 0 <= weight < np.inf}
    if wrong:
        raise ValueError(f"weights of terms must be finite and at least 0, got {wrong}")
    # In one order, whatever that of the weights: the same rounding.
    weighted = [name for name in TERMS if terms.get(name)]
    if not weighted:
        raise ValueError(f"no term has a weight: the terms are {', '.join(TERMS)}")
    parts = {name: np.asarray(scores[TERMS[name].column], np.float64) for name in weighted}
    shapes = {name: part.shape for name, part in parts.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"terms of different shapes: {shapes}")
    total = np.zeros_like(parts[weighted[0]])
    for name in weighted:
        total += float(terms[name]) * parts[name]
    return total


def at_lambda(
    similarity: NDArray[np.floating],
    edge_similarity: NDArray[np.floating],
    own: float,
    lambda_: float,
) -> Float64:
    """Returns the similarity with another weight of the edges: ``s + (lambda' - lambda) s_E``.

    Args:
        similarity: with the weight ``own``.
        edge_similarity: ``s_E``, the same shape.
        own: the weight of the edges in it.
        lambda_: the weight wanted, finite and >= 0.

    Raises:
        ValueError: ``lambda_`` is negative or not finite.
    """
    if not 0 <= lambda_ < np.inf:
        raise ValueError(f"lambda must be finite and at least 0, got {lambda_}")
    rest = np.asarray(similarity, np.float64) - own * np.asarray(edge_similarity, np.float64)
    return rest + float(lambda_) * np.asarray(edge_similarity, np.float64)


def describe_terms(terms: Mapping[str, float]) -> str:
    """Returns the sum in words, such as ``node + 2 edge``; terms of weight 0 are left out."""
    parts = [
        f"{'' if terms[name] == 1 else f'{terms[name]:g} '}{name}"
        for name in TERMS
        if terms.get(name)
    ]
    return " + ".join(parts)
