"""The two rankings of a scan, from its similarity table: which model, and which layer of it.

Each target's rows are ranked by themselves, so a table too large for memory can be ranked in parts
that keep a target's rows together.

``R`` rows of the similarity table that matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from depara.catalog import TERMS
from depara.errors import SchemaError
from depara.similarity.combine import combine
from depara.similarity.text_codes import Codes, text_codes, texts_of
from depara.store.artifacts import texts_as_dictionaries
from depara.store.schemas import TABLES

_NAMES = ("source_model", "source_layer", "target_model", "target_layer")
_TEXT_ROWS = 4 << 20
"""Rows per chunk of a text column: far below the 2 GiB that one Arrow string array can hold."""

_TERM_COLUMNS = [term.column for term in TERMS.values()]


def model_ranking(
    similarity: pa.Table | pd.DataFrame | RankedPairs,
    output_layers: Mapping[str, str],
    *,
    dictionaries: bool = False,
) -> pa.Table:
    """Returns, for every target model, the other models ranked by their output graphs' similarity.

    Model selection of Song et al., CVPR 2020, section 3.3: source and target both at their output
    layer. Rank 1 is the most similar; equal similarities are ordered by the source model's name.

    Args:
        similarity: the scan's ``similarity`` table; pairs that it lacks are left out. Or what
            `RankedPairs` finds in it with these output layers: both rankings are made of that.
        output_layers: the output layer of each model. A model that is not in it (it failed) is
            neither source nor target.
        dictionaries: give texts as dictionaries, which are written quicker.

    Returns:
        The ``model_ranking`` table without ``null_similarity``, by ``target_model, rank``.

    Raises:
        SchemaError: a column is missing or holds nulls.
    """
    pairs = RankedPairs.of_targets(similarity, output_layers)
    pairs = pairs.where(pairs.source_layer == pairs.outputs[pairs.source_model])
    similarity_R = pairs.score("similarity")
    order, rank = _ranked(pairs.target_model, pairs.source_model, similarity_R)
    pairs = pairs.where(order)
    columns = {
        "target_model": texts_of(pairs.target_model, pairs.models),
        "rank": rank,
        "source_model": texts_of(pairs.source_model, pairs.models),
        "source_layer": texts_of(pairs.source_layer, pairs.layers),
        "target_layer": texts_of(pairs.target_layer, pairs.layers),
        "similarity": similarity_R[order],
        **pairs.term_columns(),
    }
    return _table(columns, "model_ranking", dictionaries=dictionaries)


def layer_ranking(
    similarity: pa.Table | pd.DataFrame | RankedPairs,
    output_layers: Mapping[str, str],
    depths: Mapping[tuple[str, str], int],
    terms: Mapping[str, float] | None = None,
    *,
    dictionaries: bool = False,
) -> pa.Table:
    """Returns, for every target and every other model, that model's layers ranked by similarity.

    Layer selection of Song et al., CVPR 2020, Eq. 6: each layer of the source against the target's
    output graph. Rank 1 is the most similar; equal similarities are ordered by depth, then name.

    Args:
        similarity: the scan's ``similarity`` table; pairs that it lacks are left out. Or what
            `RankedPairs` finds in it with these output layers: both rankings are made of that.
        output_layers: the output layer of each model; a model that is not in it is no target.
        depths: 0-based firing order of every (model, layer) that is a source.
        terms: weights of what ranks the layers, which is then the ``similarity`` of the ranking;
            None is what the similarity table has.
        dictionaries: give texts as dictionaries, which are written quicker.

    Returns:
        The ``layer_ranking`` table, by ``target_model, source_model, rank``.

    Raises:
        SchemaError: a column is missing or holds nulls, or ``depths`` lacks a source's layer.
    """
    pairs = RankedPairs.of_targets(similarity, output_layers)
    if terms is None:
        similarity_R = pairs.score("similarity")
    else:
        similarity_R = combine({name: pairs.score(name) for name in _TERM_COLUMNS}, terms)
    depth, place = _depths(pairs, depths)
    group = pairs.target_model * np.int64(len(pairs.models)) + pairs.source_model
    order, rank = _ranked(group, place, similarity_R)
    pairs = pairs.where(order)
    columns = {
        "target_model": texts_of(pairs.target_model, pairs.models),
        "source_model": texts_of(pairs.source_model, pairs.models),
        "rank": rank,
        "layer": texts_of(pairs.source_layer, pairs.layers),
        "depth": depth[order],
        "similarity": similarity_R[order],
        **pairs.term_columns(),
    }
    return _table(columns, "layer_ranking", dictionaries=dictionaries)


def _table(columns: Mapping[str, Any], name: str, *, dictionaries: bool) -> pa.Table:
    schema = pa.schema(TABLES[name].field(column) for column in columns)
    table = pa.table(columns, schema=texts_as_dictionaries(schema))
    if dictionaries:
        return table
    batches = [batch.cast(schema) for batch in table.to_batches(_TEXT_ROWS)]
    return pa.Table.from_batches(batches, schema)


@dataclass(frozen=True)
class RankedPairs:
    """Some rows of the similarity table, names as codes into sorted vocabularies: all ``(R,)``."""

    table: pa.Table
    rows: NDArray[np.intp]
    models: list[str]
    layers: list[str]
    outputs: Codes
    source_model: Codes
    source_layer: Codes
    target_model: Codes
    target_layer: Codes

    @classmethod
    def of_targets(
        cls, similarity: pa.Table | pd.DataFrame | RankedPairs, output_layers: Mapping[str, str]
    ) -> RankedPairs:
        """Returns the pairs of two models whose target is a model's output graph."""
        if isinstance(similarity, RankedPairs):
            return similarity
        table = _checked(similarity)
        models, model_codes = text_codes(table, ("source_model", "target_model"))
        layers, layer_codes = text_codes(table, ("source_layer", "target_layer"))
        code_of = {layer: code for code, layer in enumerate(layers)}
        # -1 matches no layer: the model, or its output layer, has no rows.
        outputs = [code_of.get(output_layers.get(model, ""), -1) for model in models]
        pairs = cls(
            table=table,
            rows=np.arange(table.num_rows),
            models=models,
            layers=layers,
            outputs=np.array(outputs, dtype=np.int32),
            **model_codes,
            **layer_codes,
        )
        is_target = pairs.target_layer == pairs.outputs[pairs.target_model]
        return pairs.where(is_target & (pairs.source_model != pairs.target_model))

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> RankedPairs:
        """Returns the rows of a mask, or in the order of an index."""
        chosen = {name: getattr(self, name)[rows] for name in ("rows", *_NAMES)}
        return replace(self, **chosen)

    def score(self, name: str) -> NDArray[np.float64]:
        """Returns a score of each row; NaN where it is null."""
        values = self.table[name].to_numpy()[self.rows]
        return values.astype(np.float64, copy=False)  # type: ignore[no-any-return]

    def term_columns(self) -> dict[str, pa.Array]:
        """Returns the terms as columns; NaN is null again."""
        return {name: pa.array(self.score(name), from_pandas=True) for name in _TERM_COLUMNS}


