"""The probes that are shown when nobody names them."""

from __future__ import annotations

import numpy as np

from depara.pictures.choice import ranked_probes, spread_probes


def test_spread_probes_come_one_from_each_group() -> None:
    edges = np.full((9, 9), 0.1, dtype=np.float32)
    for start in (0, 3, 6):
        edges[start : start + 3, start : start + 3] = 0.9
    edges[4] += 0.05  # the most central one
    edges[:, 4] += 0.05
    np.fill_diagonal(edges, 1)
    chosen = spread_probes(edges, 3)
    assert chosen[0] == 4
    assert sorted(place // 3 for place in chosen) == [0, 1, 2]
    assert sorted(spread_probes(edges, 99)) == list(range(9))
    assert spread_probes(np.ones((0, 0), dtype=np.float32), 3) == []


def test_ranked_probes_go_from_the_most_to_the_least_alike() -> None:
    cosines = np.array([0.1, 0.9, -0.4, 0.5, 0.5], dtype=np.float32)
    assert ranked_probes(cosines, 3) == [1, 4, 2]
    assert ranked_probes(cosines, 5) == [1, 3, 4, 0, 2]
    assert ranked_probes(cosines, 1) == [1]
    assert ranked_probes(cosines, 99) == [1, 3, 4, 0, 2]
