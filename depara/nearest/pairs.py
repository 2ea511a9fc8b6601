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
_LEAST_ROWS = 16
_NONE = -1


@dataclass(frozen=True)
class BestSources:
    """The best sources of ``B`` targets by their estimates, best first.

    ``places_BK`` are places among the sources, -1 where there are no more; ``estimates_BK`` their
    estimated similarity and ``deviations_BK`` at most its standard deviation, NaN likewise.
    """

    places_BK: Places
    estimates_BK: Float32
    deviations_BK: Float32

    @classmethod
    def none(cls, num_targets: int, count: int) -> BestSources:
        """Returns that nothing is known."""
        shape = (num_targets, count)
        estimates_BK = np.full(shape, np.nan, np.float32)
        return cls(np.full(shape, _NONE, np.int32), estimates_BK, estimates_BK.copy())

    def of(self, targets: NDArray[np.integer] | NDArray[np.bool_]) -> BestSources:
        """Returns the same of some of the targets."""
        return BestSources(
            self.places_BK[targets], self.estimates_BK[targets], self.deviations_BK[targets]
        )

    def merged(self, other: BestSources, most: int) -> BestSources:
        """Returns the best of both, which have no source in common; equal ones by place."""
        places_BX = np.hstack([self.places_BK, other.places_BK])
        estimates_BX = np.hstack([self.estimates_BK, other.estimates_BK])
        deviations_BX = np.hstack([self.deviations_BK, other.deviations_BK])
        falling_BX = np.where(places_BX == _NONE, np.float32(np.inf), -estimates_BX)
        if most < places_BX.shape[1]:
            some_BK = np.argpartition(falling_BX, most, axis=1)[:, :most]
            places_BX, estimates_BX, deviations_BX, falling_BX = (
                np.take_along_axis(values, some_BK, axis=1)
                for values in (places_BX, estimates_BX, deviations_BX, falling_BX)
            )
        order_BK = np.lexsort((places_BX, falling_BX), axis=1)
        return BestSources(
            np.take_along_axis(places_BX, order_BK, axis=1),
            np.take_along_axis(estimates_BX, order_BK, axis=1),
            np.take_along_axis(deviations_BX, order_BK, axis=1),
        )

    def up_to(self, count_B: NDArray[np.integer]) -> BestSources:
        """Returns the same with the first few of each target alone."""
        goes = np.arange(self.places_BK.shape[1]) >= count_B[:, None]
        nan = np.float32(np.nan)
        return BestSources(
            np.where(goes, np.int32(_NONE), self.places_BK),
            np.where(goes, nan, self.estimates_BK),
            np.where(goes, nan, self.deviations_BK),
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
    sources: Sequence[int],
    targets: Sequence[int],
    most: int,
    *,
    num_probes: int,
    terms: Mapping[str, float],
    memory_bytes: int,
) -> BestSources:
    """Returns the best sources of some targets, by their sketches; places are those of all graphs.

    Args:
        read: the sketch of a graph by its place; called on several threads.
        sources: the places of the ``A`` sources; a target is no source of itself.
        targets: the places of the ``B`` targets.
        most: ``K``.
        num_probes: of the sketches.
        terms: weights of the terms, all of `SKETCHED_TERMS`.
        memory_bytes: what the call may allocate with `block_rows` targets.
    """
    target_BV, target_BT = _rows(read, targets, num_probes, terms, is_target=True)
    own_B1 = np.asarray(targets, np.int32)[:, None]
    kept = BestSources.none(len(targets), 0)
    step = block_rows(num_probes, terms, memory_bytes)
    for start in range(0, len(sources), step):
        block = sources[start : start + step]
        source_AV, source_AT = _rows(read, block, num_probes, terms, is_target=False)
        places_BA = np.broadcast_to(np.asarray(block, np.int32), (len(targets), len(block)))
        found = BestSources(
            np.where(places_BA == own_B1, np.int32(_NONE), places_BA),
            target_BV @ source_AV.T,
            np.sqrt(target_BT @ source_AT.T).astype(np.float32),
        )
        kept = kept.merged(found, most)
    return kept.up_to((kept.places_BK != _NONE).sum(axis=1))


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
        list(pool.map(fill, range(len(places))))
    return rows_GV, spread_GT
