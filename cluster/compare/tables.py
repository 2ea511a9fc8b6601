"""The tasks that write the similarity and ranking tables, from tiles and from an earlier scan.

A task writes the rows of a block of targets: all of them where they are few, else one part of each
table. Rankings need a target's own rows alone, so that nothing ever holds the whole matrix.

``A`` sources, ``B`` targets of a tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from cluster.compare.pairs import KnownPairs, Reduction
from cluster.compare.parts import KnownPart, TablePart
from cluster.pool.tasks import TaskFailure, failure_of, merge_failures
from depara.catalog import TERMS
from depara.errors import StoreError
from depara.similarity import RankedPairs, lambda_tables, layer_ranking, model_ranking
from depara.similarity.centre import Centre, centred_matrix
from depara.similarity.centre_table import centre_table
from depara.similarity.nulls import null_similarity, without_sources
from depara.similarity.pair_table import similarity_table
from depara.store.parts import link_part, write_part
from depara.store.row_ranges import rows_between
from depara.store.scans import read_columns, table_files, write_table
from depara.store.schemas import TABLES, pair_columns
from depara.store.storage import Storage
from depara.types import Float32, Float64

Matrices = dict[str, Float64 | Float32]
"""Scores ``(sources, targets of a part)`` by column name."""

Facts = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class TileResult:
    """All scores of one tile by column name: ``(A, B)`` each, float64, their z float32.

    ``rows`` and ``columns`` are the tile's places in the matrix. ``mirrored`` is None where the
    pairs with exchanged roles are not wanted, else it holds those scores that are not symmetric,
    ``(B, A)``; the others are transposed.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    scores: dict[str, Float64 | Float32]
    mirrored: dict[str, Float64 | Float32] | None


def write_result_tables(
    output: str,
    scan_id: str,
    reduction: Reduction,
    known: KnownPairs | None,
    part: TablePart,
    centre: Centre | TaskFailure,
    *results: TileResult | tuple[TileResult, ...] | TaskFailure,
) -> Facts | TaskFailure:
    """Writes a part of the similarity and ranking tables; returns their facts, or an error as data.

    Args:
        output: where to.
        scan_id: the scan.
        reduction: what is compared.
        known: pairs that an earlier scan has compared.
        part: the targets of the rows; the first part also writes the table of the centre.
        centre: of the zoo.
        results: all tiles that hold pairs with these targets, or what `slice_tile` takes of each.
    """
    failure = merge_failures([centre, *results])
    if failure is not None:
        return failure
    assert isinstance(centre, Centre)
    storage = Storage(output)
    names = pair_columns(reduction.config.similarity.computed_scores)
    shape = (len(reduction.sources), len(part.targets))
    types = {name: TABLES["similarity"].field(name).type.to_pandas_dtype() for name in names}
    # In the order of the table's rows, which then are the matrices as they lie in memory.
    order: Literal["C", "F"] = "C" if part.number is None else "F"
    matrices = {name: np.full(shape, np.nan, types[name], order) for name in names}
    if known is not None:
        try:
            _take_known(storage, known, part, matrices)
        except StoreError as error:
            return TaskFailure(str(error), unreadable_scan=known.scan_id)
    for result in results:
        sliced = result if isinstance(result, tuple) else slice_tile(part.targets, result)
        assert not isinstance(sliced, TaskFailure)
        _take_slices(sliced, part, matrices)
    try:
        tables = result_tables(reduction, matrices, centre, part)
        facts = {name: _write(storage, scan_id, name, one, part) for name, one in tables.items()}
        return facts | _centre_facts(storage, scan_id, reduction, centre, part)
    except StoreError as error:
        return failure_of(error)


