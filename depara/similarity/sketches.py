"""Sketches: a graph in a few hundred kilobytes, whose inner products estimate its scores.

CountSketch (Charikar, Chen & Farach-Colton, "Finding Frequent Items in Data Streams", 2002): every
value of a vector is added, with a random sign, to a random one of ``K`` cells. With the same cells
and signs for both vectors ``E <S a, S b> = <a, b>``, and

    ``Var <S a, S b> <= (|a|^2 |b|^2 + <a, b>^2) / K``.

Maps have cells and signs of their own for each probe, so that the errors of probes are independent:
the deviation of the node similarity is at most ``sqrt((1 + rho^2) / (N K))``, ``rho^2`` the mean
square of the cosines. Vectors of pairs of probes have them by the two probes. Both follow from the
ids of the probes alone, whatever their order.

Cells are kept as int8 with a scale for each row of 256. That rounds by at most half a 127th of the
row's largest cell, a hundredth of the deviation above.

``N`` probes, ``n`` of a range, ``P`` map pixels, ``K`` cells of a map, ``V`` values of a vector of
pairs, ``Q`` its cells, ``C`` cells of the first cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depara.identity import mixed_bits
from depara.store.sketches import ROW_CELLS, GraphSketch
from depara.types import Float16, Float32, Float64

UInt64 = NDArray[np.uint64]
Places = NDArray[np.uint16]
"""Cell of each value; those with a minus sign as many cells later."""

MAP_CELLS = ROW_CELLS
"""``K``: the cells of a row, which share a scale."""

PAIR_CELLS = 16_384
"""``Q``: 16 KiB for a vector of pairs, whatever the number of probes."""

CUT_CELLS = 4096
"""``C``: what every graph of a zoo has in memory at once, in bytes."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def probe_seeds(probe_ids: Sequence[str]) -> UInt64:
    """Returns a number for each probe that follows from its id."""
    digests = (hashlib.sha256(name.encode()).digest()[:8] for name in probe_ids)
    return np.array([int.from_bytes(one, "little") for one in digests], dtype=np.uint64)


def map_places(seeds_n: UInt64, num_pixels: int) -> Places:
    """Returns the places ``(n, P)`` of the pixels of each probe's map: as large as its map."""
    pixels_P = np.arange(1, num_pixels + 1, dtype=np.uint64) * _GOLDEN
    places_nP = np.empty((len(seeds_n), num_pixels), dtype=np.uint16)
    for row, seed in enumerate(seeds_n):
        places_nP[row] = mixed_bits(seed + pixels_P) % np.uint64(2 * MAP_CELLS)
    return places_nP


def pair_places(seeds_N: UInt64, *, with_diagonal: bool) -> Places:
    """Returns the places ``V`` of all pairs of probes, in the order of edges or condensed matrices.

    Args:
        seeds_N: of the probes.
        with_diagonal: as `depara.similarity.condensed` has it; else as edges, in pdist order.
    """
    first_V, second_V = np.triu_indices(len(seeds_N), 0 if with_diagonal else 1)
    mixed_N = mixed_bits(seeds_N + _GOLDEN)
    sums_V = mixed_N[first_V] + mixed_N[second_V]  # the same for both orders of the two
    return (mixed_bits(sums_V) % np.uint64(2 * PAIR_CELLS)).astype(np.uint16)


def sketch_maps(maps_nP: Float16 | Float32, places_nP: Places) -> Float64:
    """Returns the cells ``(n, K)`` of unit-norm maps: ``sum_p sign(p) u_p`` of each cell."""
    count = len(maps_nP)
    starts = np.arange(count, dtype=np.int64)[:, None] * (2 * MAP_CELLS)
    sums = np.bincount(
        (starts + places_nP).ravel(),
        weights=maps_nP.astype(np.float64).ravel(),
        minlength=count * 2 * MAP_CELLS,
    ).reshape(count, 2, MAP_CELLS)
    cells_nK: Float64 = (sums[:, 0] - sums[:, 1]).astype(np.float64)
    return cells_nK


def sketch_vector(values_V: Float32, places_V: Places) -> Float64:
    """Returns the cells ``Q`` of a vector of pairs of probes."""
    sums = np.bincount(places_V, weights=values_V.astype(np.float64), minlength=2 * PAIR_CELLS)
    cells_Q: Float64 = (sums[:PAIR_CELLS] - sums[PAIR_CELLS:]).astype(np.float64)
    return cells_Q


def map_cosines(sketch: GraphSketch, other: GraphSketch) -> Float64:
    """Returns the estimated cosine of two graphs' maps at each probe, ``N``."""
    products_N = np.einsum(
        "nk,nk->n", sketch.maps.values.astype(np.float32), other.maps.values.astype(np.float32)
    )
    cosines_N: Float64 = products_N.astype(np.float64) * sketch.maps.scales * other.maps.scales
    return cosines_N


def node_variance(cosines_N: Float64) -> float:
    """Returns at most the variance of the estimated node similarity: ``(1 + rho^2) / (N K)``."""
    squares = float(np.minimum(cosines_N**2, 1.0).mean())
    return (1 + squares) / (len(cosines_N) * MAP_CELLS)


def product_variance(norm: float, other_norm: float, product: float, cells: float) -> float:
    """Returns at most the variance of an estimated inner product, from the norms of both."""
    return ((norm * other_norm) ** 2 + product**2) / cells


def probe_groups(probe_ids: Sequence[str]) -> NDArray[np.int64]:
    """Returns which part of the first cut each probe is added to: in turn, by the ids' order."""
    ranks_N = np.empty(len(probe_ids), dtype=np.int64)
    ranks_N[np.argsort(np.array(probe_ids))] = np.arange(len(probe_ids))
    groups_N: NDArray[np.int64] = ranks_N % (CUT_CELLS // MAP_CELLS)
    return groups_N


def cut_cells(groups_N: NDArray[np.int64]) -> float:
    """Returns the cells of the first cut that count: fewer than ``C`` where groups are uneven.

    Two values of the maps meet in one cell where their probes are of one group.
    """
    shares = np.bincount(groups_N) / len(groups_N)
    return float(min(MAP_CELLS / (shares**2).sum(), CUT_CELLS))


def cut_maps(cells_NK: Float32, groups_N: NDArray[np.int64]) -> Float64:
    """Returns the maps of all probes as ``C`` cells, over ``sqrt(N)``: products are ``s_V``.

    The probes of a group are added up. Their signs are independent, so that what two different
    probes have in common cancels: it is a CountSketch of all maps as one vector.
    """
    sums = np.zeros((CUT_CELLS // MAP_CELLS, MAP_CELLS))
    np.add.at(sums, groups_N, cells_NK)
    part_C: Float64 = sums.reshape(-1) / np.sqrt(len(groups_N))
    return part_C


def cut_vector(cells_Q: Float32 | Float64) -> Float64:
    """Returns a vector of pairs as ``C`` cells: folded, it is a CountSketch as well."""
    folded_C: Float64 = cells_Q.reshape(-1, CUT_CELLS).sum(axis=0, dtype=np.float64)
    return folded_C
