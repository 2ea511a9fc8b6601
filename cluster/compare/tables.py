"""The task that writes the similarity and ranking tables, from tiles and from an earlier scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.compare.pairs import KnownPairs, Reduction
from cluster.pool.tasks import TaskFailure, failure_of, merge_failures
from depara.catalog import TERMS
from depara.errors import StoreError
from depara.similarity import lambda_tables, layer_ranking, model_ranking
from depara.similarity.centre import Centre, centred_matrix
from depara.similarity.centre_table import centre_table
from depara.similarity.nulls import null_similarity, without_sources
from depara.similarity.pair_table import similarity_table
from depara.store.scans import read_table, write_table
from depara.store.schemas import TABLES, pair_columns
from depara.store.storage import Storage
from depara.types import Float32, Float64

Matrices = dict[str, Float64 | Float32]
"""Scores ``(sources, targets)`` by column name."""


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
    centre: Centre | TaskFailure,
    *results: TileResult | TaskFailure,
) -> dict[str, Any] | TaskFailure:
    """Writes the similarity and ranking tables; returns their facts, or an error as data."""
    failure = merge_failures([centre, *results])
    if failure is not None:
        return failure
    storage = Storage(output)
    names = pair_columns(reduction.config.similarity.computed_scores)
    shape = (len(reduction.sources), len(reduction.targets))
    types = {name: TABLES["similarity"].field(name).type.to_pandas_dtype() for name in names}
    matrices = {name: np.full(shape, np.nan, types[name]) for name in names}
    if known is not None:
        try:
            _take_known(storage, known, matrices)
        except StoreError as error:
            return TaskFailure(str(error), unreadable_scan=known.scan_id)
    for result in results:
        assert isinstance(result, TileResult)
        for name, score_AB in result.scores.items():
            matrices[name][np.ix_(result.rows, result.columns)] = score_AB
            if result.mirrored is not None:
                score_BA = result.mirrored.get(name, score_AB.T)
                matrices[name][np.ix_(result.columns, result.rows)] = score_BA
    try:
        assert isinstance(centre, Centre)
        tables = result_tables(reduction, matrices, centre)
        return {name: write_table(storage, scan_id, name, t) for name, t in tables.items()}
    except StoreError as error:
        return failure_of(error)


def _take_known(storage: Storage, known: KnownPairs, matrices: Matrices) -> None:
    """Fills in the pairs that an earlier scan has compared."""
    table = read_table(storage, known.scan_id, "similarity", known.fact)
    if table.num_rows != known.num_sources * known.num_targets:
        raise StoreError(
            f"the similarity table of scan {known.scan_id} has {table.num_rows} rows, "
            f"{known.num_sources} x {known.num_targets} are expected"
        )
    rows = [(now, then) for now, then in enumerate(known.sources) if then is not None]
    columns = [(now, then) for now, then in enumerate(known.targets) if then is not None]
    here = np.ix_([now for now, _ in rows], [now for now, _ in columns])
    there = np.ix_([then for _, then in rows], [then for _, then in columns])
    for name, matrix in matrices.items():
        score = table[name].to_numpy(zero_copy_only=False)
        matrix[here] = score.reshape(known.num_sources, known.num_targets)[there]


def result_tables(reduction: Reduction, matrices: Matrices, centre: Centre) -> dict[str, pa.Table]:
    """Returns the similarity table, the rankings that follow from it, and the centre's."""
    place = {graph: index for index, graph in enumerate(reduction.sources)}
    of_targets = centre.rows([place[graph] for graph in reduction.targets])
    centred_AB = centred_matrix(matrices["node_similarity"], centre, of_targets)
    terms = reduction.config.similarity.terms
    similarity = similarity_table(
        reduction.sources,
        reduction.targets,
        {**matrices, TERMS["node_centred"].column: centred_AB},
        terms=terms,
        num_probes=reduction.num_probes,
    )
    graphs = reduction.sources
    null_of = {graph.model_id: graph.null_of for graph in graphs if graph.null_of}
    ranked = without_sources(similarity, null_of)
    outputs = {graph.model_id: graph.layer for graph in reduction.outputs}
    depths = {(graph.model_id, graph.layer): graph.depth for graph in graphs}
    ranking = model_ranking(ranked, outputs)
    floor = null_similarity(ranking, similarity, null_of)
    return {
        "similarity": similarity,
        "model_ranking": ranking.append_column("null_similarity", floor),
        "layer_ranking": layer_ranking(
            ranked, outputs, depths, reduction.config.similarity.own_layer_terms
        ),
        **lambda_tables(ranking, terms),
        "centre": centre_table(reduction.sources, centre),
    }
