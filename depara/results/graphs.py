"""What is stored of a graph, as arrays: attribution maps of some probes, and the edges.

Legend: ``N`` probes of the scan, ``n`` of them asked for, ``M`` map side, px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy

from depara.store.graphs import CommittedGraph, open_graph
from depara.store.keys import maps_per_node
from depara.store.storage import Storage
from depara.types import Float32


def read_maps(
    storage: Storage, graph_key: str, indices: Sequence[int], *, scaled: bool = False
) -> Float32:
    """Returns the attribution maps (n, M, M) of probes by index: of norm 1, or as computed.

    Only the files that hold them are read, each once; their checksums are verified. Of a node with
    several maps (`gradient_field`) it is the last one, at the end of the path.

    Args:
        scaled: times their norms, which makes them attributions of the layer's scalar.

    Raises:
        DamagedGraphError: the graph is not there or damaged.
    """
    graph = open_graph(storage, graph_key)
    num_maps = maps_per_node(graph.marker.settings)
    side = math.isqrt(graph.marker.num_pixels // num_maps)
    maps_nP = _read_nodes(graph, indices, side**2, scaled=scaled)
    if num_maps > 1:
        maps_nP *= math.sqrt(num_maps)
    return maps_nP.reshape(-1, side, side)


def _read_nodes(
    graph: CommittedGraph, indices: Sequence[int], last: int, *, scaled: bool = False
) -> Float32:
    """Returns the last so many values of the nodes of some probes."""
    places = np.asarray(indices, dtype=np.intp)
    maps_nP = np.zeros((len(places), last), dtype=np.float32)
    for probes in graph.marker.ranges:
        here = (places >= probes.start) & (places < probes.stop)
        if not here.any():
            continue
        half_nP, norms_n = graph.read_nodes(probes)
        rows = places[here] - probes.start
        maps_nP[here] = half_nP[rows, -last:]
        if scaled:
            maps_nP[here] *= norms_n[rows, None]
    return maps_nP


def read_map_cosines(storage: Storage, graph_key: str, other_key: str) -> Float32:
    """Returns the cosines (N,) of two graphs' maps, probe by probe, in the memory of one range.

    Of nodes with several maps each is the mean over the maps. Their mean is ``node_similarity``.

    Raises:
        DamagedGraphError: a graph is not there or damaged.
    """
    graphs = [open_graph(storage, key) for key in (graph_key, other_key)]
    marker = graphs[0].marker
    side = math.isqrt(marker.num_pixels // maps_per_node(marker.settings))
    cosines_N = np.zeros(marker.num_probes, dtype=np.float32)
    for probes in marker.ranges:
        indices = range(probes.start, probes.stop)
        pair = (_read_nodes(graph, indices, marker.num_pixels) for graph in graphs)
        maps = (nodes_nP.reshape(len(probes), -1, side) for nodes_nP in pair)
        cosines_N[probes.start : probes.stop] = map_cosines(*maps)
    return cosines_N


def read_edges(storage: Storage, graph_key: str) -> Float32:
    """Returns the cosines (N, N) of the probes' features, with ones on the diagonal.

    Raises:
        DamagedGraphError: the graph is not there or damaged.
    """
    graph = open_graph(storage, graph_key)
    if graph.marker.num_probes < 2:
        return np.ones((graph.marker.num_probes,) * 2, dtype=np.float32)
    edges_NN: Float32 = scipy.spatial.distance.squareform(graph.read_edges(), checks=False)
    np.fill_diagonal(edges_NN, 1.0)
    return edges_NN


def map_cosines(maps_nMM: Float32, others_nMM: Float32) -> Float32:
    """Returns the cosine (n,) of each pair of unit-norm maps; 0 where one is all zero."""
    cosines: Float32 = np.einsum(
        "nij,nij->n", maps_nMM, others_nMM, dtype=np.float64, casting="safe"
    ).astype(np.float32)
    return cosines
