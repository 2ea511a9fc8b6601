"""The best sources of many targets at once: which pairs of a large zoo are worth comparing.

The weighted terms of a whole sketch, end to end, are one vector, and the product of two of them is
the estimated similarity (`depara.nearest.index.estimate`): all pairs are one matrix product of
``V`` columns, a seventh of what the maps and edges of 200 probes have.

``A`` sources, ``B`` targets, ``V`` cells, ``T`` weighted terms, ``K`` sources kept of each target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from depara.nearest.index import SOURCE_VECTORS, TARGET_VECTORS, weighted_terms
from depara.similarity.sketches import MAP_CELLS, PAIR_CELLS
from depara.store.sketches import GraphSketch
from depara.types import Float32, Float64

Places = NDArray[np.int32]

_READERS = 4
_READ_TOGETHER = 64
_LEAST_ROWS = 16


@dataclass(frozen=True)
class BestSources:
    """The best sources of ``B`` targets by their estimates, best first.

    ``places_BK`` are places among the sources, -1 where there are no more; ``estimates_BK`` their
    estimated similarity and ``deviations_BK`` at most its standard deviation, NaN likewise.
    """

    places_BK: Places
    estimates_BK: Float32
    deviations_BK: Float32

    def first(self, count: int) -> BestSources:
        """Returns the same of the best ``count`` alone."""
        return BestSources(
            self.places_BK[:, :count], self.estimates_BK[:, :count], self.deviations_BK[:, :count]
        )

    def missed(self, count: int) -> Float64:
        """How many of each target's true best ``count`` are expected below them: ``B``.

        Of those that were kept beyond them; each estimate is off by a normal error, as is that of
        the last one taken.
        """
        if self.places_BK.shape[1] <= count:
            return np.zeros(len(self.places_BK))
        gap_BR = self.estimates_BK[:, count:] - self.estimates_BK[:, count - 1, None]
        off_BR = np.hypot(self.deviations_BK[:, count:], self.deviations_BK[:, count - 1, None])
        found: Float64 = np.nansum(ndtr(gap_BR.astype(np.float64) / off_BR), axis=1)
        return found


def block_rows(num_probes: int, terms: Mapping[str, float], memory_bytes: int) -> int:
    """Returns how many targets, and as many sources at a time, fit in a memory."""
    # Two blocks and what is being read; their products, deviations, and the order of both.
    row_bytes, pair_bytes = 3 * 4 * _num_cells(num_probes, terms), 40
    root = math.sqrt(row_bytes**2 + 4 * pair_bytes * memory_bytes)
    return max(_LEAST_ROWS, int((root - row_bytes) / (2 * pair_bytes)))


def best_sources(
    read: Callable[[int], GraphSketch],
    num_sources: int,
    targets: Sequence[int],
    most: int,
    *,
    num_probes: int,
    terms: Mapping[str, float],
    memory_bytes: int,
) -> BestSources:
    """Returns the best sources of some targets among all graphs, by their sketches.

    Args:
        read: the sketch of a graph by its place; called on several threads.
        num_sources: ``A``, of all graphs; a target is no source of itself.
        targets: the places of the ``B`` targets among them.
        most: ``K``, of which fewer are there where ``A - 1`` is less.
        num_probes: of the sketches.
        terms: weights of the terms, all of `SKETCHED_TERMS`.
        memory_bytes: what the call may allocate with `block_rows` targets.
    """
    most = min(most, num_sources - 1)
    target_BV, target_BT = _rows(read, targets, num_probes, terms, is_target=True)
    own_B = np.asarray(targets, np.int32)
    kept = BestSources(
        np.full((len(targets), most), -1, np.int32),
        np.full((len(targets), most), -np.inf, np.float32),
        np.full((len(targets), most), np.nan, np.float32),
    )
    step = block_rows(num_probes, terms, memory_bytes)
    for start in range(0, num_sources, step):
        places = np.arange(start, min(start + step, num_sources), dtype=np.int32)
        source_AV, source_AT = _rows(read, places.tolist(), num_probes, terms, is_target=False)
        estimates_BA = target_BV @ source_AV.T
        estimates_BA[own_B[:, None] == places] = -np.inf
        kept = _merged(kept, places, estimates_BA, np.sqrt(target_BT @ source_AT.T), most)
    is_there = np.isfinite(kept.estimates_BK)
    return BestSources(
        np.where(is_there, kept.places_BK, np.int32(-1)),
        np.where(is_there, kept.estimates_BK, np.float32(np.nan)),
        np.where(is_there, kept.deviations_BK, np.float32(np.nan)),
    )


def _merged(
    kept: BestSources, places: Places, estimates_BA: Float32, deviations_BA: Float32, most: int
) -> BestSources:
    """The best of those kept so far and of a block of sources; equal ones by place."""
    places_BX = np.hstack([kept.places_BK, np.broadcast_to(places, estimates_BA.shape)])
    estimates_BX = np.hstack([kept.estimates_BK, estimates_BA])
    deviations_BX = np.hstack([kept.deviations_BK, deviations_BA])
    order_BK = np.argsort(-estimates_BX, axis=1, kind="stable")[:, :most]
    return BestSources(
        np.take_along_axis(places_BX, order_BK, axis=1),
        np.take_along_axis(estimates_BX, order_BK, axis=1),
        np.take_along_axis(deviations_BX, order_BK, axis=1),
    )


def _num_cells(num_probes: int, terms: Mapping[str, float]) -> int:
    names = list(weighted_terms(terms))
    return sum(num_probes * MAP_CELLS if name == "node" else PAIR_CELLS for name in names)


def _rows(
    read: Callable[[int], GraphSketch],
    places: Sequence[int],
    num_probes: int,
    terms: Mapping[str, float],
    *,
    is_target: bool,
) -> tuple[Float32, Float64]:
    """The weighted cells of some graphs ``(G, V)``, and what products of their second ``(G, T)``
    are at most the variance of the estimates."""
    names = list(weighted_terms(terms))
    rows_GV = np.empty((len(places), _num_cells(num_probes, terms)), np.float32)
    spread_GT = np.empty((len(places), len(names)))
    vectors = TARGET_VECTORS if is_target else SOURCE_VECTORS

    def fill(row: int) -> None:
        sketch, start = read(places[row]), 0
        for column, term in enumerate(names):
            weight = terms[term]
            if term == "node":
                cells, norm = sketch.maps.floats().reshape(-1) / math.sqrt(num_probes), 1.0
                spread = weight * math.sqrt(2 / (num_probes * MAP_CELLS))
            else:
                cells, norm = sketch.vector(vectors[term]), sketch.norms[vectors[term]]
                spread = weight * math.sqrt(2 / PAIR_CELLS)
            np.multiply(cells, math.sqrt(weight), out=rows_GV[row, start : start + cells.size])
            spread_GT[row, column] = spread * norm**2
            start += cells.size
        assert start == rows_GV.shape[1]

    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(fill, range(len(places)), chunksize=_READ_TOGETHER))
    return rows_GV, spread_GT
