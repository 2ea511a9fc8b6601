"""Edges, node and edge similarity and rankings in float64, pair by pair, as the paper writes them.

Song et al., "DEPARA: Deep Attribution Graph for Deep Knowledge Transferability", CVPR 2020. Nothing
here is fast, and nothing is shared with the product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

Array = NDArray[np.floating]


def unit_maps(maps_NP: Array) -> NDArray[np.float16]:
    """Attribution maps of unit norm, or all zero, as graphs hold them."""
    norms_N1 = np.linalg.norm(maps_NP.astype(np.float64), axis=1, keepdims=True)
    return (maps_NP / np.where(norms_N1 > 0, norms_N1, 1.0)).astype(np.float16)


def cosine(a: Array, b: Array) -> float:
    """``<a, b> / (||a|| ||b||)``; 0 when either is all zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = math.sqrt(math.fsum(a * a)) * math.sqrt(math.fsum(b * b))
    return math.fsum(a * b) / norms if norms > 0 else 0.0


def edges(features_ND: Array) -> NDArray[np.float64]:
    """Cosines of all pairs of features in scipy's own pdist order; 0 with a zero feature."""
    features_ND = features_ND.astype(np.float64)
    zero = ~features_ND.any(axis=1)
    replaced_ND = features_ND.copy()
    replaced_ND[zero] = 1.0  # pdist divides by the norm
    cosine_E = 1.0 - pdist(replaced_ND, metric="cosine")
    either_zero_E = pdist(zero[:, None].astype(np.float64), metric="chebyshev") > 0
    both_zero_E = (
        pdist(zero[:, None].astype(np.float64), metric=lambda p, q: float(p[0] * q[0])) > 0
    )
    cosine_E[either_zero_E | both_zero_E] = 0.0
    return cosine_E


def node_similarity(maps_a: Array, maps_b: Array) -> float:
    """``s_V = (1/N) sum_i cos(a_i, a'_i)`` of two ``(N, P)`` arrays; zero maps count as 0."""
    cosines = [cosine(a, b) for a, b in zip(maps_a, maps_b, strict=True)]
    return math.fsum(cosines) / len(cosines)


def edge_similarity(edges_a: Array, edges_b: Array) -> float:
    """``s_E``: Spearman's rho with average ranks; 0 when either graph's edges are constant."""
    if len(set(edges_a.tolist())) == 1 or len(set(edges_b.tolist())) == 1:
        return 0.0
    return float(spearmanr(edges_a.astype(np.float64), edges_b.astype(np.float64)).statistic)


def rank_models(
    scores: Mapping[tuple[str, str, str, str], float], outputs: Mapping[str, str]
) -> dict[str, list[str]]:
    """For every target: the other models by falling similarity of output graphs, then by name.

    ``scores`` is keyed by (source model, source layer, target model, target layer).
    """
    return {
        target: [
            source
            for _, source in sorted(
                (-scores[source, outputs[source], target, outputs[target]], source)
                for source in outputs
                if source != target and (source, outputs[source], target, outputs[target]) in scores
            )
        ]
        for target in outputs
    }


def rank_layers(
    scores: Mapping[tuple[str, str, str, str], float],
    layers: Sequence[str],
    source: str,
    target: str,
    target_layer: str,
) -> list[str]:
    """Eq. 6: the source's layers (given in firing order) by falling similarity, then by depth."""
    found = [
        (-scores[source, layer, target, target_layer], depth, layer)
        for depth, layer in enumerate(layers)
        if (source, layer, target, target_layer) in scores
    ]
    return [layer for _, _, layer in sorted(found)]
