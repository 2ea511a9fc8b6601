"""Terms of the similarity under every resample, beside node and edge similarity.

``A`` source graphs, ``B`` target graphs, ``N`` probes, ``R`` resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from depara.catalog import TERMS
from depara.similarity.centre import Centre, Centred, centred_similarity
from depara.similarity.directed import leave_one_out_residuals
from depara.similarity.engine.blocks import GraphBlock
from depara.similarity.gulp import RIDGE, smoother
from depara.types import Float32, Float64
from depara.uncertainty.intervals import ScoreIntervals, score_intervals
from depara.uncertainty.resampling import ResampledScores
from depara.uncertainty.weights import ProbeWeights

_TARGETS_SHARE = 1 / 4
"""Of the memory, for the Grams of the targets whose errors are computed together."""


@dataclass(frozen=True)
class BlockCentre:
    """How a block's sources and targets lie to the zoo's mean map."""

    sources: Centre
    targets: Centre


class ResampledTerm(Protocol):
    """A term that follows from few numbers per probe."""

    def of_target(self, place: int, node_AR: Float32) -> Float32:
        """Returns the term of all sources with one target, ``(A, R)``."""


@dataclass(frozen=True)
class CentredTerm:
    """``node_centred`` under every resample: from node similarity and the products with the mean.

    Which map is the mean one is that of all probes, each for itself: no resample changes it.
    """

    sources: Centred
    targets: Centred

    @classmethod
    def of(cls, centre: BlockCentre, weights: ProbeWeights) -> CentredTerm:
        """Returns the term of a block."""
        weights_RN = weights.weights_RN
        shares_RN = weights_RN / weights_RN.sum(axis=1, keepdims=True)
        return cls(centre.sources.weighted(shares_RN), centre.targets.weighted(shares_RN))

    def of_target(self, place: int, node_AR: Float32) -> Float32:
        """Returns the term of all sources with one target, ``(A, R)``."""
        found_AR = centred_similarity(node_AR, self.sources, self.targets, place)
        return found_AR.astype(np.float32, copy=False)


@dataclass(frozen=True)
class DirectedTerm:
    """``directed`` under every resample: the errors at the drawn probes over their variance.

    The errors of the left-out probes are those of the smoothers of all probes: what is resampled is
    which probes are predicted, not what was learned from (the bootstrap of a cross-validation's
    errors). Intervals are too narrow by as much as the fits vary.
    """

    errors_ABN: Float32
    squares_BN: Float32
    weights_RN: Float32

    @classmethod
    def of(
        cls, source: GraphBlock, target: GraphBlock, weights: ProbeWeights, memory_bytes: int
    ) -> DirectedTerm:
        """Returns the term of a block; its Grams are read.

        Raises:
            StoreError, NonFiniteError: Grams cannot be used.
        """
        num_probes = weights.weights_RN.shape[1]
        shape = (source.num_graphs, target.num_graphs, num_probes)
        errors_ABN = np.empty(shape, np.float32)
        squares_BN = np.empty(shape[1:], np.float32)
        group = targets_at_once(num_probes, memory_bytes)
        for start in range(0, target.num_graphs, group):
            places = range(start, min(start + group, target.num_graphs))
            grams_GNN = np.stack([_of_trace_1(target, place) for place in places])
            squares_BN[places] = np.diagonal(grams_GNN, axis1=1, axis2=2)
            for graph in range(source.num_graphs):
                residuals_NN = leave_one_out_residuals(source.read_grams(graph)).astype(np.float32)
                for place, gram_NN in zip(places, grams_GNN, strict=True):
                    predicted_NN = residuals_NN @ gram_NN
                    np.einsum("pk,pk->p", predicted_NN, residuals_NN, out=errors_ABN[graph, place])
        return cls(errors_ABN, squares_BN, weights.weights_RN)

    def of_target(self, place: int, node_AR: Float32) -> Float32:
        """Returns the term of all sources with one target, ``(A, R)``; 0 for constant features."""
        variance_R = self.weights_RN @ self.squares_BN[place]
        found_AR = self.errors_ABN[:, place] @ self.weights_RN.T
        np.divide(found_AR, variance_R, out=found_AR, where=variance_R > 0)
        np.subtract(1, found_AR, out=found_AR)
        found_AR[:, variance_R <= 0] = 0
        return found_AR


@dataclass(frozen=True)
class GulpTerm:
    """``gulp`` under every resample: the squared differences of predictions at the drawn probes.

    With smoothers ``S``, ``S'`` and ``e_p = sum_q (S - S')_pq^2`` the score of all probes is
    ``1 - sum_p e_p / (N - 1)``; of a resample ``e_p`` counts as often as probe ``p`` is drawn. As
    for `DirectedTerm`, the smoothers are those of all probes: intervals are too narrow by as much
    as the fits vary. 0 where features are constant.
    """

    differences_ABN: Float32
    is_constant_AB: NDArray[np.bool_]
    weights_RN: Float32

    @classmethod
    def of(
        cls, source: GraphBlock, target: GraphBlock, weights: ProbeWeights, memory_bytes: int
    ) -> GulpTerm:
        """Returns the term of a block; its Grams are read.

        Raises:
            StoreError, NonFiniteError: Grams cannot be used.
        """
        num_probes = weights.weights_RN.shape[1]
        shape = (source.num_graphs, target.num_graphs, num_probes)
        differences_ABN = np.empty(shape, np.float32)
        is_constant_AB = np.zeros(shape[:2], np.bool_)
        group = targets_at_once(num_probes, memory_bytes)
        for start in range(0, target.num_graphs, group):
            places = range(start, min(start + group, target.num_graphs))
            smoothers = [_smoother(target, place) for place in places]
            is_constant_AB[:, places] |= [one is None for one in smoothers]
            for graph in range(source.num_graphs):
                smoother_NN = _smoother(source, graph)
                is_constant_AB[graph] |= smoother_NN is None
                for place, other_NN in zip(places, smoothers, strict=True):
                    if smoother_NN is not None and other_NN is not None:
                        apart_NN = smoother_NN - other_NN
                        out = differences_ABN[graph, place]
                        np.einsum("pk,pk->p", apart_NN, apart_NN, out=out)
        differences_ABN[is_constant_AB] = 0
        return cls(differences_ABN, is_constant_AB, weights.weights_RN)

    def of_target(self, place: int, node_AR: Float32) -> Float32:
        """Returns the term of all sources with one target, ``(A, R)``; 0 for constant features."""
        num_probes = self.weights_RN.shape[1]
        scale_R = num_probes / (num_probes - 1) / self.weights_RN.sum(axis=1)
        shares_NR = (scale_R[:, None] * self.weights_RN).T.astype(np.float32, copy=False)
        found_AR: Float32 = self.differences_ABN[:, place] @ shares_NR
        np.subtract(1, found_AR, out=found_AR)
        found_AR[self.is_constant_AB[:, place]] = 0
        return found_AR


def targets_at_once(num_probes: int, memory_bytes: int) -> int:
    """Returns how many targets' Grams are held at a time."""
    return max(1, int(_TARGETS_SHARE * memory_bytes) // (4 * num_probes**2))


def add_terms(
    resampled: ResampledScores,
    further: Mapping[str, ResampledTerm],
    terms: Mapping[str, float],
    layer_terms: Mapping[str, float] | None,
    weights: ProbeWeights,
) -> tuple[dict[str, ScoreIntervals], Float32 | None]:
    """Turns node similarities into similarities, target by target: no third array of this size.

    What ranks layers is one more array, where it is another sum.

    Args:
        resampled: whose ``node_BAR`` becomes the similarity.
        further: terms by their name in `depara.catalog.TERMS`, weighted or not.
        terms: weights of all terms.
        layer_terms: those of what ranks layers; None where the similarity does.
        weights: of the probes.

    Returns:
        The intervals of the further terms, by their column, and what ranks layers ``(B, A, R)``.
    """
    layer_BAR = None if layer_terms is None else np.empty_like(resampled.node_BAR)
    parts: dict[str, list[ScoreIntervals]] = {name: [] for name in further}
    for place, (node_AR, edge_AR) in enumerate(
        zip(resampled.node_BAR, resampled.edge_BAR, strict=True)
    ):
        found = {name: term.of_target(place, node_AR) for name, term in further.items()}
        if layer_BAR is not None and layer_terms is not None:
            layer_BAR[place] = node_AR
            _add_up(layer_BAR[place], edge_AR, found, layer_terms)
        _add_up(node_AR, edge_AR, found, terms)
        for name, term_AR in found.items():
            parts[name].append(intervals_of(term_AR[None], weights))
    joined = {TERMS[name].column: ScoreIntervals.joined(part) for name, part in parts.items()}
    return joined, layer_BAR


def _add_up(
    node_AR: Float32, edge_AR: Float32, found: Mapping[str, Float32], terms: Mapping[str, float]
) -> None:
    """Turns the node similarity of one target into the weighted sum, in place."""
    node_AR *= np.float32(terms.get("node", 0.0))
    node_AR += np.float32(terms.get("edge", 0.0)) * edge_AR
    for name, term_AR in found.items():
        node_AR += np.float32(terms.get(name, 0.0)) * term_AR


def intervals_of(score_BAR: Float32, weights: ProbeWeights) -> ScoreIntervals:
    """Returns the intervals of a score; its value is that of all probes once, the first row."""
    value_AB: Float64 = score_BAR[:, :, 0].T.astype(np.float64)
    return score_intervals(value_AB, score_BAR[:, :, weights.bootstrap])


def _smoother(block: GraphBlock, graph: int) -> Float32 | None:
    """A graph's smoother ``S`` as `gulp` has it, None where its features are constant."""
    gram_NN = block.read_grams(graph).centred_NN
    return smoother(gram_NN, RIDGE).astype(np.float32) if gram_NN.any() else None


def _of_trace_1(block: GraphBlock, graph: int) -> Float32:
    gram_NN = block.read_grams(graph).zscored_NN
    scaled_NN: Float32 = (gram_NN / (np.trace(gram_NN) or 1.0)).astype(np.float32)
    return scaled_NN
