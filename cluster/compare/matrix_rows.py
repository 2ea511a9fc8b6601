"""The scores of all sources with a part's targets, from tiles and from an earlier scan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from cluster.compare.pairs import KnownPairs, Reduction
from cluster.compare.parts import TablePart
from cluster.compare.tile_results import TileResult
from depara.catalog import TERMS
from depara.errors import StoreError
from depara.similarity.centre import Centre, centred_matrix
from depara.similarity.pair_table import similarity_table
from depara.store.row_ranges import rows_between
from depara.store.scans import read_columns, table_files
from depara.store.storage import Storage
from depara.types import Float32, Float64

Matrices = dict[str, Float64 | Float32]
"""Scores ``(sources, targets of a part)`` by column name."""


def matrix_rows(
    storage: Storage,
    reduction: Reduction,
    known: KnownPairs | None,
    part: TablePart,
    centre: Centre,
    types: dict[str, type],
    slices: Iterable[TileResult],
) -> pa.Table:
    """Returns a part's rows of the similarity table where every source is compared.

    Args:
        storage: the output.
        reduction: what is compared.
        known: pairs that an earlier scan has compared.
        part: the targets of the rows.
        centre: of the zoo.
        types: of the columns that tiles compute.
        slices: what tiles hold of these targets.

    Raises:
        StoreError: the earlier scan's table cannot be read.
    """
    shape = (len(reduction.sources), len(part.targets))
    # In the order of the table's rows, which then are the matrices as they lie in memory.
    order: Literal["C", "F"] = "C" if part.number is None else "F"
    matrices: Matrices = {name: np.full(shape, np.nan, kind, order) for name, kind in types.items()}
    if known is not None:
        _take_known(storage, known, part, matrices)
    _take_slices(slices, part, matrices)
    place = {(graph.model_id, graph.layer): index for index, graph in enumerate(reduction.sources)}
    targets = [reduction.targets[target] for target in part.targets]
    of_targets = centre.rows([place[graph.model_id, graph.layer] for graph in targets])
    centred_AB = centred_matrix(matrices["node_similarity"], centre, of_targets)
    return similarity_table(
        reduction.sources,
        targets,
        {**matrices, TERMS["node_centred"].column: centred_AB},
        terms=reduction.config.similarity.terms,
        num_probes=reduction.num_probes,
        by_target=part.number is not None,
    )


def _take_slices(slices: Iterable[TileResult], part: TablePart, matrices: Matrices) -> None:
    """Fills in what tiles have found of a part's targets."""
    column_of = {target: column for column, target in enumerate(part.targets)}
    for one in slices:
        here = np.ix_(one.rows, [column_of[target] for target in one.columns])
        for name, score_AB in one.scores.items():
            matrices[name][here] = score_AB


def _take_known(storage: Storage, known: KnownPairs, part: TablePart, matrices: Matrices) -> None:
    """Fills in the pairs with a part's targets that an earlier scan has compared."""
    # Models of the same weights share their graphs: several columns may be one of then.
    columns = [
        (now, then)
        for now, target in enumerate(part.targets)
        if (then := known.targets[target]) is not None
    ]
    stretches = _stretches(known.sources)
    models = {known.target_models[then] for _, then in columns}
    for path, fact in table_files(known.scan_id, "similarity", known.fact, models):
        in_file = known.targets_of(fact)
        if fact is not None and fact["rows"] != known.num_sources * len(in_file):
            raise StoreError(
                f"{storage.location(path)} has {fact['rows']} rows, {known.num_sources} x "
                f"{len(in_file)} are expected"
            )
        place_of = {then: place for place, then in enumerate(in_file)}
        found = [(now, place_of[then]) for now, then in columns if then in place_of]
        kept = [place for _, place in found]
        first, stop = 0, len(in_file)
        if known.in_parts:  # targets outside: those of this part stand side by side
            first, stop = min(kept), max(kept) + 1
        wanted = rows_between(first * known.num_sources, stop * known.num_sources)
        now, there = _places([now for now, _ in found]), _places([one - first for one in kept])
        columns_read = read_columns(storage, path, "similarity", fact, list(matrices), wanted)
        for name, score in columns_read:
            if known.in_parts:
                score_BA = score.reshape(stop - first, known.num_sources)
            else:
                score_BA = score.reshape(known.num_sources, len(in_file)).T
            for here, of in stretches:
                matrices[name].T[now, here] = score_BA[there, of]


def _places(places: list[int]) -> slice | list[int]:
    """Returns places that stand side by side as a slice, of which no copy is made."""
    first = places[0] if places else 0
    stop = first + len(places)
    return slice(first, stop) if places == list(range(first, stop)) else places


def _stretches(places: Sequence[int | None]) -> list[tuple[slice, slice]]:
    """Returns where known graphs are now and where they were then, those side by side together.

    One at least is known, as of all `KnownPairs` that a scan is given.
    """
    now = np.array([here for here, then in enumerate(places) if then is not None])
    then = np.array([then for then in places if then is not None])
    cuts = np.flatnonzero((np.diff(now) != 1) | (np.diff(then) != 1)) + 1
    return [
        (slice(here[0], here[-1] + 1), slice(of[0], of[-1] + 1))
        for here, of in zip(np.split(now, cuts), np.split(then, cuts), strict=True)
    ]
