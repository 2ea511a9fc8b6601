"""The two rankings of a scan, from its similarity table: which model, and which layer of it.

Each target's rows are ranked by themselves, so a table too large for memory can be ranked in parts
that keep a target's rows together.

``R`` rows of the similarity table that matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from depara.catalog import TERMS
from depara.errors import SchemaError
from depara.similarity.combine import combine
from depara.store.schemas import TABLES

_NAMES = ("source_model", "source_layer", "target_model", "target_layer")
_SCORES = ("similarity", *(term.column for term in TERMS.values()))
_TEXT_ROWS = 4 << 20
"""Rows per chunk of a text column: far below the 2 GiB that one Arrow string array can hold."""

Codes = NDArray[np.int32]


def model_ranking(
    similarity: pa.Table | pd.DataFrame, output_layers: Mapping[str, str]
) -> pa.Table:
    """Returns, for every target model, the other models ranked by their output graphs' similarity.

    Model selection of Song et al., CVPR 2020, section 3.3: source and target both at their output
    layer. Rank 1 is the most similar; equal similarities are ordered by the source model's name.

    Args:
        similarity: the scan's ``similarity`` table; pairs that it lacks are left out.
        output_layers: the output layer of each model. A model that is not in it (it failed) is
            neither source nor target.

    Returns:
        The ``model_ranking`` table without ``null_similarity``, by ``target_model, rank``.

    Raises:
        SchemaError: a column is missing or holds nulls.
    """
    pairs = _Pairs.of_targets(similarity, output_layers)
    pairs = pairs.where(pairs.source_layer == pairs.output_of_source)
    order, rank = _ranked(pairs.target_model, pairs.scores["similarity"], [pairs.source_model])
    pairs = pairs.where(order)
    columns = {
        "target_model": pairs.text(pairs.target_model, pairs.models),
        "rank": rank,
        "source_model": pairs.text(pairs.source_model, pairs.models),
        "source_layer": pairs.text(pairs.source_layer, pairs.layers),
        "target_layer": pairs.text(pairs.target_layer, pairs.layers),
        **pairs.columns(),
    }
    schema = pa.schema(TABLES["model_ranking"].field(name) for name in columns)
    return pa.table(columns, schema=schema)


def layer_ranking(
    similarity: pa.Table | pd.DataFrame,
    output_layers: Mapping[str, str],
    depths: Mapping[tuple[str, str], int],
    terms: Mapping[str, float] | None = None,
) -> pa.Table:
    """Returns, for every target and every other model, that model's layers ranked by similarity.

    Layer selection of Song et al., CVPR 2020, Eq. 6: each layer of the source against the target's
    output graph. Rank 1 is the most similar; equal similarities are ordered by depth, then name.

    Args:
        similarity: the scan's ``similarity`` table; pairs that it lacks are left out.
        output_layers: the output layer of each model; a model that is not in it is no target.
        depths: 0-based firing order of every (model, layer) that is a source.
        terms: weights of what ranks the layers, which is then the ``similarity`` of the ranking;
            None is what the similarity table has.

    Returns:
        The ``layer_ranking`` table, by ``target_model, source_model, rank``.

    Raises:
        SchemaError: a column is missing or holds nulls, or ``depths`` lacks a source's layer.
    """
    pairs = _Pairs.of_targets(similarity, output_layers)
    if terms is not None:
        pairs.scores["similarity"] = combine(pairs.scores, terms)
    depth = _depths(pairs, depths)
    group = pairs.target_model * np.int64(len(pairs.models)) + pairs.source_model
    order, rank = _ranked(group, pairs.scores["similarity"], [depth, pairs.source_layer])
    pairs = pairs.where(order)
    columns = {
        "target_model": pairs.text(pairs.target_model, pairs.models),
        "source_model": pairs.text(pairs.source_model, pairs.models),
        "rank": rank,
        "layer": pairs.text(pairs.source_layer, pairs.layers),
        "depth": depth[order],
        **pairs.columns(),
    }
    return pa.table(columns, schema=TABLES["layer_ranking"])


@dataclass(frozen=True)
class _Pairs:
    """Rows of the similarity table with names as codes into sorted vocabularies, all ``(R,)``."""

    models: list[str]
    layers: list[str]
    outputs: Codes
    source_model: Codes
    source_layer: Codes
    target_model: Codes
    target_layer: Codes
    scores: dict[str, NDArray[np.float64]]

    @classmethod
    def of_targets(
        cls, similarity: pa.Table | pd.DataFrame, output_layers: Mapping[str, str]
    ) -> _Pairs:
        """Returns the pairs of two models whose target is a model's output graph."""
        table = _checked(similarity)
        models = _vocabulary(table, ("source_model", "target_model"))
        layers = _vocabulary(table, ("source_layer", "target_layer"))
        codes = {
            name: _codes(table[name], models if name.endswith("model") else layers)
            for name in _NAMES
        }
        layer_codes = {layer: code for code, layer in enumerate(layers)}
        # -1 matches no layer: the model, or its output layer, has no rows.
        outputs = [layer_codes.get(output_layers.get(model, ""), -1) for model in models]
        pairs = cls(
            models=models,
            layers=layers,
            outputs=np.array(outputs, dtype=np.int32),
            scores={name: _floats(table[name]) for name in _SCORES},
            **codes,
        )
        is_target = pairs.target_layer == pairs.outputs[pairs.target_model]
        return pairs.where(is_target & (pairs.source_model != pairs.target_model))

    @property
    def output_of_source(self) -> Codes:
        """The output layer of each row's source model."""
        return self.outputs[self.source_model]

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> _Pairs:
        """Returns the rows of a mask, or in the order of an index."""
        return _Pairs(
            models=self.models,
            layers=self.layers,
            outputs=self.outputs,
            scores={name: values[rows] for name, values in self.scores.items()},
            **{name: getattr(self, name)[rows] for name in _NAMES},
        )

    def columns(self) -> dict[str, pa.Array]:
        """Returns the scores as columns; NaN is null again."""
        return {name: pa.array(score, from_pandas=True) for name, score in self.scores.items()}

    @staticmethod
    def text(codes: Codes, vocabulary: list[str]) -> Any:
        """Returns the names of codes as a chunked string column."""
        words = pa.array(vocabulary, type=pa.string())
        chunks = [
            words.take(pa.array(codes[start : start + _TEXT_ROWS]))
            for start in range(0, len(codes), _TEXT_ROWS)
        ]
        return pa.chunked_array(chunks, type=pa.string())


