"""Node and edge similarity of every pair of two blocks under every resample, in bounded memory.

``A`` source graphs, ``B`` target graphs, ``N`` probes, ``E`` edges, ``R`` resamples, ``r`` of a
batch, ``V`` edges of positive weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from depara.graph.edges import edge_count
from depara.similarity.engine.blocks import GraphBlock, common_steps
from depara.similarity.engine.prefetch import Prefetch
from depara.similarity.engine.preflight import check_blocks, check_maps, take_edges
from depara.similarity.engine.stream import stream_edges
from depara.types import Float16, Float32, Float64, ProbeRange
from depara.uncertainty.edge_batch import EdgeBatch, active_edges
from depara.uncertainty.edge_order import EdgeOrder, edge_order
from depara.uncertainty.footprint import EdgeSteps, ResamplingFootprint
from depara.uncertainty.node_cosines import add_weighted_cosines, check_cosines, node_cosines

MapsPair = tuple[Sequence[Float16], Sequence[Float16]]


@dataclass(frozen=True)
class ResampledScores:
    """Scores of every pair under every resample: float32 ``(B, A, R)``, each in [-1, 1]."""

    node_BAR: Float32
    edge_BAR: Float32

    def __post_init__(self) -> None:
        assert self.node_BAR.shape == self.edge_BAR.shape
        assert self.node_BAR.dtype == self.edge_BAR.dtype == np.float32


def resampled_scores(
    source: GraphBlock,
    target: GraphBlock,
    weights_RN: Float32,
    *,
    memory_bytes: int,
    cosines_ABN: Float32 | None = None,
) -> ResampledScores:
    """Returns ``s_V`` and ``s_E`` of every (source, target) pair for every weighting of the probes.

    Node similarity is the weighted mean of the probes' cosines. Edge similarity is Spearman's rho
    of the edges between resampled probes, ranked anew: exactly that of the explicit list in which
    edge ``(p, q)`` stands ``w_p w_q`` times (`EdgeBatch`). What was estimated over all probes
    before the edges were stored, the z-scoring of features, is not estimated anew.

    The node pass streams probe ranges; the edge pass sorts each graph once and goes through the
    resamples in batches, sources in chunks, both as large as ``memory_bytes`` allows
    (`ResamplingFootprint` has the account). BLAS threads are the caller's to set.

    Args:
        source: block of the ``A`` sources.
        target: block of the ``B`` targets over the same probe set.
        weights_RN: whole numbers, not all 0 in a row, float32; a row of ones gives the scores
            themselves.
        memory_bytes: limit of what this call allocates, the blocks' own reading included.
        cosines_ABN: `node_cosines` of all probes where they are known; no map is then read.

    Raises:
        ConfigError: the block does not fit in ``memory_bytes``, or the maps' sizes differ.
        StoreError: ranges do not cover the probes, an array read has the wrong shape, or maps are
            not of unit norm.
        NonFiniteError: edges that were read are NaN or infinite.
    """
    footprint = ResamplingFootprint(
        num_sources=source.num_graphs,
        num_targets=target.num_graphs,
        num_probes=weights_RN.shape[1],
        num_pixels=source.num_pixels,
        active_edges=tuple(sorted(active_edges(weights_RN).tolist(), reverse=True)),
    )
    what = (
        f"a block with {len(weights_RN)} resamples of {source.num_graphs} x {target.num_graphs} "
        f"graphs of {weights_RN.shape[1]} probes"
    )
    check_blocks(source, target, footprint, memory_bytes, what, "take fewer targets at a time")
    node_BAR = _empty_scores(source, target, weights_RN)
    node_BAR.fill(0.0)
    if cosines_ABN is None:
        _add_streamed(node_BAR, source, target, weights_RN, footprint, memory_bytes)
    else:
        assert cosines_ABN.shape == (source.num_graphs, target.num_graphs, weights_RN.shape[1])
        add_weighted_cosines(node_BAR, cosines_ABN, _shares(weights_RN))
    return ResampledScores(
        node_BAR=np.clip(node_BAR, -1.0, 1.0, out=node_BAR),  # float16 maps may be longer than 1
        edge_BAR=_edge_scores(source, target, weights_RN, footprint.edge_steps(memory_bytes)),
    )


def _add_streamed(
    node_BAR: Float32,
    source: GraphBlock,
    target: GraphBlock,
    weights_RN: Float32,
    footprint: ResamplingFootprint,
    memory_bytes: int,
) -> None:
    """Adds the node similarities, probe ranges being streamed through `node_cosines`."""
    steps = common_steps(
        source.ranges(),
        target.ranges(),
        num_probes=footprint.num_probes,
        max_probes=footprint.max_step_probes(memory_bytes),
    )
    shares_RN = _shares(weights_RN)
    reads = (partial(_read_step, source, target, probes) for probes in steps)
    with closing(Prefetch(reads)) as maps_of_steps:
        for probes, (maps_A, maps_B) in zip(steps, maps_of_steps, strict=True):
            cosines_ABn = node_cosines(maps_A, maps_B)
            del maps_A, maps_B  # before the next step but one is read
            check_cosines(cosines_ABn, probes)
            add_weighted_cosines(node_BAR, cosines_ABn, shares_RN[:, probes.start : probes.stop])


def _shares(weights_RN: Float32) -> Float32:
    """Returns each probe's share of its resample."""
    shares_RN: Float32 = weights_RN / weights_RN.sum(axis=1, keepdims=True)
    return shares_RN


