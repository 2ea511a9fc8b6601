"""What scores are by chance, by going through the orders of one graph's probes.

Nothing here knows the closed form: the score is summed for every order, or for many.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def over_all_orders(a_NN: Array, b_NN: Array) -> tuple[float, float]:
    """Mantel 1967: mean and deviation of ``sum_ij a_ij b_p(i)p(j)`` over all ``N!`` orders."""
    count = len(a_NN)
    values = [
        float(np.sum(a_NN * b_NN[np.ix_(order, order)])) for order in permutations(range(count))
    ]
    return float(np.mean(values)), float(np.std(values))


def over_random_orders(a_NN: Array, b_NN: Array, draws: int, seed: int = 0) -> Array:
    """The same sum for random orders: ``draws`` values."""
    rng = np.random.default_rng(seed)
    values = np.empty(draws)
    for draw in range(draws):
        order = rng.permutation(len(a_NN))
        values[draw] = np.sum(a_NN * b_NN[np.ix_(order, order)])
    return values
