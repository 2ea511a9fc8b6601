"""The scores of a new model's graphs with a zoo's, both ways, by the tiles of a scan.

``A`` graphs of the zoo, ``B`` of them ranked output graphs, ``L`` layers of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from depara.catalog import z_column
from depara.query.centre import QueryCentre, query_centre
from depara.query.cosines import Graphs, QueryCosines, read_cosines
from depara.query.own import OwnModel
from depara.query.progress import Progress
from depara.query.zoo import Zoo
from depara.similarity import Tile, edge_tile, plan_tiles, score_tile
from depara.similarity.centre import centred_matrix
from depara.similarity.pair_table import similarity_table
from depara.similarity.stored import GraphRef, StoredBlock
from depara.store.artifacts import plain_texts
from depara.types import Float32, Float64


@dataclass(frozen=True)
class Compared:
    """The similarity table of a query, the cosines of its maps, and the zoo's centre."""

    similarity: pa.Table
    cosines: QueryCosines
    centre: QueryCentre | None


def compare(
    own: OwnModel,
    zoo: Zoo,
    graphs: Graphs,
    memory_bytes: int,
    workers: int,
    on_progress: Progress,
    stored_centre: pa.Table | None,
) -> Compared:
    """Returns the similarity table of the model with the zoo, and what its intervals need.

    Rows are all graphs of the zoo as sources for the model's output graph, then all graphs of the
    model as sources for the output graphs of the zoo's models.

    Args:
        own: the model.
        zoo: the zoo.
        graphs: the graphs of both.
        memory_bytes: limit of what this allocates.
        workers: threads side by side. BLAS threads are the caller's to set: one is best.
        on_progress: told of the maps read.
        stored_centre: the ``centre`` table of the scan, None where it has none.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        DeparaError, ValueError, ArithmeticError: a graph's numbers cannot be compared.
    """
    has_intervals = zoo.config.uncertainty.resamples > 0
    cosines = read_cosines(
        own, zoo, graphs, memory_bytes, workers, on_progress, with_outputs=has_intervals
    )
    node_AL = cosines.node_similarity(zoo.graphs, own.refs)
    edge_AL, z_AL = _edges(zoo.graphs, own.refs, zoo, graphs, memory_bytes, workers)
    places = [place for place, graph in enumerate(zoo.graphs) if graph.is_ranked]
    output = own.refs.index(own.output)
    found: dict[str, Float64 | Float32] = {
        "node_similarity": node_AL,
        "edge_similarity": edge_AL,
        z_column("edge_similarity"): z_AL,
    }
    there = {name: score_AL[:, [output]] for name, score_AL in found.items()}
    back = {name: score_AL[places].T for name, score_AL in found.items()}
    centre = query_centre(own, zoo, graphs, cosines, stored_centre)
    if centre is not None:
        of_zoo, of_output = centre.rows(zoo.graphs), centre.rows([own.output])
        of_own, of_outputs = centre.rows(own.refs), centre.rows(zoo.outputs)
        there["node_centred"] = centred_matrix(node_AL[:, [output]], of_zoo, of_output)
        back["node_centred"] = centred_matrix(node_AL[places].T, of_own, of_outputs)
    on_progress("comparing by other scores", 0, 0)
    there |= _neighbours(zoo.graphs, (own.output,), zoo, graphs, memory_bytes, workers)
    back |= _neighbours(own.refs, zoo.outputs, zoo, graphs, memory_bytes, workers)
    terms, num_probes = zoo.config.similarity.terms, zoo.num_probes
    parts = [
        similarity_table(sources, targets, scores, terms=terms, num_probes=num_probes)
        for sources, targets, scores in (
            (zoo.graphs, (own.output,), there),
            (own.refs, zoo.outputs, back),
        )
    ]
    return Compared(plain_texts(pa.concat_tables(parts)), cosines, centre)


def _edges(
    sources: Sequence[GraphRef],
    targets: Sequence[GraphRef],
    zoo: Zoo,
    graphs: Graphs,
    memory_bytes: int,
    workers: int,
) -> tuple[Float64, Float32]:
    """Edge similarity of all pairs and its z, which are symmetric: ``(A, L)`` each."""
    edge_AL = np.empty((len(sources), len(targets)))
    z_AL = np.empty_like(edge_AL, np.float32)
    tiles = plan_tiles(
        len(sources),
        len(targets),
        num_probes=zoo.num_probes,
        num_pixels=1,  # no maps are read
        memory_bytes=memory_bytes // workers,
        min_tiles=workers,
    )

    def compute(tile: Tile) -> None:
        rows = slice(tile.source_start, tile.source_stop)
        columns = slice(tile.target_start, tile.target_stop)
        edge_AL[rows, columns], z_AL[rows, columns] = edge_tile(
            StoredBlock([graphs[ref.key] for ref in sources[rows]]),
            StoredBlock([graphs[ref.key] for ref in targets[columns]]),
            num_probes=zoo.num_probes,
            memory_bytes=memory_bytes // workers,
        )

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(compute, tiles))
    return edge_AL, z_AL


def _neighbours(
    sources: Sequence[GraphRef],
    targets: Sequence[GraphRef],
    zoo: Zoo,
    graphs: Graphs,
    memory_bytes: int,
    workers: int,
) -> dict[str, Float64 | Float32]:
    """The other scores of all pairs, ``(sources, targets)`` each; the longer side in pieces."""
    names = list(zoo.config.similarity.computed_scores)
    by_source = len(sources) >= len(targets)
    longer = sources if by_source else targets
    cuts = [len(longer) * piece // workers for piece in range(workers + 1)]

    def piece(cut: tuple[int, int]) -> dict[str, Float64 | Float32]:
        mine = longer[slice(*cut)]
        rows, columns = (mine, targets) if by_source else (sources, mine)
        return score_tile(
            names,
            lambda place: graphs[rows[place].key].read_grams(),
            len(rows),
            lambda place: graphs[columns[place].key].read_grams(),
            len(columns),
            num_probes=zoo.num_probes,
            memory_bytes=memory_bytes // workers,
        )

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(piece, [cut for cut in pairwise(cuts) if cut[0] < cut[1]]))
    axis = 0 if by_source else 1
    return {name: np.concatenate([part[name] for part in parts], axis=axis) for name in parts[0]}
