"""The long similarity table: one row per pair of graphs.

``A`` source graphs, ``B`` target graphs, ``R`` rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from depara.similarity.combine import combine
from depara.similarity.stored import GraphRef
from depara.store.artifacts import texts_as_dictionaries
from depara.store.schemas import TABLES
from depara.types import Float32, Float64


def similarity_table(
    sources: Sequence[GraphRef],
    targets: Sequence[GraphRef],
    matrices: Mapping[str, Float64 | Float32],
    *,
    terms: Mapping[str, float],
    num_probes: int,
    by_target: bool = False,
) -> pa.Table:
    """Returns the similarity table of all (source graph, target graph) pairs, sources outside.

    Texts are dictionaries, see `depara.store.artifacts.plain_texts`.

    Args:
        sources: the ``A`` sources.
        targets: the ``B`` targets.
        matrices: scores ``A B`` by the name of their column, all terms of the similarity among
            them; NaN becomes null, and columns that are not there are null throughout.
        terms: weights of the terms.
        num_probes: of the probe set.
        by_target: targets outside, as in the parts of a large table. Matrices in Fortran order are
            not copied then.
    """
    similarity_AB = combine(matrices, terms)
    order: Literal["C", "F"] = "F" if by_target else "C"
    source_AB, target_AB = np.indices(similarity_AB.shape, np.int32)
    return pair_rows(
        sources,
        targets,
        source_AB.ravel(order),
        target_AB.ravel(order),
        {name: matrix_AB.ravel(order) for name, matrix_AB in matrices.items()},
        terms=terms,
        num_probes=num_probes,
    )


def pair_rows(
    sources: Sequence[GraphRef],
    targets: Sequence[GraphRef],
    source_R: NDArray[np.integer],
    target_R: NDArray[np.integer],
    scores_R: Mapping[str, NDArray[np.floating]],
    *,
    terms: Mapping[str, float],
    num_probes: int,
) -> pa.Table:
    """Returns rows of the similarity table.

    Args:
        sources: graphs, of which the rows' sources are.
        targets: likewise.
        source_R: the place of each row's source.
        target_R: the place of each row's target.
        scores_R: scores by column; NaN becomes null, columns that are not there are null.
        terms: weights of the terms of the similarity, all of them among the scores.
        num_probes: of the probe set.
    """
    schema = TABLES["similarity"]

    def names(of_graphs: Iterable[str], place_R: NDArray[np.integer]) -> pa.DictionaryArray:
        words = pa.array(of_graphs, pa.string()).dictionary_encode()
        codes_R = words.indices.to_numpy()[place_R]
        return pa.DictionaryArray.from_arrays(codes_R, words.dictionary)

    columns: dict[str, Any] = {
        "source_model": names([g.model_id for g in sources], source_R),
        "source_layer": names([g.layer for g in sources], source_R),
        "target_model": names([g.model_id for g in targets], target_R),
        "target_layer": names([g.layer for g in targets], target_R),
        "similarity": combine(scores_R, terms),
        "num_probes": np.full(len(source_R), num_probes, dtype=np.int32),
    }
    for name, values_R in scores_R.items():
        has_nulls = bool(np.isnan(values_R).any())  # looking is quicker than a copy
        columns[name] = pa.array(values_R, schema.field(name).type, from_pandas=has_nulls)
    for field in schema:
        if field.name not in columns:
            columns[field.name] = pa.nulls(len(source_R), field.type)
    return pa.table([columns[name] for name in schema.names], schema=texts_as_dictionaries(schema))
