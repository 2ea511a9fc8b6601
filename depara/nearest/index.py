"""The index: what of every graph is in memory at once, and the estimates that come of it.

``G`` graphs, ``C`` cells of the first cut, ``N`` probes.

First cut: the weighted terms of a graph as one vector ``a = (sqrt(w_V) u, sqrt(w_E) r, ...)``, its
sketches added up in ``C`` cells, so that one product of the whole matrix estimates the similarity
with all graphs. ``|a|^2`` is the sum of the weights (times the norms of what has others than 1),
hence the deviation is at most ``sqrt((|a|^2 |b|^2 + s^2) / C)``. Second: the sketches themselves,
term by term, of those that are left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from depara.catalog import SKETCHED_TERMS
from depara.nearest.making import DIRECTED_SOURCE, DIRECTED_TARGET, EDGE
from depara.similarity.sketches import (
    CUT_CELLS,
    PAIR_CELLS,
    cut_cells,
    cut_maps,
    cut_vector,
    map_cosines,
    node_variance,
    product_variance,
)
from depara.store.sketches import GraphSketch
from depara.types import Float32, Float64

_BLOCK_ROWS = 2048
"""Rows that are in single precision at once: 32 MiB for each worker."""

SOURCE_VECTORS = {"edge": EDGE, "directed": DIRECTED_SOURCE}
TARGET_VECTORS = {"edge": EDGE, "directed": DIRECTED_TARGET}
"""The vector of a sketch that stands for a term, of a source and of a target."""


class CutIndex:
    """The first cut of ``G`` graphs as sources: ``C`` bytes and a scale each."""

    def __init__(self, num_graphs: int) -> None:
        self.values_GC = np.zeros((num_graphs, CUT_CELLS), dtype=np.int8)
        self.scales_G = np.zeros(num_graphs, dtype=np.float32)
        self.norms_G = np.zeros(num_graphs, dtype=np.float32)

    def fill(self, graph: int, cells_C: Float64, norm: float) -> None:
        """Puts one graph into its place."""
        scale = float(np.abs(cells_C).max()) / 127
        self.values_GC[graph] = np.rint(cells_C / (scale or 1.0)).astype(np.int8)
        self.scales_G[graph], self.norms_G[graph] = scale, norm

    def products(self, target_C: Float64, workers: int) -> Float64:
        """Returns the estimated similarity of every graph with a target: ``G``, float64."""
        single_C = target_C.astype(np.float32)
        products_G = np.empty(len(self.scales_G), dtype=np.float32)

        def block(cut: tuple[int, int]) -> None:
            rows = slice(*cut)
            np.matmul(self.values_GC[rows].astype(np.float32), single_C, out=products_G[rows])

        cuts = [*range(0, len(products_G), _BLOCK_ROWS), len(products_G)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(block, pairwise(cuts)))
        return products_G.astype(np.float64) * self.scales_G

    def deviations(self, estimates_G: Float64, target_norm: float, cells: float) -> Float64:
        """Returns at most the deviation of each of the estimates."""
        squares_G = (self.norms_G.astype(np.float64) * target_norm) ** 2 + estimates_G**2
        deviations_G: Float64 = np.sqrt(squares_G / cells)
        return deviations_G


def cut_of(
    sketch: GraphSketch,
    terms: Mapping[str, float],
    groups_N: NDArray[np.int64],
    *,
    is_target: bool,
) -> tuple[Float64, float]:
    """Returns a graph's weighted terms as one vector of ``C`` cells, and the vector's norm."""
    names = TARGET_VECTORS if is_target else SOURCE_VECTORS
    cells_C = np.zeros(CUT_CELLS)
    square = 0.0
    for term in weighted_terms(terms):
        if term == "node":
            part_C, norm = cut_maps(sketch.maps.floats(), groups_N), 1.0
        else:
            part_C = cut_vector(sketch.vector(names[term]))
            norm = sketch.norms[names[term]]
        cells_C += math.sqrt(terms[term]) * part_C
        square += terms[term] * norm**2
    return cells_C, math.sqrt(square)


def cells_of_cut(groups_N: NDArray[np.int64]) -> float:
    """Returns the cells of the first cut that count."""
    return cut_cells(groups_N)


@dataclass(frozen=True)
class Estimate:
    """The estimated similarity of one pair, and at most its standard deviation."""

    similarity: float
    deviation: float


def estimate(source: GraphSketch, target: GraphSketch, terms: Mapping[str, float]) -> Estimate:
    """Returns the similarity of two graphs by their whole sketches."""
    total = variance = 0.0
    for term in weighted_terms(terms):
        if term == "node":
            cosines_N = map_cosines(source, target)
            value, own = float(cosines_N.mean()), node_variance(cosines_N)
        else:
            one, other = SOURCE_VECTORS[term], TARGET_VECTORS[term]
            value = _product(source.vector(one), target.vector(other))
            norms = source.norms[one], target.norms[other]
            own = product_variance(*norms, value, PAIR_CELLS)
        total += terms[term] * value
        variance += terms[term] ** 2 * own
    return Estimate(total, math.sqrt(variance))


def _product(one: Float32, other: Float32) -> float:
    return float(one @ other)


def weighted_terms(terms: Mapping[str, float]) -> Iterator[str]:
    """Returns the terms with a weight, in one order."""
    return (term for term in SKETCHED_TERMS if terms.get(term))
