"""Optimal transport between two samples, exactly: no regularisation, no iteration to tune.

``N`` and ``M`` samples, ``D`` features.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist

from depara.errors import ConfigError
from depara.types import Float64

_MOST_COPIES = 3
"""Of a sample, up to which an assignment of copies is quicker than a linear programme."""

_MOST_VARIABLES = 250_000
"""Pairs of the largest linear programme."""


def transport(one_ND: Float64, other_MD: Float64) -> tuple[Float64, float]:
    """Returns the cheapest coupling ``(N, M)`` of two samples, and what it costs.

    Every sample of one side has the same mass; rows sum to ``1 / N``, columns to ``1 / M``. The
    cost is the Wasserstein distance of order 1 under Euclidean distance (earth mover's distance:
    Rubner, Tomasi & Guibas, IJCV 2000), in the features' unit.

    Raises:
        ConfigError: so many samples, in so unequal numbers, that it would take too long.
    """
    cost_NM = cdist(one_ND, other_MD)
    plan_NM = coupling(cost_NM)
    return plan_NM, float((plan_NM * cost_NM).sum())


def coupling(cost_NM: Float64) -> Float64:
    """Returns the coupling ``(N, M)`` of least cost; see `transport`."""
    num, other = cost_NM.shape
    side = math.lcm(num, other)
    if side <= _MOST_COPIES * max(num, other):
        return _assigned(cost_NM, side)
    if num * other <= _MOST_VARIABLES:
        return _programmed(cost_NM)
    raise ConfigError(
        f"the optimal transport of {num} samples to {other} has {num * other} variables, at most "
        f"{_MOST_VARIABLES} are solved: scan both with equal numbers of probes (probes.count)"
    )


def _assigned(cost_NM: Float64, side: int) -> Float64:
    """By assignment: each sample as many times as makes both sides equally many."""
    num, other = cost_NM.shape
    times, other_times = side // num, side // other
    repeated = np.repeat(np.repeat(cost_NM, times, axis=0), other_times, axis=1)
    rows, columns = linear_sum_assignment(repeated)
    plan_NM = np.zeros_like(cost_NM)
    np.add.at(plan_NM, (rows // times, columns // other_times), 1.0 / side)
    return plan_NM


def _programmed(cost_NM: Float64) -> Float64:
    """By linear programming, in masses that are whole numbers."""
    num, other = cost_NM.shape
    sums = sparse.vstack(
        [
            sparse.kron(sparse.eye_array(num), np.ones((1, other))),
            sparse.kron(np.ones((1, num)), sparse.eye_array(other)),
        ]
    ).tocsr()
    masses = np.concatenate([np.full(num, float(other)), np.full(other, float(num))])
    found = linprog(  # type: ignore[call-overload]  # the stubs lack sparse matrices
        cost_NM.ravel(), A_eq=sums, b_eq=masses, method="highs"
    )
    assert found.success, found.message
    plan_NM: Float64 = found.x.reshape(num, other) / (num * other)
    return plan_NM