def link_result_part(
    output: str,
    scan_id: str,
    reduction: Reduction,
    known: KnownPart,
    part: TablePart,
    centre: Centre | TaskFailure,
) -> Facts | TaskFailure:
    """Gives a part that an earlier scan has written a second name; as `write_result_tables`."""
    if isinstance(centre, TaskFailure):
        return centre
    assert part.number is not None
    storage = Storage(output)
    try:
        facts = {
            name: link_part(
                storage, scan_id, name, part.number, (known.scan_id, known.number, fact)
            )
            for name, fact in known.facts.items()
        }
    except StoreError as error:
        failure_of(error)  # raises where another try may succeed
        return TaskFailure(str(error), unreadable_scan=known.scan_id)
    try:
        return facts | _centre_facts(storage, scan_id, reduction, centre, part)
    except StoreError as error:
        return failure_of(error)


def _write(
    storage: Storage, scan_id: str, name: str, table: pa.Table, part: TablePart
) -> dict[str, Any]:
    if part.number is None:
        return write_table(storage, scan_id, name, table)
    return write_part(storage, scan_id, name, part.number, table, targets=part.models, key=part.key)


def _centre_facts(
    storage: Storage, scan_id: str, reduction: Reduction, centre: Centre, part: TablePart
) -> Facts:
    if not part.is_first:
        return {}
    table = centre_table(reduction.sources, centre)
    return {"centre": write_table(storage, scan_id, "centre", table)}


def slice_tile(
    targets: Sequence[int], tile: TileResult | TaskFailure
) -> tuple[TileResult, ...] | TaskFailure:
    """Returns what a tile holds of some targets, which is all that the task of a part takes.

    Pairs with exchanged roles become a result of their own.
    """
    if isinstance(tile, TaskFailure):
        return tile
    wanted = set(targets)
    found = []
    columns = [place for place, target in enumerate(tile.columns) if target in wanted]
    if columns:
        scores = {name: score_AB[:, columns] for name, score_AB in tile.scores.items()}
        found.append(TileResult(tile.rows, _some(tile.columns, columns), scores, None))
    rows = [place for place, target in enumerate(tile.rows) if target in wanted]
    if rows and tile.mirrored is not None:
        scores = {
            name: tile.mirrored.get(name, score_AB.T)[:, rows]
            for name, score_AB in tile.scores.items()
        }
        found.append(TileResult(tile.columns, _some(tile.rows, rows), scores, None))
    return tuple(found)


def _some(values: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    return tuple(values[place] for place in places)


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


def result_tables(
    reduction: Reduction, matrices: Matrices, centre: Centre, part: TablePart
) -> dict[str, pa.Table]:
    """Returns a part's rows of the similarity table, and of the rankings that follow from it."""
    place = {(graph.model_id, graph.layer): index for index, graph in enumerate(reduction.sources)}
    targets = [reduction.targets[target] for target in part.targets]
    of_targets = centre.rows([place[graph.model_id, graph.layer] for graph in targets])
    centred_AB = centred_matrix(matrices["node_similarity"], centre, of_targets)
    terms = reduction.config.similarity.terms
    similarity = similarity_table(
        reduction.sources,
        targets,
        {**matrices, TERMS["node_centred"].column: centred_AB},
        terms=terms,
        num_probes=reduction.num_probes,
        by_target=part.number is not None,
    )
    graphs = reduction.sources
    null_of = {graph.model_id: graph.null_of for graph in graphs if graph.null_of}
    ranked = without_sources(similarity, null_of)
    outputs = {graph.model_id: graph.layer for graph in reduction.outputs}
    depths = {(graph.model_id, graph.layer): graph.depth for graph in graphs}
    pairs = RankedPairs.of_targets(ranked, outputs)
    ranking = model_ranking(pairs, outputs, dictionaries=True)
    floor = null_similarity(ranking, similarity, null_of)
    return {
        "similarity": similarity,
        "model_ranking": ranking.append_column("null_similarity", floor),
        "layer_ranking": layer_ranking(
            pairs,
            outputs,
            depths,
            reduction.config.similarity.own_layer_terms,
            dictionaries=True,
        ),
        **lambda_tables(ranking, terms),
    }