def _ranked(
    group: NDArray[np.integer], place: Codes, similarity: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Returns the order by group, falling similarity, then place; and 1-based ranks in it."""
    # One key, that tables which are in this order already cost next to nothing.
    key = group * np.int64(place.max(initial=0) + 1) + place
    order = np.argsort(key, kind="stable")
    is_first = np.ones(len(order), dtype=np.bool_)
    np.not_equal(group[order[1:]], group[order[:-1]], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    sizes = np.diff(starts, append=len(order))
    rank = np.arange(1, len(order) + 1) - np.repeat(starts, sizes)
    for size in np.unique(sizes):
        places = starts[sizes == size, None] + np.arange(size)
        best = np.argsort(-similarity[order[places]], axis=1, kind="stable")
        order[places] = np.take_along_axis(order[places], best, axis=1)
    return order, rank.astype(np.int32)


def _depths(pairs: RankedPairs, depths: Mapping[tuple[str, str], int]) -> tuple[Codes, Codes]:
    """Returns the depth of each row's source layer, and its place among layers of that depth."""
    num_layers = max(len(pairs.layers), 1)
    graph = pairs.source_model * np.int64(num_layers) + pairs.source_layer
    is_there = np.zeros(len(pairs.models) * num_layers, np.bool_)
    is_there[graph] = True
    graphs = np.flatnonzero(is_there)
    names = [(pairs.models[code // num_layers], pairs.layers[code % num_layers]) for code in graphs]
    missing = [name for name in names if name not in depths]
    if missing:
        raise SchemaError(
            f"{len(missing)} source layers of the similarity table have no depth (first: layer "
            f"{missing[0][1]!r} of model {missing[0][0]!r}): the layers table is of another scan"
        )
    found = np.zeros((2, is_there.size), np.int32)
    found[0, graphs] = [depths[name] for name in names]
    found[1, graphs[np.lexsort((graphs, found[0, graphs]))]] = np.arange(graphs.size)
    return found[0, graph], found[1, graph]


def _checked(similarity: pa.Table | pd.DataFrame) -> pa.Table:
    """Returns the columns that matter as an Arrow table without nulls."""
    columns = [*_NAMES, "similarity", *_TERM_COLUMNS]
    table: Any = similarity
    if isinstance(similarity, pd.DataFrame):
        table = pa.Table.from_pandas(similarity, preserve_index=False)
    may_lack = {term.column for term in TERMS.values() if term.absent}
    for name in may_lack - set(table.column_names):
        table = table.append_column(name, pa.nulls(table.num_rows, pa.float64()))
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise SchemaError(f"the similarity table lacks columns {', '.join(missing)}")
    table = table.select(columns)
    holes = [name for name in columns if name not in may_lack and table[name].null_count]
    if holes:
        raise SchemaError(f"columns {', '.join(holes)} of the similarity table hold nulls")
    return table
