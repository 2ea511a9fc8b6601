"""The uncertainty of one block of sources against one block of targets: what one task computes.

``A`` source graphs, ``B`` target graphs, ``N`` probes, ``R`` resamples.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from depara.similarity.combine import combine
from depara.similarity.engine.blocks import GraphBlock
from depara.types import Float32, Float64
from depara.uncertainty.candidates import RANKINGS, GraphLabel, Ranking, candidate_groups
from depara.uncertainty.intervals import (
    RankIntervals,
    ScoreIntervals,
    rank_intervals,
    score_intervals,
)
from depara.uncertainty.resampling import ResampledScores, resampled_scores
from depara.uncertainty.settings import UncertaintySettings
from depara.uncertainty.stability import Stability, ranking_stability
from depara.uncertainty.weights import ProbeWeights


@dataclass(frozen=True)
class ModelUncertainty:
    """What is known of the model ranking: rank intervals and stability."""

    ranks: RankIntervals
    stability: Stability


@dataclass(frozen=True)
class BlockUncertainty:
    """Intervals of the scores of every pair of a block, and of the rankings that were asked for."""

    sources: tuple[GraphLabel, ...]
    targets: tuple[GraphLabel, ...]
    num_resamples: int
    node: ScoreIntervals
    edge: ScoreIntervals
    similarity: ScoreIntervals
    model: ModelUncertainty | None
    layer_ranks: RankIntervals | None

    def __post_init__(self) -> None:
        assert self.node.value_AB.shape == (len(self.sources), len(self.targets))


def block_uncertainty(
    source: GraphBlock,
    target: GraphBlock,
    *,
    sources: Sequence[GraphLabel],
    targets: Sequence[GraphLabel],
    num_probes: int,
    lambda_: float,
    memory_bytes: int,
    settings: UncertaintySettings = UncertaintySettings(),  # noqa: B008 (frozen)
    rankings: Collection[Ranking] = RANKINGS,
    cosines_ABN: Float32 | None = None,
) -> BlockUncertainty:
    """Returns how far the scores and ranks of a block would move with other probes of their kind.

    The probes are resampled with replacement (Efron, 1979), nodes and edges of one resample
    together, so that the interval of ``s = s_V + lambda * s_E`` holds their correlation. Ranks are
    taken anew in every resample. Seeded: the result depends on the graphs, the settings and
    ``lambda_`` alone, not on blocks or memory.

    A ranking is of the sources given: the model ranking needs every model's output graph, the layer
    ranking all layers of each model that it holds. BLAS threads are the caller's to set.

    Args:
        source: block of the ``A`` sources.
        target: block of the ``B`` targets over the same probe set.
        sources: labels of the sources, in the block's order.
        targets: labels of the targets, which are output graphs.
        num_probes: ``N``, all probes of the set.
        lambda_: the scan's weight of the edges.
        memory_bytes: limit of what this call allocates, the blocks' own reading included.
        settings: resamples and subsets.
        rankings: which rankings to analyse.
        cosines_ABN: `node_cosines` of all probes where they are known; no map is then read.

    Raises:
        ConfigError: the block does not fit in ``memory_bytes``, or the maps' sizes differ.
        StoreError: ranges do not cover the probes, an array read has the wrong shape, or maps are
            not of unit norm.
        NonFiniteError: edges that were read are NaN or infinite.
        ValueError: labels are not those of the blocks, or a target is no output graph.
    """
    _check_labels(source, target, sources, targets)
    weights = settings.weights(num_probes, with_subsets="model" in rankings)
    resampled = resampled_scores(
        source, target, weights.weights_RN, memory_bytes=memory_bytes, cosines_ABN=cosines_ABN
    )
    node = _intervals(resampled.node_BAR, weights)
    edge = _intervals(resampled.edge_BAR, weights)
    value_AB = combine(node.value_AB, edge.value_AB, lambda_)
    similarity_BAR = _combine_in_place(resampled, lambda_)
    bootstrap_BAR = similarity_BAR[:, :, weights.bootstrap]
    groups = {
        ranking: [candidate_groups(sources, label, ranking) for label in targets]
        for ranking in rankings
    }
    ranks = {
        ranking: rank_intervals(value_AB, bootstrap_BAR, groups_B)
        for ranking, groups_B in groups.items()
    }
    model = None
    if "model" in ranks:
        stability = ranking_stability(similarity_BAR, weights, groups["model"])
        model = ModelUncertainty(ranks["model"], stability)
    return BlockUncertainty(
        sources=tuple(sources),
        targets=tuple(targets),
        num_resamples=settings.num_resamples,
        node=node,
        edge=edge,
        similarity=score_intervals(value_AB, bootstrap_BAR),
        model=model,
        layer_ranks=ranks.get("layer"),
    )


def _intervals(score_BAR: Float32, weights: ProbeWeights) -> ScoreIntervals:
    """Returns the intervals of a score; its value is that of all probes once, the first row."""
    value_AB: Float64 = score_BAR[:, :, 0].T.astype(np.float64)
    return score_intervals(value_AB, score_BAR[:, :, weights.bootstrap])


def _combine_in_place(resampled: ResampledScores, lambda_: float) -> Float32:
    """Turns node similarities into similarities, target by target: no third array of this size."""
    for node_AR, edge_AR in zip(resampled.node_BAR, resampled.edge_BAR, strict=True):
        node_AR += np.float32(lambda_) * edge_AR
    return resampled.node_BAR


def _check_labels(
    source: GraphBlock,
    target: GraphBlock,
    sources: Sequence[GraphLabel],
    targets: Sequence[GraphLabel],
) -> None:
    counts = (source.num_graphs, target.num_graphs)
    if counts != (len(sources), len(targets)):
        raise ValueError(
            f"blocks of {counts[0]} sources and {counts[1]} targets need as many labels, got "
            f"{len(sources)} and {len(targets)}"
        )
    inner = [label for label in targets if not label.is_output]
    if inner:
        raise ValueError(
            f"target {inner[0].layer!r} of model {inner[0].model_id!r} is no output graph: "
            "rankings are of output graphs"
        )
