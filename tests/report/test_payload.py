"""What the page reads: matrices as finely as they fit, sources with what is known of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depara.report.columns import column_values
from depara.report.grid import Grid
from depara.report.payload import most_sources, pack_matrices, pack_pairs, payload
from tests.report.conftest import Made

PARTS = ("node_similarity", "edge_similarity")


def scores(size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {}
    for name in ("node_similarity", "edge_similarity", "rsa", "rsa_zscore", "dds", "cka"):
        values = rng.uniform(-1, 1, (size, size)).astype(np.float32)
        found[name] = (values + values.T) / 2
    found["directed"] = rng.uniform(-1, 1, (size, size)).astype(np.float32)
    for values in found.values():
        np.fill_diagonal(values, np.nan)
    return found


def test_small_matrices_are_kept_whole_and_fine() -> None:
    every = scores(9)
    found = pack_matrices(every, PARTS)
    assert not found.left_out
    for name, values in every.items():
        column = found.columns[name]
        assert column["symmetric"] == (name != "directed")
        expected = values.ravel() if name == "directed" else values[np.triu_indices(9, 1)]
        np.testing.assert_allclose(column_values(column), expected, atol=1e-5)


def test_where_they_do_not_fit_the_simple_ones_stay_longest() -> None:
    every = scores(40)
    triangle = 40 * 39 // 2
    whole = (3 * 6 * triangle) + 3 * 1600
    assert {c["digits"] for c in pack_matrices(every, PARTS, whole).columns.values()} == {3}
    assert {c["digits"] for c in pack_matrices(every, PARTS, whole - 1).columns.values()} == {2}
    tight = pack_matrices(every, PARTS, 4 * triangle + 3 * triangle)
    assert tight.left_out == ("rsa_zscore", "directed")
    with_directed = pack_matrices(every, (*PARTS, "directed"), 4 * triangle + 1600)
    assert with_directed.columns["directed"]["digits"] == 1
    assert with_directed.columns["edge_similarity"]["digits"] == 2
    assert tight.columns["node_similarity"]["digits"] == 2
    assert tight.columns["cka"]["digits"] == 1
    none = pack_matrices(every, PARTS, 0)
    assert set(none.columns) == {"node_similarity", "edge_similarity"}


def test_sources_are_the_first_of_each_target_with_their_numbers(
    made: Callable[[int], Made],
) -> None:
    grid = Grid(made(100).scan)
    found = pack_pairs(grid)
    most = most_sources(grid)
    counts = column_values(found["count"]).astype(int)
    assert counts.tolist() == [min(most, 99)] * 100
    assert counts.sum() * 19 <= 400_000
    source = column_values(found["source"]).astype(int).reshape(100, -1)
    value = column_values(found["similarity"]).reshape(100, -1)
    low = column_values(found["low"]).reshape(100, -1)
    for row, target in enumerate(grid.targets):
        assert source[row].tolist() == grid.ranked(int(target))[: counts[row]].tolist()
        np.testing.assert_allclose(value[row], grid.similarity_MM[target, source[row]], atol=1e-5)
        np.testing.assert_allclose(low[row], grid.interval[0][target, source[row]], atol=1e-3)


def test_the_data_stay_within_their_share(made: Callable[[int], Made]) -> None:
    grid = Grid(made(100).scan)
    data = payload(grid, list(range(grid.size)))
    curves = data["pairs"]["curves"]
    assert sum(len(curves[name]["text"]) for name in ("value", "low", "high")) <= 180_000
    assert curves["most"] >= 5
