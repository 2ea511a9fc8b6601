"""Where the probes of a graph stand in the plane: near each other where their features are alike.

Metric multidimensional scaling: the classical solution (Torgerson, Psychometrika 1952), improved by
SMACOF, the majorisation of the raw stress (de Leeuw 1977). Nothing is random: the same edges give
the same picture. Legend: ``N`` probes, ``K`` edges.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.types import Float32, Float64

_STEPS = 500
_TOLERANCE = 1e-7
_ROUNDS = 400


def mds_positions(edges_NN: NDArray[np.floating]) -> Float64:
    """Returns places (N, 2) of probes whose distances are 1 - cosine; see `mds`.

    Args:
        edges_NN: symmetric cosines with ones on the diagonal, as of `ScanResults.edges`.
    """
    return mds(1.0 - np.asarray(edges_NN, dtype=np.float64))


def mds(distances_NN: NDArray[np.floating]) -> Float64:
    """Returns places (N, 2) in the plane with distances near the given ones.

    Centred at 0, the wider axis first; on each axis the place farthest from 0 is positive.

    Args:
        distances_NN: symmetric, at least 0, zeros on the diagonal.
    """
    wanted = np.asarray(distances_NN, dtype=np.float64)
    count = len(wanted)
    if count < 2:
        return np.zeros((count, 2))
    places = _classical(wanted)
    stress = np.inf
    for _ in range(_STEPS):
        found = pairwise_distances(places)
        now = float(np.square(found - wanted).sum())
        if stress - now <= _TOLERANCE * max(now, np.finfo(float).tiny):
            break
        stress = now
        # The Guttman transform, whose stress is never larger.
        ratio = np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)
        places = (ratio.sum(axis=1, keepdims=True) * places - ratio @ places) / count
    return _turned(places)


def layout_stress(places_N2: Float64, distances_NN: NDArray[np.floating]) -> float:
    """Returns Kruskal's stress-1 of places: 0 is a faithful picture, above 0.2 a rough one."""
    wanted = np.asarray(distances_NN, dtype=np.float64)
    found = pairwise_distances(places_N2)
    whole = float(np.square(found).sum())
    return float(np.sqrt(np.square(found - wanted).sum() / whole)) if whole > 0 else 0.0


def strongest_edges(edges_NN: NDArray[np.floating], count: int) -> tuple[NDArray[np.intp], Float32]:
    """Returns the pairs (K, 2), first < second, with the largest cosines, and the cosines (K,).

    Largest first, ties by the pair; all pairs where there are fewer than ``count``.
    """
    first, second = np.triu_indices(len(edges_NN), 1)
    cosines = np.asarray(edges_NN, dtype=np.float32)[first, second]
    order = np.argsort(-cosines, kind="stable")[:count]
    return np.stack([first[order], second[order]], axis=1), cosines[order]


def procrustes(places_N2: Float64, onto_N2: Float64) -> Float64:
    """Returns places turned, mirrored, scaled and moved so that they lie best on others (N, 2)."""
    onto = onto_N2 - onto_N2.mean(axis=0)
    centred = places_N2 - places_N2.mean(axis=0)
    left, sizes, right = np.linalg.svd(centred.T @ onto)
    whole = float(np.square(centred).sum())
    scale = float(sizes.sum()) / whole if whole > 0 else 0.0
    moved: Float64 = scale * centred @ (left @ right) + onto_N2.mean(axis=0)
    return moved


def apart(places_N2: Float64, side: float) -> Float64:
    """Returns places moved so that squares of this side around them do not overlap.

    Two that overlap are pushed off each other along the axis on which that takes less, again and
    again until none do, or for some hundred rounds.
    """
    places = places_N2.copy()
    first, second = np.triu_indices(len(places), 1)
    ways = np.array([np.cos(np.arange(len(places))), np.sin(np.arange(len(places)))]).T
    for _ in range(_ROUNDS):
        steps = places[second] - places[first]
        lacking = side - np.abs(steps)
        overlap = (lacking > side * 1e-6).all(axis=1)
        if not overlap.any():
            break
        axis = np.argmin(lacking[overlap], axis=1)
        rows = np.flatnonzero(overlap)
        # Those in the very same place part in ways of their own.
        toward = np.where(steps == 0, ways[second] - ways[first], steps)
        push = np.zeros_like(places)
        amount = 0.5 * lacking[rows, axis] * np.sign(toward[rows, axis])
        np.add.at(push, (first[rows], axis), -amount)
        np.add.at(push, (second[rows], axis), amount)
        places += 0.6 * push
    return places


def pairwise_distances(places_N2: Float64) -> Float64:
    """Returns the Euclidean distances (N, N) of places."""
    steps = places_N2[:, None, :] - places_N2[None, :, :]
    distances: Float64 = np.sqrt(np.square(steps).sum(axis=-1))
    return distances


def _classical(distances_NN: Float64) -> Float64:
    """Returns the classical solution (N, 2): the two widest axes of the doubly centred squares."""
    squares = np.square(distances_NN)
    rows = squares.mean(axis=0)
    inner = -0.5 * (squares - rows[:, None] - rows[None, :] + squares.mean())
    values, vectors = np.linalg.eigh(inner)
    axes: Float64 = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))
    return axes


def _turned(places_N2: Float64) -> Float64:
    centred = places_N2 - places_N2.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    turned: Float64 = centred @ axes.T
    farthest = turned[np.argmax(np.abs(turned), axis=0), np.arange(2)]
    return turned * np.where(farthest < 0, -1.0, 1.0)
