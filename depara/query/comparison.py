"""The scores of a new model's graphs with a zoo's, both ways, by the tiles of a scan.

``A`` graphs of the zoo, ``B`` of them ranked output graphs, ``L`` layers of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pyarrow as pa

from depara.catalog import z_column
from depara.query.own import OwnModel
from depara.query.progress import Progress
from depara.query.zoo import Zoo
from depara.similarity import plan_tiles, score_tile, similarity_tile
from depara.similarity.pair_table import similarity_table
from depara.similarity.stored import GraphRef, StoredBlock
from depara.store.graphs import CommittedGraph
from depara.types import Float16, Float32, Float64, ProbeRange

Graphs = Mapping[str, CommittedGraph]
"""Open graphs by key."""


def compare(
    own: OwnModel,
    zoo: Zoo,
    graphs: Graphs,
    memory_bytes: int,
    workers: int,
    on_progress: Progress,
) -> pa.Table:
    """Returns the similarity table of the model with the zoo.

    Rows are all graphs of the zoo as sources for the model's output graph, then all graphs of the
    model as sources for the output graphs of the zoo's models.

    Args:
        own: the model.
        zoo: the zoo.
        graphs: the graphs of both.
        memory_bytes: limit of what this allocates.
        workers: threads side by side. BLAS threads are the caller's to set: one is best.
        on_progress: told of the maps read.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        DeparaError, ValueError, ArithmeticError: a graph's numbers cannot be compared.
    """
    node_AL, edge_AL, z_AL = _tiles(zoo.graphs, own.refs, zoo, graphs, memory_bytes, on_progress)
    places = [place for place, graph in enumerate(zoo.graphs) if graph.is_ranked]
    output = own.refs.index(own.output)
    found: dict[str, Float64 | Float32] = {
        "node_similarity": node_AL,
        "edge_similarity": edge_AL,
        z_column("edge_similarity"): z_AL,
    }
    there = {name: score_AL[:, [output]] for name, score_AL in found.items()}
    back = {name: score_AL[places].T for name, score_AL in found.items()}
    on_progress("comparing by other scores", 0, 0)
    there |= _neighbours(zoo.graphs, (own.output,), zoo, graphs, memory_bytes, workers)
    back |= _neighbours(own.refs, zoo.outputs, zoo, graphs, memory_bytes, workers)
    lambda_, num_probes = zoo.config.similarity.lambda_, zoo.num_probes
    parts = [
        similarity_table(sources, targets, scores, lambda_=lambda_, num_probes=num_probes)
        for sources, targets, scores in (
            (zoo.graphs, (own.output,), there),
            (own.refs, zoo.outputs, back),
        )
    ]
    return pa.concat_tables(parts)


class _WatchedBlock(StoredBlock):
    """Tells how many maps have been read."""

    def __init__(self, graphs: Sequence[CommittedGraph], progress: _Counter) -> None:
        super().__init__(graphs)
        self._progress = progress

    def read_maps(self, probes: ProbeRange, graphs: slice) -> list[Float16]:
        """Returns the maps of some graphs."""
        maps = super().read_maps(probes, graphs)
        self._progress.add(len(probes) * len(maps))
        return maps


class _Counter:
    def __init__(self, num_graphs: int, num_probes: int, on_progress: Progress) -> None:
        self._done, self._total, self._num_probes = 0, num_graphs, num_probes
        self._tell = on_progress

    def add(self, maps: int) -> None:
        """Counts maps; tells of whole graphs."""
        self._done += maps
        self._tell("comparing", self._done // self._num_probes, self._total)


def _tiles(
    sources: Sequence[GraphRef],
    targets: Sequence[GraphRef],
    zoo: Zoo,
    graphs: Graphs,
    memory_bytes: int,
    on_progress: Progress,
) -> tuple[Float64, Float64, Float32]:
    """Node and edge similarity of all pairs and the edges' z, symmetric: ``(A, L)`` each."""
    node_AL = np.empty((len(sources), len(targets)))
    edge_AL = np.empty_like(node_AL)
    z_AL = np.empty_like(node_AL, np.float32)
    counter = _Counter(len(sources), zoo.num_probes, on_progress)
    tiles = plan_tiles(
        len(sources),
        len(targets),
        num_probes=zoo.num_probes,
        num_pixels=zoo.num_pixels,
        memory_bytes=memory_bytes,
        range_probes=min(zoo.config.compute.unit_probes, zoo.num_probes),
    )
    for tile in tiles:
        rows = slice(tile.source_start, tile.source_stop)
        columns = slice(tile.target_start, tile.target_stop)
        scores = similarity_tile(
            _WatchedBlock([graphs[ref.key] for ref in sources[rows]], counter),
            StoredBlock([graphs[ref.key] for ref in targets[columns]]),
            num_probes=zoo.num_probes,
            memory_bytes=memory_bytes,
        )
        node_AL[rows, columns] = scores.node_AB
        edge_AL[rows, columns] = scores.edge_AB
        z_AL[rows, columns] = scores.edge_z_AB
    return node_AL, edge_AL, z_AL


def _neighbours(
    sources: Sequence[GraphRef],
    targets: Sequence[GraphRef],
    zoo: Zoo,
    graphs: Graphs,
    memory_bytes: int,
    workers: int,
) -> dict[str, Float64 | Float32]:
    """The other scores of all pairs, ``(sources, targets)`` each; the longer side in pieces."""
    names = list(zoo.config.similarity.scores)
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
