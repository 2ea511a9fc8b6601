"""The label-free neighbours of DEPARA's similarity: one table of scores, all inner products.

``N`` probes, ``E = N(N-1)/2``, ``A`` source graphs, ``B`` target graphs, ``V`` values of a vector.

Every score is ``<u, v>`` with ``u`` made from the source's Grams alone and ``v`` from the target's:
all pairs of two blocks are one matrix product, as for node and edge similarity, and the pair loop
of the papers is gone. What each score means, and where it is from, is in `depara.catalog.SCORES`.

Constant features (to single precision) have zero vectors: they score 0 with everything, never NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from depara.catalog import SCORES, Score, load
from depara.errors import near_names
from depara.grams import ROUNDING, GraphGrams, centred
from depara.graph.edges import edges_from_gram
from depara.graph.ranks import rank_vector
from depara.similarity.condensed import condense, condensed_length
from depara.similarity.directed import directed_source, directed_target
from depara.similarity.edges import inner_products
from depara.similarity.grams import (
    cosine_matrix,
    distances,
    gaussian_kernel,
    pearson_matrix,
    u_centred,
)
from depara.similarity.gulp import SMOOTHER, gulp_source, gulp_target
from depara.similarity.layouts import CONDENSED, EDGES, SQUARE, Layout
from depara.similarity.neighbourhoods import COSINES, lsim_vector, mutual_knn_vector
from depara.types import Float32, Float64

Role = Literal["source", "target"]

BANDWIDTH = 0.5
"""Width of the kernel of `rbf_cka` in medians of the distances."""


@dataclass(frozen=True)
class Vectors:
    """The two vectors of a score; ``layout`` says how they hold their matrices.

    ``symmetric``: a pair has one value, whichever of the two is the source. It follows where both
    roles have the same vector, and is said where they have not.
    """

    source_vector: Callable[[GraphGrams], Float32]
    target_vector: Callable[[GraphGrams], Float32]
    layout: Layout
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.has_one_vector:
            object.__setattr__(self, "symmetric", True)

    @property
    def has_one_vector(self) -> bool:
        """Whether a graph has the same vector as a source and as a target."""
        return self.source_vector is self.target_vector


def rsa_vector(grams: GraphGrams) -> Float32:
    """Returns the rank vector of the condensed Pearson dissimilarities of raw features: ``E``.

    Spearman's rho of ``1 - p`` and ``1 - p'`` is that of ``p`` and ``p'``, so correlations are
    ranked as they are. Free of each probe's own shift and positive scale.
    """
    correlation_NN = pearson_matrix(grams.raw_NN, grams.raw_sums_N, grams.num_features)
    return rank_vector(edges_from_gram(correlation_NN))


def rsa_zscore_vector(grams: GraphGrams) -> Float32:
    """Returns the same as `rsa_vector` of z-scored features: free of each dimension's scale."""
    correlation_NN = pearson_matrix(grams.zscored_NN, grams.zscored_sums_N, grams.num_features)
    return rank_vector(edges_from_gram(correlation_NN))


def dds_vector(grams: GraphGrams) -> Float32:
    """Returns ``H C H`` over its Frobenius norm, condensed, ``C`` the cosines of z-scored features.

    The dissimilarities ``1 - C`` centre to ``-H C H``; the sign cancels between two graphs. Free of
    each dimension's own shift and scale. The authors' code centres as `u_centred` does; for the
    hundreds of probes of a scan the two rank alike.
    """
    cosine_NN = cosine_matrix(grams.zscored_NN)
    return _unit_vector(centred(cosine_NN), float(np.linalg.norm(cosine_NN)))


def cka_vector(grams: GraphGrams) -> Float32:
    """Returns the U-centred raw Gram over its Frobenius norm, condensed.

    The unbiased HSIC of a graph with itself is the squared norm of its U-centred Gram over
    ``N(N-3)``, hence never negative; where it vanishes the score is defined as 0. Free of
    rotations, reflections, shift and isotropic scale of the features.
    """
    return _unit_vector(u_centred(grams.raw_NN), float(np.linalg.norm(grams.raw_NN)))


def rbf_cka_vector(grams: GraphGrams) -> Float32:
    """Returns the same as `cka_vector` of a Gaussian kernel of half the median distance.

    The kernel falls to 0.14 at the median distance, so that near probes decide. With its width the
    score tends to `cka` (Alvarez, "Gaussian RBF CKA in the Large Bandwidth Limit", 2021).
    """
    distances_NN = distances(grams.centred_NN)
    if not distances_NN.any():
        return np.zeros(condensed_length(grams.num_probes), dtype=np.float32)
    kernel_NN = gaussian_kernel(distances_NN, BANDWIDTH)
    return _unit_vector(u_centred(kernel_NN), float(np.linalg.norm(kernel_NN)))