def _ranked(
    group: NDArray[np.integer], similarity: NDArray[np.float64], ties: list[Codes]
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Returns the order by group, falling similarity, then ``ties``; and 1-based ranks in it."""
    keys: list[NDArray[Any]] = [*reversed(ties), -similarity, group]
    order = np.lexsort(keys)
    sorted_group = group[order]
    is_first = np.ones(len(order), dtype=np.bool_)
    np.not_equal(sorted_group[1:], sorted_group[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    sizes = np.diff(starts, append=len(order))
    rank = np.arange(1, len(order) + 1) - np.repeat(starts, sizes)
    return order, rank.astype(np.int32)


def _depths(pairs: _Pairs, depths: Mapping[tuple[str, str], int]) -> Codes:
    """Returns the depth of each row's source layer."""
    graph = pairs.source_model * np.int64(max(len(pairs.layers), 1)) + pairs.source_layer
    places, graphs = pd.factorize(graph)
    names = [
        (pairs.models[code // len(pairs.layers)], pairs.layers[code % len(pairs.layers)])
        for code in graphs.tolist()
    ]
    missing = [name for name in names if name not in depths]
    if missing:
        raise SchemaError(
            f"{len(missing)} source layers of the similarity table have no depth (first: layer "
            f"{missing[0][1]!r} of model {missing[0][0]!r}): the layers table is of another scan"
        )
    return np.array([depths[name] for name in names], dtype=np.int32)[places]


def _checked(similarity: pa.Table | pd.DataFrame) -> pa.Table:
    """Returns the columns that matter as an Arrow table without nulls."""
    columns = [*_NAMES, *_SCORES]
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


def _vocabulary(table: pa.Table, names: Iterable[str]) -> list[str]:
    """Returns the distinct texts of some columns, sorted: a text's code orders like the text."""
    return sorted({text for name in names for text in pc.unique(table[name]).to_pylist()})


def _codes(column: Any, vocabulary: list[str]) -> Codes:
    """Returns each text's place in the vocabulary."""
    words = pa.array(vocabulary, type=pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    codes: Codes = pc.index_in(column, value_set=words.cast(column.type)).to_numpy()
    return codes


def _floats(column: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64, copy=False)
    return values
