"""Who is ranked against whom: the candidate sources of a target, in the order that breaks ties.

The same rankings as `depara.similarity.model_ranking` and `layer_ranking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Ranking = Literal["model", "layer"]
"""model: other models' output graphs; layer: the layers of one other model at a time."""

RANKINGS: tuple[Ranking, ...] = ("model", "layer")

Candidates = NDArray[np.intp]
Int32 = NDArray[np.int32]


class GraphLabel(Protocol):
    """What a graph is called, and what it stands for."""

    @property
    def model_id(self) -> str:
        """Its model."""

    @property
    def layer(self) -> str:
        """Its layer."""

    @property
    def depth(self) -> int:
        """The layer's 0-based place in firing order."""

    @property
    def is_output(self) -> bool:
        """Whether it stands for the model in the model ranking."""


def candidate_groups(
    sources: Sequence[GraphLabel], target: GraphLabel, ranking: Ranking
) -> list[Candidates]:
    """Returns the places of the sources that are ranked together, best name first.

    The target's own model is no candidate. Output graphs are in order of their model's name; layers
    in firing order, then by name: equal similarities rank in this order.
    """
    others = [place for place, source in enumerate(sources) if source.model_id != target.model_id]
    if ranking == "model":
        outputs = [place for place in others if sources[place].is_output]
        outputs.sort(key=lambda place: sources[place].model_id)
        return [np.array(outputs, dtype=np.intp)] if outputs else []
    layers: dict[str, list[int]] = {}
    for place in others:
        layers.setdefault(sources[place].model_id, []).append(place)
    for places in layers.values():
        places.sort(key=lambda place: (sources[place].depth, sources[place].layer))
    return [np.array(places, dtype=np.intp) for _, places in sorted(layers.items())]


def ranks(similarity_Rg: NDArray[np.floating]) -> Int32:
    """Returns the rank of each candidate in each row: int32 ``(R, g)``, 1 is the most similar.

    Equal similarities rank in the order of the candidates.
    """
    order_Rg = np.argsort(-similarity_Rg, axis=1, kind="stable")
    ranks_Rg = np.empty(similarity_Rg.shape, dtype=np.int32)
    places_1g = np.arange(1, similarity_Rg.shape[1] + 1, dtype=np.int32)[None]
    np.put_along_axis(ranks_Rg, order_Rg, places_1g, axis=1)
    return ranks_Rg