RSA = Vectors(rsa_vector, rsa_vector, EDGES)
RSA_ZSCORE = Vectors(rsa_zscore_vector, rsa_zscore_vector, EDGES)
DDS = Vectors(dds_vector, dds_vector, CONDENSED)
CKA = Vectors(cka_vector, cka_vector, CONDENSED)
RBF_CKA = Vectors(rbf_cka_vector, rbf_cka_vector, CONDENSED)
GULP = Vectors(gulp_source, gulp_target, SMOOTHER, symmetric=True)
MUTUAL_KNN = Vectors(mutual_knn_vector, mutual_knn_vector, SQUARE)
LSIM = Vectors(lsim_vector, lsim_vector, COSINES)
DIRECTED = Vectors(directed_source, directed_target, CONDENSED)


def find_vectors(name: str) -> Vectors:
    """Returns the vectors of a score of `depara.catalog.SCORES`.

    Raises:
        ValueError: no such score.
    """
    vectors: Vectors = load(_row(name).code)
    return vectors


def defined_scores(names: Iterable[str], num_probes: int) -> list[str]:
    """Returns those of some scores that so many probes define."""
    return [name for name in names if num_probes >= _row(name).min_probes]


def score_vectors(name: str, grams: GraphGrams, role: Role) -> Float32:
    """Returns one graph's vector of a score: float32 ``(V,)``.

    Args:
        name: a key of `SCORES`.
        grams: of the graph.
        role: ``source`` or ``target``; most symmetric scores have the same vector for both.

    Raises:
        ValueError: no such score, or fewer probes than it needs.
    """
    row, vectors = _row(name), find_vectors(name)
    if grams.num_probes < row.min_probes:
        raise ValueError(
            f"{name} needs at least {row.min_probes} probes, got {grams.num_probes}: raise "
            "probes.count"
        )
    vector = vectors.source_vector if role == "source" else vectors.target_vector
    return vector(grams)


def score_block(name: str, source_vectors_AV: Float32, target_vectors_BV: Float32) -> Float64:
    """Returns the score of every pair of two blocks, as `score_and_product` has it."""
    return score_and_product(name, source_vectors_AV, target_vectors_BV)[0]


def score_and_product(
    name: str, source_vectors_AV: Float32, target_vectors_BV: Float32
) -> tuple[Float64, Float64]:
    """Returns the score of every pair of two blocks: float64 ``(A, B)``.

    Beside it stands the inner product of the matrices alone, which lacks what `Layout.own` adds.

    Inner products in single precision within a range of values, summed in double precision over
    the ranges, and cut off at the ends of the score's interval that rounding oversteps. The same
    object for both blocks of a score with one vector is computed at half the work.

    Args:
        name: a key of `SCORES`.
        source_vectors_AV: `score_vectors` of the sources, one row each.
        target_vectors_BV: `score_vectors` of the targets over the same probes.

    Raises:
        ValueError: no such score; vectors of different lengths; the same vectors for both roles
            of a score that has two.
    """
    row = _row(name)
    if source_vectors_AV is target_vectors_BV and not find_vectors(name).has_one_vector:
        raise ValueError(
            f"{name} has other vectors for targets than for sources: make both, by their role"
        )
    if source_vectors_AV.shape[1] != target_vectors_BV.shape[1]:
        raise ValueError(
            f"{name} vectors of sources have {source_vectors_AV.shape[1]} values, of targets "
            f"{target_vectors_BV.shape[1]}: both need the same score and the same probe set"
        )
    length = source_vectors_AV.shape[1] - find_vectors(name).layout.own
    products_AB = inner_products(source_vectors_AV[:, :length], target_vectors_BV[:, :length])
    own_AB = source_vectors_AV[:, length:].astype(np.float64) @ target_vectors_BV[:, length:].T
    return np.clip(products_AB + own_AB, row.lowest, 1.0), products_AB


def _row(name: str) -> Score:
    if name not in SCORES:
        hint = near_names(name, SCORES) or f"known: {', '.join(SCORES)}"
        raise ValueError(f"no score {name!r}: {hint}")
    return SCORES[name]


def _unit_vector(matrix_NN: Float64, scale: float) -> Float32:
    """Returns the condensed matrix over its norm; 0 where it is rounding beside ``scale``."""
    norm = float(np.linalg.norm(matrix_NN))
    if norm <= ROUNDING * scale:
        return np.zeros(condensed_length(len(matrix_NN)), dtype=np.float32)
    return condense(matrix_NN, norm)