def _read_step(source: GraphBlock, target: GraphBlock, probes: ProbeRange) -> MapsPair:
    return _read_maps(source, probes), _read_maps(target, probes)


def _read_maps(block: GraphBlock, probes: ProbeRange) -> Sequence[Float16]:
    """Reads one range of all graphs of a block and checks that it is what was asked for."""
    maps = block.read_maps(probes, slice(0, block.num_graphs))
    for graph, maps_nP in enumerate(maps):
        check_maps(maps_nP, graph, probes, block.num_pixels)
    return maps


def _edge_scores(
    source: GraphBlock, target: GraphBlock, weights_RN: Float32, steps: EdgeSteps
) -> Float32:
    """Holds the orders of the targets and of one chunk of sources after the other."""
    edge_BAR = _empty_scores(source, target, weights_RN)
    num_edges = edge_count(weights_RN.shape[1])
    targets = _orders(target, range(target.num_graphs), num_edges)
    for first in range(0, source.num_graphs, steps.chunk):
        chunk = range(first, min(first + steps.chunk, source.num_graphs))
        sources = _orders(source, chunk, num_edges)
        for start in range(0, len(weights_RN), steps.resamples):
            batch = EdgeBatch(weights_RN[start : start + steps.resamples])
            resamples = slice(start, start + steps.resamples)
            for group, rho_rSB in _batch_scores(batch, sources, targets, steps.group):
                graphs = slice(first + group.start, first + group.stop)
                edge_BAR[:, graphs, resamples] = rho_rSB.transpose(2, 1, 0)
            del batch  # before the next one is made
    return edge_BAR


def _batch_scores(
    batch: EdgeBatch, sources: Sequence[EdgeOrder], targets: Sequence[EdgeOrder], group_size: int
) -> Iterator[tuple[slice, Float64]]:
    """Yields groups of sources and Spearman's rho of each with every target, ``(r, S, B)``."""
    shape = (len(targets), batch.num_values)
    dtype = batch.weights_V.dtype
    weighted_BV = np.empty(shape, dtype=dtype)
    norms_Br = np.stack([batch.rank(order, out) for order, out in _rows(targets, weighted_BV)])
    weighted_BV *= batch.weights_V
    ranks_SV = np.empty((min(group_size, len(sources)), batch.num_values), dtype=dtype)
    for start in range(0, len(sources), group_size):
        group = slice(start, min(start + group_size, len(sources)))
        orders = sources[group]
        norms_Sr = np.stack([batch.rank(order, out) for order, out in _rows(orders, ranks_SV)])
        rho_rSB = batch.products(ranks_SV[: len(orders)], weighted_BV)
        norms_rSB = norms_Sr.T[:, :, None] * norms_Br.T[:, None, :]
        np.divide(rho_rSB, norms_rSB, out=rho_rSB, where=norms_rSB > 0)  # 0 where it is 0
        yield group, np.clip(rho_rSB, -1.0, 1.0, out=rho_rSB)


def _rows(
    orders: Sequence[EdgeOrder], values: np.ndarray[tuple[int, int], np.dtype[np.floating]]
) -> Iterator[tuple[EdgeOrder, np.ndarray[tuple[int], np.dtype[np.floating]]]]:
    return zip(orders, values[: len(orders)], strict=True)


def _orders(block: GraphBlock, graphs: range, num_edges: int) -> list[EdgeOrder]:
    """Reads and sorts the edges of some graphs of a block."""
    orders = []
    with closing(stream_edges(block, graphs)) as edges_of_graphs:
        for graph, cosine_E in zip(graphs, edges_of_graphs, strict=True):
            orders.append(take_edges(cosine_E, graph, num_edges, edge_order))
            del cosine_E  # before the next ones are read
    return orders


def _empty_scores(source: GraphBlock, target: GraphBlock, weights_RN: Float32) -> Float32:
    shape = (target.num_graphs, source.num_graphs, len(weights_RN))
    return np.empty(shape, dtype=np.float32)
