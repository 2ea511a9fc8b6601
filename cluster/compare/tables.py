"""The tasks that write the similarity and ranking tables, from tiles and from an earlier scan.

A task writes the rows of a block of targets: all of them where they are few, else one part of each
table. Rankings need a target's own rows alone, so that nothing ever holds the whole matrix.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cluster.compare.chosen_rows import chosen_rows
from cluster.compare.matrix_rows import matrix_rows
from cluster.compare.pairs import Known, KnownChosen, KnownPairs, Reduction
from cluster.compare.parts import KnownPart, TablePart
from cluster.compare.tile_results import PairsResult, TileResult, slice_tile
from cluster.pool.tasks import TaskFailure, failure_of, merge_failures
from depara.errors import StoreError
from depara.similarity import RankedPairs, lambda_tables, layer_ranking, model_ranking
from depara.similarity.centre import Centre
from depara.similarity.centre_table import centre_table
from depara.similarity.nulls import null_similarity, without_sources
from depara.store.parts import link_part, write_part
from depara.store.scans import write_table
from depara.store.schemas import TABLES, pair_columns
from depara.store.storage import Storage

Facts = dict[str, dict[str, Any]]


def write_result_tables(
    output: str,
    scan_id: str,
    reduction: Reduction,
    known: Known | None,
    part: TablePart,
    centre: Centre | TaskFailure,
    *results: TileResult | PairsResult | tuple[TileResult | PairsResult, ...] | TaskFailure,
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
    types = {name: TABLES["similarity"].field(name).type.to_pandas_dtype() for name in names}
    slices: list[Any] = []
    for result in results:
        sliced = result if isinstance(result, tuple) else slice_tile(part.targets, result)
        assert not isinstance(sliced, TaskFailure)
        slices += sliced
    try:
        if reduction.chosen is None:
            assert not isinstance(known, KnownChosen)
            similarity = matrix_rows(storage, reduction, known, part, centre, types, slices)
        else:
            assert not isinstance(known, KnownPairs)
            similarity = chosen_rows(storage, reduction, known, part, centre, types, slices)
    except StoreError as error:
        scan = known.scan_id if known is not None else None
        return TaskFailure(str(error), unreadable_scan=scan)
    try:
        tables = {"similarity": similarity, **ranking_tables(reduction, similarity)}
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


def ranking_tables(reduction: Reduction, similarity: pa.Table) -> dict[str, pa.Table]:
    """Returns the rows of the rankings that follow from a part's rows of the similarity table."""
    graphs = reduction.sources
    null_of = {graph.model_id: graph.null_of for graph in graphs if graph.null_of}
    ranked = without_sources(similarity, null_of)
    outputs = {graph.model_id: graph.layer for graph in reduction.outputs}
    depths = {(graph.model_id, graph.layer): graph.depth for graph in graphs}
    pairs = RankedPairs.of_targets(ranked, outputs)
    ranking = model_ranking(pairs, outputs, dictionaries=True)
    floor = null_similarity(ranking, similarity, null_of)
    return {
        "model_ranking": ranking.append_column("null_similarity", floor),
        "layer_ranking": layer_ranking(
            pairs,
            outputs,
            depths,
            reduction.config.similarity.own_layer_terms,
            dictionaries=True,
        ),
        **lambda_tables(ranking, reduction.config.similarity.terms),
    }
