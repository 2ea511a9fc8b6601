"""The long similarity table: one row per pair of graphs.

``A`` source graphs, ``B`` target graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

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
    schema = TABLES["similarity"]
    similarity_AB = combine(matrices, terms)
    num_sources, num_targets = similarity_AB.shape
    order: Literal["C", "F"] = "F" if by_target else "C"
    of_sources, of_targets = (np.tile, np.repeat) if by_target else (np.repeat, np.tile)

    def names(of_graphs: Iterable[str], spread: Any, count: int) -> pa.DictionaryArray:
        words = pa.array(of_graphs, pa.string()).dictionary_encode()
        codes = spread(words.indices.to_numpy(), count)
        return pa.DictionaryArray.from_arrays(codes, words.dictionary)

    columns: dict[str, Any] = {
        "source_model": names([g.model_id for g in sources], of_sources, num_targets),
        "source_layer": names([g.layer for g in sources], of_sources, num_targets),
        "target_model": names([g.model_id for g in targets], of_targets, num_sources),
        "target_layer": names([g.layer for g in targets], of_targets, num_sources),
        "similarity": similarity_AB.ravel(order),
        "num_probes": np.full(similarity_AB.size, num_probes, dtype=np.int32),
    }
    for name, matrix_AB in matrices.items():
        values = matrix_AB.ravel(order)
        has_nulls = bool(np.isnan(values).any())  # looking is quicker than a copy
        columns[name] = pa.array(values, schema.field(name).type, from_pandas=has_nulls)
    for field in schema:
        if field.name not in columns:
            columns[field.name] = pa.nulls(similarity_AB.size, field.type)
    return pa.table([columns[name] for name in schema.names], schema=texts_as_dictionaries(schema))
