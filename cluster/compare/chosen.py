"""Which pairs of a zoo are compared where all are too many: each target with its nearest models.

Targets are the models' output graphs, in one order: target ``b`` is model ``b``.

``A`` sources, ``B`` targets and as many models ``M``, ``K`` models of a target, ``R`` pairs of
graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

from depara.similarity.stored import GraphRef

Places = NDArray[np.int64]

COMPARED_GRAPH, RESAMPLED_GRAPH = 1000, 40
"""Pairs that cost as much as a graph, roughly: to read it and make its vectors of all scores, and
to rank its edges in every resample (benchmarks/results/nearest_pairs.md)."""

_SIZES = tuple(1 << power for power in range(3, 13))
"""Targets of a block, tried in turn."""

_MISSING = -1


@dataclass(frozen=True, eq=False)
class ChosenModels:
    """For each target, the models whose graphs it is compared with.

    ``models_BK`` are the models, -1 for none, each once; ``graphs`` the places of each model's
    graphs, and its twins', among the sources.
    """

    models_BK: NDArray[np.int32]
    graphs: tuple[Places, ...]

    @cached_property
    def _counts_M(self) -> Places:
        return np.array([*map(len, self.graphs), 0], np.int64)  # that of -1 is the last

    @cached_property
    def counts_B(self) -> Places:
        """How many graphs each target is compared with."""
        counts_B: Places = self._counts_M[self.models_BK].sum(axis=1)
        return counts_B

    @property
    def num_pairs(self) -> int:
        """Pairs of graphs in all."""
        return int(self.counts_B.sum())

    def sources_of(self, targets: Sequence[int] | Places) -> Places:
        """Returns all sources that some targets are compared with, in order."""
        models = np.unique(self.models_BK[np.asarray(targets, np.int64)])
        found = [self.graphs[model] for model in models.tolist() if model != _MISSING]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)

    def pairs_of(self, targets: Sequence[int]) -> tuple[Places, Places]:
        """Returns the pairs with some targets: places of sources, and in ``targets``: ``R`` each.

        By target in the order given, then by source.
        """
        sources = [self.sources_of([target]) for target in targets]
        columns = np.repeat(np.arange(len(targets)), [len(one) for one in sources])
        return np.concatenate([np.empty(0, np.int64), *sources]), columns

    def without(self, known: ChosenModels | None) -> ChosenModels:
        """Returns what is left of it when other pairs of models are known."""
        if known is None:
            return self
        models_BK = self.models_BK.copy()
        for row, others in zip(models_BK, known.models_BK, strict=True):
            row[np.isin(row, others)] = _MISSING
        return replace(self, models_BK=models_BK)

    def blocks(
        self, graph_cost: float = COMPARED_GRAPH
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Returns rectangles that cover all pairs: sources, and targets.

        Targets that share models stand together (reverse Cuthill-McKee), in blocks of the size that
        is estimated to cost least: larger ones read a graph less often, and compare more pairs that
        nobody asked for.
        """
        order = self._order()
        if not len(order):
            return []
        tried = (self._cuts(order, size, graph_cost) for size in _SIZES)
        cuts = min(tried, key=lambda found: found[0])[1]
        return [
            (tuple(self.sources_of(block).tolist()), tuple(sorted(block.tolist())))
            for block in (order[start:stop] for start, stop in pairwise(cuts))
        ]

    def _order(self) -> Places:
        rows, columns = np.nonzero(self.models_BK != _MISSING)
        ones = np.ones(len(rows), np.int32)
        shape = (len(self.models_BK), len(self.models_BK))
        shared = sparse.csr_matrix((ones, (rows, self.models_BK[rows, columns])), shape)
        order = reverse_cuthill_mckee(shared + shared.T, symmetric_mode=True).astype(np.int64)
        wanted: Places = order[self.counts_B[order] > 0]
        return wanted

    def _cuts(self, order: Places, size: int, graph_cost: float) -> tuple[float, list[int]]:
        cuts = [*range(0, len(order), size), len(order)]
        cost = 0.0
        for start, stop in pairwise(cuts):
            models = np.unique(self.models_BK[order[start:stop]])
            cost += float(self._counts_M[models].sum()) * (graph_cost + stop - start)
            cost += graph_cost * (stop - start)
        return cost, cuts


def graphs_of_models(
    sources: Sequence[GraphRef], outputs: Sequence[GraphRef]
) -> tuple[Places, ...]:
    """Returns the places of each model's graphs among the sources, its twins' with them.

    Args:
        sources: all graphs.
        outputs: those that stand for the models, in the models' order.
    """
    place = {graph.model_id: index for index, graph in enumerate(outputs)}
    found: list[list[int]] = [[] for _ in outputs]
    for index, graph in enumerate(sources):
        model = place.get(graph.null_of or graph.model_id)
        if model is not None:  # a twin may stand beside a model that failed
            found[model].append(index)
    return tuple(np.array(one, np.int64) for one in found)


def known_models(
    chosen: ChosenModels, is_same_M: NDArray[np.bool_], compared: Places | None
) -> ChosenModels:
    """Returns the pairs of models that an earlier scan has compared, of those that are chosen.

    Args:
        chosen: what is compared now.
        is_same_M: whether a model's graphs, and its twins', are those of the earlier scan.
        compared: the pairs of that scan, as ``target * M + model``, each target with itself aside;
            None where it compared all.
    """
    models_BK = chosen.models_BK
    own_B1 = np.arange(len(models_BK))[:, None]
    is_known_BK = (models_BK != _MISSING) & is_same_M[models_BK] & is_same_M[own_B1]
    if compared is not None:
        codes_BK = own_B1 * len(models_BK) + models_BK
        is_known_BK &= np.isin(codes_BK, compared) | (models_BK == own_B1)
    return replace(chosen, models_BK=np.where(is_known_BK, models_BK, np.int32(_MISSING)))
