"""Which models each target is compared with, and what an earlier ``nearest`` table says of it.

``B`` targets and as many models ``M``, ``K`` candidates of a target, ``R`` rows of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from cluster.compare.chosen import ChosenModels, Places, graphs_of_models
from depara.identity import short_hash
from depara.nearest.pairs import BestSources
from depara.similarity.stored import GraphRef
from depara.similarity.text_codes import text_codes, texts_of
from depara.store.sketches import SKETCH_VERSION

LOOKED_AT = 2
"""As many times the models wanted are kept: they tell how many of the nearest may be missed, and
take the places of models that leave the zoo."""

_ENOUGH = 1.5


@dataclass(frozen=True, eq=False)
class Choice:
    """What is compared; all candidates; and how many of a target's nearest may be missed."""

    chosen: ChosenModels
    best: BestSources
    expected_missed: float

    @classmethod
    def of(
        cls,
        best: BestSources,
        wanted: int,
        sources: Sequence[GraphRef],
        models: Sequence[GraphRef],
    ) -> Choice:
        """Returns the choice of the best ``wanted`` candidates of each target, and itself."""
        own_B1 = np.arange(len(models), dtype=np.int32)[:, None]
        taken = best.places_BK[:, :wanted]
        chosen = ChosenModels(np.hstack([own_B1, taken]), graphs_of_models(sources, models))
        return cls(chosen, best, float(best.missed(wanted).mean()))

    def table(self, models: Sequence[GraphRef], wanted: int) -> pa.Table:
        """Returns the ``nearest`` table, by target and rank."""
        names = [graph.model_id for graph in models]
        by_name = np.argsort(np.array(names))
        best = self.best.of(by_name)
        row, column = np.nonzero(best.places_BK >= 0)
        return pa.table(
            {
                "target_model": texts_of(by_name[row].astype(np.int32), names),
                "rank": (column + 1).astype(np.int32),
                "source_model": texts_of(best.places_BK[row, column], names),
                "compared": column < wanted,
                "estimate": best.estimates_BK[row, column],
                "deviation": best.deviations_BK[row, column],
            }
        )


def choice_key(terms: Mapping[str, float]) -> str:
    """Returns the identity of what estimates follow from, beside graphs and probes."""
    weights = {name: weight for name, weight in terms.items() if weight}
    return short_hash({"terms": weights, "sketch": SKETCH_VERSION})


@dataclass(frozen=True, eq=False)
class KnownCandidates:
    """What an earlier scan found, in places of now; ``is_same_M``: of which models it may hold.

    ``pairs`` are those that it compared, as ``target * M + source``, whatever the estimates are of.
    """

    best: BestSources
    is_same_M: NDArray[np.bool_]
    pairs: Places

    @classmethod
    def none(cls, num_models: int) -> KnownCandidates:
        """Returns that nothing is known."""
        is_same_M = np.zeros(num_models, np.bool_)
        return cls(BestSources.none(num_models, 0), is_same_M, np.empty(0, np.int64))

    @classmethod
    def of_table(
        cls, table: pa.Table, models: Sequence[GraphRef], then: Sequence[GraphRef]
    ) -> KnownCandidates:
        """Returns what a ``nearest`` table says of the models that are the same now.

        Args:
            table: of the earlier scan.
            models: what stands for the models now.
            then: its graphs.
        """
        before = set(then)
        is_same_M = np.array([graph in before for graph in models], np.bool_)
        place = {graph.model_id: index for index, graph in enumerate(models)}
        columns = ["target_model", "source_model"]
        names, codes = text_codes(table, columns)
        now = np.array([place.get(name, -1) for name in names] or [-1], np.int64)
        target_R, source_R = (now[codes[name]] for name in columns)
        is_kept_R = (target_R >= 0) & (source_R >= 0)
        is_kept_R &= is_same_M[target_R] & is_same_M[source_R]
        rows = np.flatnonzero(is_kept_R)
        rows = rows[np.lexsort((table["rank"].to_numpy()[rows], target_R[rows]))]
        target_R, source_R = target_R[rows], source_R[rows]
        column_R = pd.Series(target_R).groupby(target_R).cumcount().to_numpy()
        best = BestSources.none(len(models), int(column_R.max(initial=-1)) + 1)
        best.places_BK[target_R, column_R] = source_R
        best.estimates_BK[target_R, column_R] = table["estimate"].to_numpy()[rows]
        best.deviations_BK[target_R, column_R] = table["deviation"].to_numpy()[rows]
        compared = table["compared"].to_numpy()[rows]
        return cls(best, is_same_M, (target_R * len(models) + source_R)[compared])

    def of_other_terms(self) -> KnownCandidates:
        """Returns the same where estimates are of another similarity: nothing but the pairs."""
        return replace(self.none(len(self.is_same_M)), pairs=self.pairs)

    @property
    def counts_B(self) -> Places:
        """How many candidates are known of each target."""
        counts_B: Places = (self.best.places_BK >= 0).sum(axis=1)
        return counts_B

    @property
    def _are_all_B(self) -> NDArray[np.bool_]:
        """Whether all other models that are the same are candidates."""
        are_all_B: NDArray[np.bool_] = self.counts_B >= self.is_same_M.sum() - 1
        return self.is_same_M & are_all_B

    def is_enough(self, wanted: int) -> NDArray[np.bool_]:
        """Whether a target's candidates are enough: new ones are all that is to be looked at.

        What has left the zoo is none of them, and no other takes its place.
        """
        is_enough_B: NDArray[np.bool_] = self.counts_B >= _ENOUGH * wanted
        return self.is_same_M & (is_enough_B | self._are_all_B)

    def num_sure(self, most: int) -> Places:
        """How many of the best are the best of all, once new models are among them."""
        return np.where(self._are_all_B, most, self.counts_B)
