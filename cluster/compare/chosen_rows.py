"""The scores of a part's targets with the sources chosen for each, from tiles and an earlier scan.

``R`` rows of the part, by target, then by source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.compare.chosen import Places
from cluster.compare.pairs import KnownChosen, Reduction
from cluster.compare.parts import TablePart
from cluster.compare.tile_results import PairsResult
from depara.catalog import TERMS
from depara.errors import StoreError
from depara.similarity.centre import Centre, centred_pairs
from depara.similarity.pair_table import pair_rows
from depara.similarity.stored import GraphRef
from depara.similarity.text_codes import text_codes
from depara.store.scans import table_parts
from depara.store.storage import Storage

_NAMES = ["source_model", "source_layer", "target_model", "target_layer"]
Scores = dict[str, NDArray[np.floating]]


def chosen_rows(
    storage: Storage,
    reduction: Reduction,
    known: KnownChosen | None,
    part: TablePart,
    centre: Centre,
    types: dict[str, type],
    slices: Iterable[PairsResult],
) -> pa.Table:
    """Returns a part's rows of the similarity table; arguments as `matrix_rows` has them.

    Raises:
        StoreError: the earlier scan's table cannot be read, or lacks pairs that it should have.
    """
    assert reduction.chosen is not None
    pairs = _Pairs(*reduction.chosen.pairs_of(part.targets), len(reduction.sources))
    scores_R: Scores = {name: np.full(len(pairs.source_R), np.nan, t) for name, t in types.items()}
    column_of = np.full(len(reduction.targets), -1, np.int64)
    column_of[list(part.targets)] = np.arange(len(part.targets))
    for one in slices:
        rows = pairs.find(one.source_R, column_of[one.target_R])
        assert (rows >= 0).all()
        for name, score_R in one.scores.items():
            scores_R[name][rows] = score_R
    if known is not None:  # over what a tile has found once more
        _take_known(storage, reduction, known, part, pairs, scores_R)
    place = {(graph.model_id, graph.layer): index for index, graph in enumerate(reduction.sources)}
    targets = [reduction.targets[target] for target in part.targets]
    of_targets = np.array([place[graph.model_id, graph.layer] for graph in targets], np.int64)
    centred_R = centred_pairs(
        scores_R["node_similarity"].astype(np.float64),
        centre,
        pairs.source_R.tolist(),
        of_targets[pairs.column_R].tolist(),
    )
    return pair_rows(
        reduction.sources,
        targets,
        pairs.source_R,
        pairs.column_R,
        {**scores_R, TERMS["node_centred"].column: centred_R},
        terms=reduction.config.similarity.terms,
        num_probes=reduction.num_probes,
    )


@dataclass(frozen=True)
class _Pairs:
    """The pairs of a part: sources by their places, targets by theirs in the part."""

    source_R: Places
    column_R: Places
    num_sources: int

    def find(self, sources: Places, columns: Places) -> Places:
        """Returns the row of each of some pairs, -1 where it has none."""
        keys_R = self.column_R * self.num_sources + self.source_R
        keys = columns * self.num_sources + sources
        rows = np.searchsorted(keys_R, keys)
        rows[rows == len(keys_R)] = 0
        is_there = (sources >= 0) & (columns >= 0) & (keys_R[rows] == keys)
        return np.where(is_there, rows, -1)


def _take_known(
    storage: Storage,
    reduction: Reduction,
    known: KnownChosen,
    part: TablePart,
    pairs: _Pairs,
    scores_R: Scores,
) -> None:
    """Fills in the pairs that an earlier scan has compared, by the names of their graphs."""
    due = pairs.find(*known.models.pairs_of(part.targets))
    is_due_R, is_there_R = np.zeros((2, len(pairs.source_R)), np.bool_)
    is_due_R[due] = True
    targets = [reduction.targets[target] for target in part.targets]
    models = {targets[column].model_id for column in np.unique(pairs.column_R[due]).tolist()}
    if not models:
        return
    columns = [*_NAMES, *scores_R]
    for table in table_parts(storage, known.scan_id, "similarity", known.fact, columns, models):
        rows = pairs.find(
            _places(table, "source", reduction.sources), _places(table, "target", targets)
        )
        there = np.flatnonzero((rows >= 0) & is_due_R[rows])
        rows = rows[there]
        is_there_R[rows] = True
        for name, score_R in scores_R.items():
            score_R[rows] = table[name].to_numpy()[there]
    missing = int((is_due_R & ~is_there_R).sum())
    if missing:
        raise StoreError(
            f"the similarity table of scan {known.scan_id} lacks {missing} of {is_due_R.sum()} "
            "pairs that its other tables say it has"
        )


def _places(table: pa.Table, role: str, graphs: Sequence[GraphRef]) -> Places:
    """The place of each row's source or target among some graphs, -1 where it is none of them."""
    place = {(graph.model_id, graph.layer): index for index, graph in enumerate(graphs)}
    models, model_R = text_codes(table, [f"{role}_model"])
    layers, layer_R = text_codes(table, [f"{role}_layer"])
    codes_R = model_R[f"{role}_model"] * np.int64(len(layers)) + layer_R[f"{role}_layer"]
    codes, inverse_R = np.unique(codes_R, return_inverse=True)
    names = [(models[code // len(layers)], layers[code % len(layers)]) for code in codes.tolist()]
    return np.array([place.get(name, -1) for name in names], np.int64)[inverse_R]
