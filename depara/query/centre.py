"""How the graphs of a zoo and of a new model lie to the mean map of both.

As in a scan with the model, the mean map is that of all output graphs, the model's among them. It
follows from the zoo's without it, and from the model's cosines with each graph.

``G`` graphs of the zoo, ``L`` layers of the model, ``N`` probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from depara.query.cosines import Graphs, QueryCosines
from depara.query.own import OwnModel
from depara.query.zoo import Zoo
from depara.similarity.centre import Centre, map_sums, products_with
from depara.similarity.centre_table import centre_rows
from depara.similarity.stored import GraphRef, StoredBlock
from depara.types import Float32, Float64


@dataclass(frozen=True)
class QueryCentre:
    """The centre of a query; ``place`` is each graph's place in it, by its key."""

    centre: Centre
    place: Mapping[str, int]

    def rows(self, refs: Iterable[GraphRef]) -> Centre:
        """Returns the centre's rows of some graphs, in their order."""
        return self.centre.rows([self.place[ref.key] for ref in refs])


def query_centre(
    own: OwnModel, zoo: Zoo, graphs: Graphs, cosines: QueryCosines, stored: pa.Table | None
) -> QueryCentre | None:
    """Returns the centre that a query's comparison needs; None where nothing asks for it.

    Args:
        own: the model.
        zoo: the zoo.
        graphs: the graphs of both.
        cosines: of their maps.
        stored: the ``centre`` table of the scan. None, as scans of older versions have it, leaves
            ``node_centred`` out, unless it has a weight. It is measured anew where the zoo lacks
            graphs that the scan had.

    Raises:
        StoreError: maps are not what was asked for.
    """
    similarity = zoo.config.similarity
    weights = (similarity.terms, similarity.layer_terms)
    if stored is None and not any(one.get("node_centred") for one in weights):
        return None
    known = None if stored is None else _known(zoo, stored)
    if known is None:
        known = _measured(zoo.graphs, zoo, graphs)
    keys, cosines_GN, squares_GN = known
    num_outputs = len(zoo.outputs)
    outputs = [cosines.place_A[ref.key] for ref in zoo.outputs]
    own_keys = list(cosines.place_L)
    output = cosines.place_L[own.output.key]
    own_output_LN, own_squares_LN = _with_output(own_keys, output, graphs)
    place_G = [cosines.place_A[key] for key in keys]
    to_output_N = cosines.own_ALN[:, output]

    def joined(to_zoo_GN: Float64, to_own_GN: Float32) -> Float64:
        return (num_outputs * to_zoo_GN + to_own_GN) / (num_outputs + 1)

    of_zoo_GN = joined(cosines_GN.astype(np.float64), to_output_N[place_G])
    own_to_zoo_LN = cosines.own_ALN[outputs].mean(axis=0, dtype=np.float64)
    of_own_LN = joined(own_to_zoo_LN, own_output_LN)
    place = {key: row for row, key in enumerate(keys)}
    of_outputs_N = of_zoo_GN[[place[ref.key] for ref in zoo.outputs]].mean(axis=0)
    mean_squares_N = joined(of_outputs_N, of_own_LN[output])
    centre = Centre(
        np.concatenate([of_zoo_GN, of_own_LN]).astype(np.float32),
        np.concatenate([squares_GN, own_squares_LN]),
        mean_squares_N.astype(np.float32),
    )
    own_place = {key: row for row, key in enumerate(own_keys, start=len(keys))}
    return QueryCentre(centre, place | own_place)


_Rows = tuple[list[str], Float32, Float32]


def _known(zoo: Zoo, stored: pa.Table) -> _Rows | None:
    """What the scan's table says of the zoo's graphs; None unless they are the scan's, all."""
    rows = zip(stored["model_id"].to_pylist(), stored["layer"].to_pylist(), strict=True)
    place = {row: index for index, row in enumerate(rows)}
    refs = {ref.key: ref for ref in zoo.graphs}
    if len(place) != len(zoo.graphs):
        return None
    index = pa.array([place[ref.model_id, ref.layer] for ref in refs.values()])
    return list(refs), *centre_rows(stored.take(index))


def _measured(refs: Sequence[GraphRef], zoo: Zoo, graphs: Graphs) -> _Rows:
    """The products of the zoo's graphs with the mean map of its outputs, read anew."""
    keys = list(dict.fromkeys(ref.key for ref in refs))
    every, outputs = (
        StoredBlock([graphs[key] for key in some])
        for some in (keys, [ref.key for ref in zoo.outputs])
    )
    parts = []
    for probes in every.ranges():
        mean_nP = map_sums(outputs, probes)
        mean_nP /= np.float32(outputs.num_graphs)
        parts.append(products_with(every, probes, mean_nP))
    cosines_GN, squares_GN = (np.concatenate(one, axis=1) for one in zip(*parts, strict=True))
    return keys, cosines_GN, squares_GN


def _with_output(keys: Sequence[str], output: int, graphs: Graphs) -> tuple[Float32, Float32]:
    """The model's maps' products with those of its output graph, and with themselves."""
    block = StoredBlock([graphs[key] for key in keys])
    parts = []
    for probes in block.ranges():
        maps_nP = block.read_maps(probes, slice(output, output + 1))[0].astype(np.float32)
        parts.append(products_with(block, probes, maps_nP))
    products_LN, squares_LN = (np.concatenate(one, axis=1) for one in zip(*parts, strict=True))
    return products_LN, squares_LN
