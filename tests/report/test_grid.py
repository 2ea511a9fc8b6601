"""A scan as arrays says what its tables and the answers say, read slowly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from depara.answers import Recommender, matrix
from depara.catalog import SCORES, TERMS
from depara.report.grid import STANDINGS, Grid, first_of, popular
from depara.results import ScanResults, open_scan
from depara.similarity.general import generally_best
from tests.report.conftest import Made


@pytest.fixture(scope="module", params=["zoo", "inline"])
def scan(
    request: pytest.FixtureRequest, made: Callable[[int], Made], scan_folder: str
) -> ScanResults:
    return made(10).scan if request.param == "zoo" else open_scan(scan_folder)


def test_every_candidate_is_that_of_the_recommendation(scan: ScanResults) -> None:
    grid = Grid(scan)
    low_MM, high_MM = grid.interval
    place = {name: code for code, name in enumerate(grid.models)}
    found = list(Recommender(scan).all())
    assert [grid.models[one] for one in grid.targets] == [one.target for one in found]
    for one in found:
        t = place[one.target]
        assert [grid.models[s] for s in grid.ranked(t)] == [c.model for c in one.candidates]
        for candidate in one.candidates:
            s = place[candidate.model]
            assert STANDINGS[grid.standing_MM[t, s]] == candidate.standing
            assert grid.layers.names_G[grid.cut_MM[t, s]] == candidate.cut
            facts = {
                "similarity": grid.similarity_MM[t, s],
                "low": low_MM[t, s],
                "high": high_MM[t, s],
                "p_first": grid.sure["p_first"][t, s],
                "rank_low": grid.sure["rank_low"][t, s],
                "rank_high": grid.sure["rank_high"][t, s],
                "cut_p_first": grid.cut_p_first_MM[t, s],
            }
            for name, value in facts.items():
                expected = getattr(candidate, name)
                expected = np.nan if expected is None else expected
                np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)


def test_every_score_is_the_matrix(scan: ScanResults) -> None:
    grid = Grid(scan)
    computed = [name for name in SCORES if scan.table("similarity")[name].notna().any()]
    terms = [term.column for term in TERMS.values()]
    there = [name for name in terms if scan.table("similarity")[name].notna().any()]
    assert list(grid.scores) == list(dict.fromkeys((*there, *computed)))
    assert set(grid.parts) <= set(grid.scores)
    for name, values_MM in grid.scores.items():
        expected = matrix(scan, name)
        assert list(expected.index) == list(grid.models)
        np.testing.assert_allclose(values_MM, expected.to_numpy(), rtol=1e-6, equal_nan=True)
    np.testing.assert_allclose(grid.similarity_MM, matrix(scan).to_numpy(), rtol=1e-6)


def test_curves_are_the_layer_ranking_by_depth(scan: ScanResults) -> None:
    grid = Grid(scan)
    sources, target = grid.ranked(int(grid.targets[0])), int(grid.targets[0])
    targets = np.full(len(sources), target, np.int32)
    found = grid.curves(targets, sources.astype(np.int32))
    table = scan.table("layer_ranking")
    table = table[table["target_model"] == grid.models[target]]
    intervals = scan.table("uncertainty")
    intervals = intervals[intervals["score"] == "similarity"]
    intervals = intervals[intervals["target_model"] == grid.models[target]]
    ends = intervals.set_index(["source_model", "source_layer"])
    at = 0
    for source in sources:
        name = grid.models[source]
        rows = table[table["source_model"] == name].sort_values("depth")
        for layer, similarity in zip(rows["layer"], rows["similarity"], strict=True):
            np.testing.assert_allclose(found["value"][at], similarity, rtol=1e-6)
            for end in ("low", "high"):
                np.testing.assert_allclose(found[end][at], ends.loc[(name, layer), end], rtol=1e-6)
            at += 1
    assert at == len(found["value"])


def test_popular_is_the_generally_best_source(scan: ScanResults) -> None:
    grid = Grid(scan)
    best = generally_best(scan.table("model_ranking"))
    found = popular(grid.similarity_MM, grid.models)
    assert {grid.models[t]: grid.models[found[t]] for t in grid.targets} == best


def test_first_goes_by_name_where_values_are_equal() -> None:
    values = np.array([[np.nan, 1, 1], [0, np.nan, -1], [np.nan] * 3], np.float32)
    assert first_of(values, ["x", "c", "b"]).tolist() == [2, 0, -1]


def test_means_are_over_targets_and_over_sources(scan: ScanResults) -> None:
    grid = Grid(scan)
    table = matrix(scan)
    np.testing.assert_allclose(grid.means(0), table.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(grid.means(1), table.mean(axis=1), rtol=1e-6)
