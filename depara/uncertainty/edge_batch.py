"""Spearman's rho of resampled edges: exact average ranks of weighted edges without sorting again.

``N`` probes, ``E = N(N-1)/2`` edges, ``r`` resamples of a batch, ``V`` edges of positive weight
laid end to end.

A resample draws probe ``p`` ``w_p`` times, so edge ``(p, q)`` stands ``w_p w_q`` times in the
resampled list. Pairs of a probe with its own copy are left out: their cosine is 1 by construction
in every graph and says nothing about any. With the edges in rising order, the copies of one edge
take the places from ``C - w`` to ``C`` (``C`` the running sum of weights), so their average rank is
``C - w/2 + 1/2``; tied edges share the mean of the places that they span together. With ``T`` the
sum of all weights, ``r = C - w/2 - T/2`` is that rank centred, and

    rho = sum of w r r' / sqrt(sum of w r^2 * sum of w r'^2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.graph.edges import edge_count
from depara.types import Float32, Float64
from depara.uncertainty.edge_order import EdgeOrder

Values = NDArray[np.floating]
Places = NDArray[np.intp]

_MAX_FLOAT32_EDGES = 2**23
"""Half-integers up to this size are exact in float32: ranks of up to 4,096 probes."""

_STEP_VALUES = 8192
"""Values per step of the running sum: large enough to hide the cost of a call, within L1."""

_TIE_ROWS = 1024
"""Tied edges handled together."""

_BLOCK_EDGES = 16384
"""Edges per block: its ranks under all resamples fit in L2; a product is float32 within one."""


def rank_dtype(num_edges: int) -> type[np.floating]:
    """Returns the narrowest float in which the ranks of so many edges are exact."""
    return np.float32 if num_edges <= _MAX_FLOAT32_EDGES else np.float64


class EdgeBatch:
    """Some resamples of the edges: ranks any graph under all of them, into one row of values.

    ``weights_V`` are the positive weights, block of edges by block, resample by resample.
    """

    def __init__(self, weights_rN: Float32) -> None:
        num_resamples, num_probes = weights_rN.shape
        self._num_edges = edge_count(num_probes)
        dtype = rank_dtype(self._num_edges)
        pairs_r = weights_rN.sum(axis=1, dtype=np.float64) ** 2
        pairs_r -= np.einsum("rn,rn->r", weights_rN, weights_rN, dtype=np.float64)
        self._half_totals_r: Values = (pairs_r / 4).astype(dtype)
        self._weights_Er = _edge_weights(weights_rN.astype(dtype))
        self._flat_V, self._counts_Kr = _active_edges(self._weights_Er[:-1])
        self.weights_V: Values = self._weights_Er.reshape(-1)[self._flat_V]
        self._half_V = self.weights_V / 2
        self._squares_V = np.empty_like(self.weights_V)
        columns = max(1, min(_STEP_VALUES // num_resamples, self._num_edges))
        steps = -(-self._num_edges // columns)
        self._sums_KCr = np.empty((steps, columns, num_resamples), dtype=dtype)
        self._ranks_Er = np.empty((self._num_edges, num_resamples), dtype=dtype)
        # Place s = c K + k of the order sits at [k, c]: a step of the running sum adds whole rows.
        grid_KC = np.arange(steps * columns, dtype=np.intp).reshape(steps, columns)
        self._places_E: Places = grid_KC.T.reshape(-1)[: self._num_edges].copy()
        self._inverse_E: Places = np.empty(self._num_edges, dtype=np.intp)
        # Places beyond the last edge sum edge E, whose weight is 0.
        self._order = np.full(steps * columns, self._num_edges, dtype=np.int32)
        self._rows_KC: Places = grid_KC

    @property
    def num_values(self) -> int:
        """``V``, the length of a row of ranks."""
        return len(self._flat_V)

    def rank(self, graph: EdgeOrder, out_V: Values) -> Float64:
        """Writes the graph's centred weighted ranks and returns their norms, ``(r,)``.

        A norm is 0 where all edges of a resample are tied, or it has none.
        """
        steps, columns, num_resamples = self._sums_KCr.shape
        self._order[: self._num_edges] = graph.order_E
        np.copyto(self._rows_KC, self._order.reshape(columns, steps).T)
        np.take(self._weights_Er, self._rows_KC, axis=0, out=self._sums_KCr, mode="clip")
        self._accumulate()
        sums = self._sums_KCr.reshape(steps * columns, num_resamples)
        self._inverse_E[graph.order_E] = self._places_E
        tied_edges = self._share_ranks(graph, sums)
        np.take(sums, self._inverse_E, axis=0, out=self._ranks_Er, mode="clip")
        for block in _blocks(len(tied_edges), _TIE_ROWS):  # they take no half off
            edges = tied_edges[block]
            halves = np.take(self._weights_Er, edges, axis=0)
            halves /= 2
            halves += np.take(self._ranks_Er, edges, axis=0)
            self._ranks_Er[edges] = halves
        np.take(self._ranks_Er.reshape(-1), self._flat_V, out=out_V, mode="clip")
        out_V -= self._half_V
        return self._norms(out_V)

    def products(self, left_SV: Values, right_BV: Values) -> Float64:
        """Returns ``sum of left * right`` over the edges of each resample: ``(r, S, B)``.

        Products are of the rows' type within a block of edges and float64 across blocks: rho is
        then within 3e-6 of its value.
        """
        num_resamples = self._counts_Kr.shape[1]
        products = np.zeros((num_resamples, len(left_SV), len(right_BV)), dtype=np.float64)
        start = 0
        for place, count in enumerate(self._counts_Kr.reshape(-1).tolist()):
            edges = slice(start, start := start + count)
            products[place % num_resamples] += left_SV[:, edges] @ right_BV[:, edges].T
        return products

    def _accumulate(self) -> None:
        """Turns weights into running sums less ``T/2``, in place."""
        totals_Cr = self._sums_KCr.sum(axis=0)
        first_Cr = np.cumsum(totals_Cr, axis=0, dtype=self._sums_KCr.dtype)
        first_Cr -= totals_Cr
        first_Cr -= self._half_totals_r
        self._sums_KCr[0] += first_Cr
        before = self._sums_KCr[0]
        for current in self._sums_KCr[1:]:
            np.add(before, current, out=current)
            before = current

    def _share_ranks(self, graph: EdgeOrder, sums: Values) -> Places:
        """Makes every tied edge look up the rank that its group shares; returns the tied edges."""
        counts = graph.tie_stops - graph.tie_starts
        first_places = self._places_E[graph.tie_starts]
        last_places = self._places_E[graph.tie_stops - 1]
        first_edges = graph.order_E[graph.tie_starts]
        for block in _blocks(len(counts), _TIE_ROWS):
            first = first_places[block]
            shared = np.take(sums, first, axis=0)
            shared -= np.take(self._weights_Er, first_edges[block], axis=0)
            shared += np.take(sums, last_places[block], axis=0)
            shared /= 2
            sums[first] = shared
        before = np.cumsum(counts) - counts
        members = np.arange(counts.sum()) + np.repeat(graph.tie_starts - before, counts)
        edges: Places = graph.order_E[members].astype(np.intp)
        self._inverse_E[edges] = np.repeat(first_places, counts)
        edges.sort()
        return edges

    def _norms(self, ranks_V: Values) -> Float64:
        """Returns the root of the weighted sum of squares of each resample; exactly 0 when tied."""
        np.multiply(ranks_V, ranks_V, out=self._squares_V)
        self._squares_V *= self.weights_V
        counts = self._counts_Kr.reshape(-1)
        sums = np.zeros(len(counts), dtype=np.float64)
        filled = counts > 0  # reduceat has no empty sums
        starts = (np.cumsum(counts) - counts)[filled]
        if starts.size:
            sums[filled] = np.add.reduceat(self._squares_V, starts)
        norms_r: Float64 = np.sqrt(sums.reshape(self._counts_Kr.shape).sum(axis=0))
        return norms_r


def active_edges(weights_RN: Float32) -> NDArray[np.int64]:
    """Returns how many edges of each resample have positive weight, ``(R,)``."""
    probes_R = np.count_nonzero(weights_RN, axis=1).astype(np.int64)
    edges_R: NDArray[np.int64] = probes_R * (probes_R - 1) // 2
    return edges_R


def _edge_weights(weights_rN: Values) -> Values:
    """Returns ``w_p w_q`` in ``pdist`` order, ``(E + 1, r)``; the last row is zero."""
    num_resamples, num_probes = weights_rN.shape
    weights_Nr = np.ascontiguousarray(weights_rN.T)
    edges_Er = np.empty((edge_count(num_probes) + 1, num_resamples), dtype=weights_rN.dtype)
    edges_Er[-1] = 0
    start = 0
    for probe in range(num_probes - 1):
        stop = start + num_probes - 1 - probe
        np.multiply(weights_Nr[probe + 1 :], weights_Nr[probe], out=edges_Er[start:stop])
        start = stop
    return edges_Er


def _active_edges(weights_Er: Values) -> tuple[Places, NDArray[np.intp]]:
    """Returns the flat places of positive weights, and how many each block and resample has.

    Block by block and, within one, resample by resample: ``(V,)`` and ``(blocks, r)``.
    """
    num_resamples = weights_Er.shape[1]
    flat, counts = [], []
    for block in _blocks(len(weights_Er), _BLOCK_EDGES):
        is_active_re = (weights_Er[block] > 0).T.copy()
        resample, edge = np.nonzero(is_active_re)
        flat.append((edge + block.start) * num_resamples + resample)
        counts.append(np.count_nonzero(is_active_re, axis=1))
    return np.concatenate(flat), np.stack(counts)


def _blocks(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
