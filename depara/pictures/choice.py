"""Which probes a picture shows when nobody names them. Nothing is random.

Legend: ``N`` probes of the scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depara.types import Float32


def spread_probes(edges_NN: Float32, count: int) -> list[int]:
    """Returns probes that are unlike each other: the most central one, then always the farthest.

    Farthest is the lowest of the largest cosines with those chosen (Gonzalez, Theoretical Computer
    Science 1985); ties by index.
    """
    count = min(count, len(edges_NN))
    if count == 0:
        return []
    chosen = [int(np.argmax(edges_NN.sum(axis=0, dtype=np.float64)))]
    nearest_N = edges_NN[chosen[0]].astype(np.float64)
    while len(chosen) < count:
        nearest_N[chosen] = np.inf
        chosen.append(int(np.argmin(nearest_N)))
        nearest_N = np.maximum(nearest_N, edges_NN[chosen[-1]])
    return chosen


def ranked_probes(cosines_N: NDArray[np.floating], count: int) -> list[int]:
    """Returns probes from the highest value to the lowest, evenly spaced by rank, ties by index."""
    order = np.argsort(-cosines_N.astype(np.float64), kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(index) for index in order[places]]
