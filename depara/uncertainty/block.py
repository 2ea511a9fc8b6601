"""The uncertainty of one block of sources against one block of targets: what one task computes.

``A`` source graphs, ``B`` target graphs, ``N`` probes, ``R`` resamples.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depara.similarity.combine import combine
from depara.similarity.engine.blocks import GraphBlock
from depara.types import Float32
from depara.uncertainty.candidates import (
    RANKINGS,
    Candidates,
    GraphLabel,
    Ranking,
    candidate_groups,
)
from depara.uncertainty.intervals import (
    RankIntervals,
    ScoreIntervals,
    rank_intervals,
    score_intervals,
)
from depara.uncertainty.resampling import resampled_scores
from depara.uncertainty.settings import UncertaintySettings
from depara.uncertainty.stability import Stability, ranking_stability
from depara.uncertainty.terms import (
    BlockCentre,
    CentredTerm,
    DirectedTerm,
    GulpTerm,
    ResampledTerm,
    add_terms,
    intervals_of,
)

LAYER_SIMILARITY = "layer_similarity"
"""The name of what ranks layers in ``uncertainty``, where that is not ``similarity``."""


@dataclass(frozen=True)
class ModelUncertainty:
    """What is known of the model ranking: rank intervals and stability."""

    ranks: RankIntervals
    stability: Stability


@dataclass(frozen=True)
class BlockUncertainty:
    """Intervals of the scores of every pair of a block, and of the rankings that were asked for.

    ``wanted_AB`` says which pairs are meant, None for all: others are in no ranking, and in no
    table. ``scores`` holds ``similarity`` and its terms by their column: ``node_centred`` where
    there is a centre, ``directed`` and ``gulp`` where they have a weight; and `LAYER_SIMILARITY`
    where layers are ranked by another sum.
    """

    sources: tuple[GraphLabel, ...]
    targets: tuple[GraphLabel, ...]
    num_resamples: int
    scores: Mapping[str, ScoreIntervals]
    model: ModelUncertainty | None
    layer_ranks: RankIntervals | None
    wanted_AB: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.sources), len(self.targets))
        assert all(score.value_AB.shape == shape for score in self.scores.values())

    def of_targets(self, models: Collection[str]) -> BlockUncertainty | None:
        """Returns the same of the targets of some models alone; None where it has none of them.

        What is known of the model ranking as a whole stays that of all targets of the block.
        """
        kept = [place for place, label in enumerate(self.targets) if label.model_id in set(models)]
        if not kept:
            return None
        return replace(
            self,
            targets=tuple(self.targets[place] for place in kept),
            scores={name: score.columns(kept) for name, score in self.scores.items()},
            model=self.model and replace(self.model, ranks=self.model.ranks.columns(kept)),
            layer_ranks=self.layer_ranks and self.layer_ranks.columns(kept),
            wanted_AB=None if self.wanted_AB is None else self.wanted_AB[:, kept],
        )


def block_uncertainty(
    source: GraphBlock,
    target: GraphBlock,
    *,
    sources: Sequence[GraphLabel],
    targets: Sequence[GraphLabel],
    num_probes: int,
    terms: Mapping[str, float],
    memory_bytes: int,
    layer_terms: Mapping[str, float] | None = None,
    centre: BlockCentre | None = None,
    settings: UncertaintySettings = UncertaintySettings(),  # noqa: B008 (frozen)
    rankings: Collection[Ranking] = RANKINGS,
    cosines_ABN: Float32 | None = None,
    wanted_AB: NDArray[np.bool_] | None = None,
) -> BlockUncertainty:
    """Returns how far the scores and ranks of a block would move with other probes of their kind.

    The probes are resampled with replacement (Efron, 1979), nodes and edges of one resample
    together, so that the interval of their sum holds their correlation. Ranks are taken anew in
    every resample. Seeded: the result depends on the graphs, the settings and ``terms`` alone, not
    on blocks or memory.

    A ranking is of the sources given: the model ranking needs every model's output graph, the layer
    ranking all layers of each model that it holds. BLAS threads are the caller's to set.

    Args:
        source: block of the ``A`` sources.
        target: block of the ``B`` targets over the same probe set.
        sources: labels of the sources, in the block's order.
        targets: labels of the targets, which are output graphs.
        num_probes: ``N``, all probes of the set.
        terms: weights of the terms of the similarity.
        memory_bytes: limit of what this call allocates, the blocks' own reading included.
        layer_terms: weights of what ranks layers; None where the similarity does.
        centre: how the sources and the targets lie to the zoo's mean map; ``node_centred`` needs
            it.
        settings: resamples and subsets.
        rankings: which rankings to analyse.
        cosines_ABN: `node_cosines` of all probes where they are known; no map is then read.
        wanted_AB: which pairs are candidates, where not all are: the others are resampled with
            them, and dropped.

    Raises:
        ConfigError: the block does not fit in ``memory_bytes``, or the maps' sizes differ.
        StoreError: ranges do not cover the probes, an array read has the wrong shape, or maps are
            not of unit norm.
        NonFiniteError: edges that were read are NaN or infinite.
        ValueError: labels are not those of the blocks, or a target is no output graph.
    """
    _check_labels(source, target, sources, targets)
    weighted = {name for one in (terms, layer_terms or {}) for name, w in one.items() if w}
    if centre is None and "node_centred" in weighted:
        raise ValueError("node_centred has a weight: give the centre of the zoo")
    weights = settings.weights(num_probes, with_subsets="model" in rankings)
    resampled = resampled_scores(
        source, target, weights.weights_RN, memory_bytes=memory_bytes, cosines_ABN=cosines_ABN
    )
    scores = {
        "node_similarity": intervals_of(resampled.node_BAR, weights),
        "edge_similarity": intervals_of(resampled.edge_BAR, weights),
    }
    further: dict[str, ResampledTerm] = {}
    if centre is not None:
        further["node_centred"] = CentredTerm.of(centre, weights)
    for name, kind in (("directed", DirectedTerm), ("gulp", GulpTerm)):
        if name in weighted:
            further[name] = kind.of(source, target, weights, memory_bytes)
    found, layer_BAR = add_terms(resampled, further, terms, layer_terms, weights)
    scores |= found
    values = {name: score.value_AB for name, score in scores.items()}
    similarity_BAR = resampled.node_BAR
    value_AB, bootstrap_BAR = combine(values, terms), similarity_BAR[:, :, weights.bootstrap]
    scores["similarity"] = score_intervals(value_AB, bootstrap_BAR)
    ranked = dict.fromkeys(RANKINGS, (value_AB, bootstrap_BAR))
    if layer_BAR is not None and layer_terms is not None:
        ranked["layer"] = combine(values, layer_terms), layer_BAR[:, :, weights.bootstrap]
        scores[LAYER_SIMILARITY] = score_intervals(*ranked["layer"])
    groups = {
        ranking: [
            _wanted(candidate_groups(sources, label, ranking), wanted_AB, place)
            for place, label in enumerate(targets)
        ]
        for ranking in rankings
    }
    ranks = {
        ranking: rank_intervals(*ranked[ranking], groups_B) for ranking, groups_B in groups.items()
    }
    model = None
    if "model" in ranks:
        stability = ranking_stability(similarity_BAR, weights, groups["model"])
        model = ModelUncertainty(ranks["model"], stability)
    return BlockUncertainty(
        sources=tuple(sources),
        targets=tuple(targets),
        num_resamples=settings.num_resamples,
        scores=scores,
        model=model,
        layer_ranks=ranks.get("layer"),
        wanted_AB=wanted_AB,
    )


def _wanted(
    groups: list[Candidates], wanted_AB: NDArray[np.bool_] | None, target: int
) -> list[Candidates]:
    if wanted_AB is None:
        return groups
    kept = (group[wanted_AB[group, target]] for group in groups)
    return [group for group in kept if group.size]


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
