"""CountSketch as its authors write it: one value after the other, in Python integers.

Charikar, Chen & Farach-Colton, "Finding Frequent Items in Data Streams", 2002. Cells and signs come
from splitmix64 of the probes' ids. Nothing here is fast, and nothing is shared with the product.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mixed(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def seed(probe_id: str) -> int:
    return int.from_bytes(hashlib.sha256(probe_id.encode()).digest()[:8], "little")


def _add(cells: list[float], number: int, value: float) -> None:
    place = number % (2 * len(cells))
    sign = 1.0 if place < len(cells) else -1.0
    cells[place % len(cells)] += sign * value


def map_sketch(map_P: Array, probe_id: str, cells: int) -> list[float]:
    """``S(u)_k``: the sum of the pixels of cell ``k``, each with its sign."""
    found = [0.0] * cells
    for pixel, value in enumerate(map_P.astype(np.float64)):
        _add(found, mixed(seed(probe_id) + (pixel + 1) * _GOLDEN), float(value))
    return found


def pair_sketch(matrix_NN: Array, probe_ids: Sequence[str], cells: int) -> list[float]:
    """The sketch of ``a_pq`` for every two probes ``p < q``."""
    found = [0.0] * cells
    for p, one in enumerate(probe_ids):
        for q in range(p + 1, len(probe_ids)):
            pair = mixed(seed(one) + _GOLDEN) + mixed(seed(probe_ids[q]) + _GOLDEN)
            _add(found, mixed(pair), float(matrix_NN[p, q]))
    return found


def variance(a: Array, b: Array, cells: int) -> float:
    """``(|a|^2 |b|^2 + <a, b>^2 - 2 sum a_p^2 b_p^2) / K``: of cells and signs drawn at random."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    whole = math.fsum(a * a) * math.fsum(b * b) + math.fsum(a * b) ** 2
    return (whole - 2 * math.fsum(a * a * b * b)) / cells
