"""The exact range of lambda of a first choice, against a grid; the ranking along the grid."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depara.similarity.lambda_ranges import lambda_orders, lambda_range, lambda_tables
from depara.store.scans import write_table
from depara.store.storage import Storage
from tests.oracle import uncertainty as oracle


@pytest.mark.parametrize("lambda_", [0.0, 0.25, 2.0, 40.0])
def test_ranges_agree_with_a_search_on_a_grid(lambda_: float):
    rng = np.random.default_rng(0)
    step = 0.005
    grid = sorted({*np.arange(0, 50, step).round(6).tolist(), lambda_})
    bounded = 0
    for _ in range(20):
        node, edge = rng.random(6), rng.random(6)
        first, low, high = lambda_range(node, edge, lambda_)
        choice, grid_low, grid_high = oracle.first_choice_range(
            node.tolist(), edge.tolist(), lambda_, grid
        )
        assert first == choice
        assert low <= grid_low < low + step + 1e-9
        if high < grid[-1]:
            assert high - step - 1e-9 < grid_high <= high
            bounded += 1
        else:
            assert grid_high == grid[-1]
    assert bounded >= (1 if lambda_ < 40 else 0)


scores = st.integers(-8, 8).map(lambda value: value / 8)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=6)


@given(pairs=pairs, lambda_=st.integers(0, 12).map(lambda value: value / 4))
def test_the_first_choice_has_no_superior_in_its_range_and_has_one_outside(pairs, lambda_: float):
    node, edge = np.array(pairs).T
    first, low, high = lambda_range(node, edge, lambda_)
    assert 0 <= low <= lambda_ <= high

    def lead(value: float) -> float:
        similarity = node + value * edge
        return float(similarity[first] - similarity.max())

    assert lead(lambda_) == 0
    assert lead(low) == pytest.approx(0, abs=1e-9)
    assert lead(1e6 if math.isinf(high) else high) == pytest.approx(0, abs=1e-9)
    if math.isfinite(high):
        assert lead(high + 1e-3) < 0
    if low > 0:
        assert lead(low - 1e-3) < 0


def test_hand_made_crossings():
    """Lines 1.0 + 0.5 x, 0.5 + 1.0 x and 1.2 + 0.1 x meet at x = 0.5 and x = 1."""
    node, edge = np.array([1.0, 0.5, 1.2]), np.array([0.5, 1.0, 0.1])
    assert lambda_range(node, edge, 0.7) == pytest.approx((0, 0.5, 1.0))
    assert lambda_range(node, edge, 2.0) == pytest.approx((1, 1.0, math.inf))
    assert lambda_range(node, edge, 0.1) == pytest.approx((2, 0.0, 0.5))


def test_a_choice_that_leads_in_both_or_is_alone_always_holds():
    assert lambda_range(np.array([1.0, 2.0]), np.array([0.0, 0.5]), 2.0) == (1, 0.0, math.inf)
    assert lambda_range(np.array([1.0]), np.array([-1.0]), 2.0) == (0, 0.0, math.inf)
    assert lambda_range(np.ones(3), np.ones(3), 2.0) == (0, 0.0, math.inf)


def test_the_ranking_follows_lambda_and_ends_with_edges_then_nodes():
    node, edge = np.array([1.0, 0.5, 1.2, 0.6]), np.array([0.5, 1.0, 0.1, 1.0])
    grid = (0.0, 0.7, 2.0, math.inf)
    expected = [[2, 0, 3, 1], [0, 3, 2, 1], [3, 1, 0, 2], [3, 1, 0, 2]]
    np.testing.assert_array_equal(lambda_orders(node, edge, grid), expected)
    np.testing.assert_array_equal(lambda_orders(node, edge, [1e9])[0], expected[-1])
    level = np.full(40, 0.5)  # more than what is sorted by insertion, which keeps the order
    np.testing.assert_array_equal(lambda_orders(level, level, grid), [np.arange(40)] * 4)


def ranking(node: np.ndarray, edge: np.ndarray, names: list[str]) -> pa.Table:
    """All other models as sources of each one, in no order."""
    rows = [
        {"target_model": t, "source_model": s, "node_similarity": n, "edge_similarity": e}
        for t, node_row, edge_row in zip(names, node, edge, strict=True)
        for s, n, e in zip(names[::-1], node_row, edge_row, strict=True)
        if s != t
    ]
    return pa.Table.from_pylist(rows)


def test_the_tables_have_each_target_at_each_lambda():
    rng = np.random.default_rng(1)
    names = ["c", "a", "d", "b"]
    table = ranking(rng.random((4, 4)), rng.random((4, 4)), names)
    found = {
        name: one.to_pandas()
        for name, one in lambda_tables(table, {"node": 1.0, "edge": 1.5}).items()
    }
    grid = found["lambda_ranking"]
    assert len(grid) == 12 * 4 * 3
    assert grid.duplicated(["lambda", "target_model", "source_model"]).sum() == 0
    assert grid["lambda"].tolist() == sorted(grid["lambda"])
    ranges = found["lambda_ranges"].set_index("target_model")
    assert ranges.index.tolist() == ["a", "b", "c", "d"]
    rows = table.to_pandas()
    for target, part in rows.sort_values("source_model").groupby("target_model"):
        node, edge = part["node_similarity"].to_numpy(), part["edge_similarity"].to_numpy()
        first, low, high = lambda_range(node, edge, 1.5)
        assert ranges.loc[target].tolist() == [part["source_model"].iloc[first], 1.5, low, high]
        at_scan = grid[(grid["target_model"] == target) & (grid["lambda"] == 1.5)]
        order = part["source_model"].to_numpy()[np.argsort(-(node + 1.5 * edge))]
        assert at_scan["source_model"].tolist() == order.tolist()
        assert at_scan["rank"].tolist() == [1, 2, 3]


def test_the_other_terms_are_the_rest():
    rng = np.random.default_rng(2)
    names = ["c", "a", "d", "b"]
    table = ranking(rng.random((4, 4)), rng.random((4, 4)), names)
    centred = rng.random(table.num_rows)
    table = table.append_column("node_centred", pa.array(centred))
    node = table["node_similarity"].to_numpy()
    place = table.schema.get_field_index("node_similarity")
    as_node = table.set_column(place, "node_similarity", pa.array(node + 3 * centred))
    found = lambda_tables(table, {"node": 1.0, "node_centred": 3.0, "edge": 1.5})
    expected = lambda_tables(as_node, {"node": 1.0, "edge": 1.5})
    for name, one in found.items():
        assert one.equals(expected[name])
    alone = lambda_tables(table, {"edge": 1.0})["lambda_ranges"].to_pandas()
    assert (alone["lambda_low"] == 0).all()


def test_a_zoo_of_one_model_has_empty_tables(tmp_path):
    columns = ("target_model", "source_model", "node_similarity", "edge_similarity")
    kinds = (pa.string(), pa.string(), pa.float64(), pa.float64())
    empty = pa.schema(list(zip(columns, kinds, strict=True))).empty_table()
    found = lambda_tables(empty, {"node": 1.0, "edge": 2.0})
    storage = Storage(str(tmp_path))
    for name, table in found.items():
        assert write_table(storage, "one", name, table)["rows"] == 0
    assert found.keys() == {"lambda_ranges", "lambda_ranking"}
