"""One tile: node and edge similarity of every pair of two blocks of graphs, in bounded memory.

``A`` source graphs, ``B`` target graphs, ``R`` resident graphs, ``E`` edges, ``P`` map pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

import numpy as np

from depara.errors import StoreError
from depara.graph.edges import edge_count
from depara.graph.ranks import rank_vector
from depara.similarity.edges import edge_similarity
from depara.similarity.engine.blocks import GraphBlock, TileScores, common_steps
from depara.similarity.engine.footprint import Footprint
from depara.similarity.engine.preflight import MAX_COSINE, check_blocks, take_edges
from depara.similarity.engine.products import NodeProducts, node_similarity
from depara.similarity.engine.stream import stream_edges, stream_maps
from depara.similarity.layouts import EDGES
from depara.similarity.mantel import Moments, moments, z_scores
from depara.types import Float16, Float32, Float64


def similarity_tile(
    source: GraphBlock, target: GraphBlock, *, num_probes: int, memory_bytes: int
) -> TileScores:
    """Returns ``s_V`` and ``s_E`` of every (source, target) pair of two blocks.

    The node pass streams probe ranges: only the maps of one step, and those of the next, which a
    thread reads meanwhile, are in memory. The edge pass keeps the ranks of the smaller block and
    lets the other one pass by in groups; every graph is ranked once. Steps and groups are as large
    as ``memory_bytes`` allows (`footprint` has the account), and do not change the scores beyond
    1e-6. Where both passes fit at once, edges are ranked while the first maps are read. The same
    object given twice is computed as symmetric: read once, half the work.

    BLAS threads are the caller's to set.

    Args:
        source: block of the ``A`` sources.
        target: block of the ``B`` targets over the same probe set.
        num_probes: ``N``, all probes of the set.
        memory_bytes: limit of what this call allocates, the blocks' own reading included.

    Raises:
        ConfigError: the tile does not fit in ``memory_bytes``, or the maps' sizes differ.
        StoreError: ranges do not cover the probes, an array read has the wrong shape, or maps are
            not of unit norm.
        NonFiniteError: edges that were read are NaN or infinite.
    """
    footprint = Footprint(
        num_sources=source.num_graphs,
        num_targets=target.num_graphs,
        num_probes=num_probes,
        num_pixels=source.num_pixels,
        symmetric=source is target,
    )
    what = (
        f"a tile of {source.num_graphs} x {target.num_graphs} graphs, {num_probes} probes and "
        f"{source.num_pixels} px of maps per probe"
    )
    check_blocks(source, target, footprint, memory_bytes, what, "plan smaller tiles")
    ranges = source.ranges(), target.ranges()
    longest = min(max((len(one) for one in side), default=0) for side in ranges)
    max_probes = footprint.max_step_probes(memory_bytes, longest)
    steps = common_steps(*ranges, num_probes=num_probes, max_probes=max_probes)
    blocks = [source] if footprint.symmetric else [source, target]
    if footprint.fit_together(memory_bytes, longest):
        with closing(stream_maps(blocks, steps)) as maps_of_steps:  # the first are read meanwhile
            edges = _edge_scores(source, target, footprint, memory_bytes)
            return TileScores(_node_scores(maps_of_steps, footprint), *edges)
    with closing(stream_maps(blocks, steps)) as maps_of_steps:
        node_AB = _node_scores(maps_of_steps, footprint)
    return TileScores(node_AB, *_edge_scores(source, target, footprint, memory_bytes))


def edge_tile(
    source: GraphBlock, target: GraphBlock, *, num_probes: int, memory_bytes: int
) -> tuple[Float64, Float32]:
    """Returns ``s_E`` alone of every (source, target) pair of two blocks, and its z: ``(A, B)``.

    Arguments and errors are those of `similarity_tile`; no maps are read, nor counted.
    """
    footprint = Footprint(
        num_sources=source.num_graphs,
        num_targets=target.num_graphs,
        num_probes=num_probes,
        num_pixels=1,
        symmetric=source is target,
    )
    what = f"a tile of {source.num_graphs} x {target.num_graphs} graphs and {num_probes} probes"
    check_blocks(source, target, footprint, memory_bytes, what, "plan smaller tiles")
    return _edge_scores(source, target, footprint, memory_bytes)


def _node_scores(maps_of_steps: Iterable[list[Float16]], footprint: Footprint) -> Float64:
    """Sends the maps of each step through `NodeProducts`."""
    products = NodeProducts(
        footprint.num_sources, footprint.num_targets, symmetric=footprint.symmetric
    )
    for maps in maps_of_steps:
        products.add(*maps)
    return _checked_cosines(node_similarity(products.sums_AB, footprint.num_probes))


def _checked_cosines(node_AB: Float64) -> Float64:
    """Returns means of cosines, cut off at the ends that float16's rounding of norms oversteps.

    Means beyond what that explains are refused: maps not of unit norm.
    """
    bad = np.argwhere(~(np.abs(node_AB) <= MAX_COSINE))
    if bad.size:
        source, target = bad[0].tolist()
        raise StoreError(
            f"source {source} and target {target} of the tile have node similarity "
            f"{node_AB[source, target]:.3g}, beyond 1: maps of one of them are not of unit norm or "
            "not finite; its node files are damaged, write the graph again"
        )
    return np.clip(node_AB, -1.0, 1.0, out=node_AB)


def _edge_scores(
    source: GraphBlock, target: GraphBlock, footprint: Footprint, memory_bytes: int
) -> tuple[Float64, Float32]:
    """Holds the ranks of the smaller block and passes the other one by in groups.

    Returns rho and its distance from chance.
    """
    num_edges = edge_count(footprint.num_probes)
    resident, passing = source, target
    if footprint.num_resident < source.num_graphs:
        resident, passing = target, source
    resident_RE = np.empty((resident.num_graphs, num_edges), dtype=np.float32)
    of_resident: list[Moments] = []
    for _ in _ranked_groups(resident, resident_RE):
        of_resident += _moments(resident_RE, footprint.num_probes)
    if footprint.symmetric:
        rho_AB = edge_similarity(resident_RE, resident_RE)
        return rho_AB, z_scores(rho_AB, of_resident, of_resident)
    rho_AB = np.empty((footprint.num_sources, footprint.num_targets), dtype=np.float64)
    rho_RG = rho_AB if resident is source else rho_AB.T
    group = footprint.max_edge_group(memory_bytes)
    buffer_GE = np.empty((group, num_edges), dtype=np.float32)
    of_passing: list[Moments] = []
    for graphs in _ranked_groups(passing, buffer_GE):
        passing_GE = buffer_GE[: graphs.stop - graphs.start]
        rho_RG[:, graphs] = edge_similarity(resident_RE, passing_GE)
        of_passing += _moments(passing_GE, footprint.num_probes)
    of_sources, of_targets = of_resident, of_passing
    if resident is target:
        of_sources, of_targets = of_passing, of_resident
    return rho_AB, z_scores(rho_AB, of_sources, of_targets)


def _moments(ranks_GE: Float32, num_probes: int) -> list[Moments]:
    return moments(ranks_GE, EDGES, num_probes)


def _ranked_groups(block: GraphBlock, buffer_GE: Float32) -> Iterator[slice]:
    """Fills the buffer's rows with the ranks of one group of graphs after the other.

    Yields which graphs the buffer's first rows hold.
    """
    size = len(buffer_GE)
    num_edges = buffer_GE.shape[1]
    with closing(stream_edges(block, range(block.num_graphs))) as edges_of_graphs:
        for graph, cosine_E in enumerate(edges_of_graphs):
            buffer_GE[graph % size] = take_edges(cosine_E, graph, num_edges, rank_vector)
            del cosine_E  # before the next ones are read
            if graph % size == size - 1 or graph == block.num_graphs - 1:
                yield slice(graph - graph % size, graph + 1)
