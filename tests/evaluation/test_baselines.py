"""Baselines against their definitions, on full and on partial truths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from depara.evaluation import BASELINES, Known, Truth
from depara.evaluation.baselines import baseline_scores, rank_fraction, unknown_baselines
from depara.evaluation.queries import Query, match
from tests.evaluation.transfers import random_truth
from tests.oracle import evaluation as oracle


def partial_truth() -> Truth:
    """Two of three transfers, so that each target has other sources, some no way back."""
    truth = random_truth(9)
    return Truth(truth.table[np.arange(len(truth.table)) % 3 > 0])


def queries_of(truth: Truth) -> tuple[Query, ...]:
    return match(truth, None, 1).queries


def pairs(truth: Truth) -> dict[oracle.Pair, float]:
    return {(row.target, row.source): row.value for row in truth.table.itertuples()}


@pytest.mark.parametrize("truth", [random_truth(), partial_truth()], ids=["full", "partial"])
def test_popularity_is_the_mean_rank_for_the_other_targets(truth: Truth) -> None:
    queries = queries_of(truth)
    scores = baseline_scores(queries, Known())["popularity"]
    for query, score_C in zip(queries, scores, strict=True):
        expected = [oracle.popularity(pairs(truth), query.target, s) for s in query.candidates]
        np.testing.assert_allclose(score_C, expected, atol=1e-11)


def test_popularity_never_looks_at_the_target_itself() -> None:
    truth = random_truth()
    table = truth.table.copy()
    table.loc[table["target"] == "model3", "value"] *= -5.0
    table.loc[table["source"] == "model3", "value"] += 7.0
    before, after = (
        baseline_scores(queries_of(t), Known())["popularity"][3] for t in (truth, Truth(table))
    )
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("truth", [random_truth(), partial_truth()], ids=["full", "partial"])
def test_the_ceilings_are_the_truth_of_both_directions(truth: Truth) -> None:
    queries = queries_of(truth)
    known = pairs(truth)
    ranks = {
        (query.target, source): oracle.rank_fraction(value, query.truth_C.tolist())
        for query in queries
        for source, value in zip(query.candidates, query.truth_C.tolist(), strict=True)
    }
    scores = baseline_scores(queries, Known())
    for place, query in enumerate(queries):
        by_value = [oracle.symmetrised(known, query.target, s) for s in query.candidates]
        by_rank = [oracle.symmetrised(ranks, query.target, s) for s in query.candidates]
        np.testing.assert_allclose(scores["ceiling_values"][place], by_value, atol=1e-12)
        np.testing.assert_allclose(scores["ceiling_ranks"][place], by_rank, atol=1e-11)


def test_a_symmetric_truth_is_its_own_ceiling() -> None:
    rng = np.random.default_rng(0)
    names = "abcde"
    rows = []
    for place, target in enumerate(names):
        for source in names[:place]:
            value = float(rng.normal())
            rows += [(target, source, value), (source, target, value)]
    queries = queries_of(Truth(pd.DataFrame(rows, columns=["target", "source", "value"])))
    for query, score in zip(
        queries, baseline_scores(queries, Known())["ceiling_values"], strict=True
    ):
        np.testing.assert_array_equal(score, query.truth_C)


@pytest.mark.parametrize("fact", ["parameters", "gflop"])
def test_facts_rank_large_sources_first_and_tell_nothing_when_equal(fact: str) -> None:
    queries = queries_of(random_truth(4))
    sizes = {f"model{number}": 10 * number for number in range(4)}
    scores = baseline_scores(queries, Known(**{fact: sizes}))[fact]
    assert scores[1].tolist() == [0, 20, 30]
    for unknown in ({}, {**sizes, "model2": 0} | {"model9": 1}, dict.fromkeys(sizes, 5)):
        known = Known(**{fact: {k: v for k, v in unknown.items() if k != "model3"}})
        assert fact not in baseline_scores(queries, known)
    assert fact not in baseline_scores(queries, Known(**{fact: dict.fromkeys(sizes, 5)}))


def test_baselines_that_nothing_is_known_for_are_left_out_with_a_word() -> None:
    queries = queries_of(random_truth(4))
    sizes = {f"model{number}": 10.0 * number for number in range(4)}
    (both,) = unknown_baselines(queries, Known())
    assert both == "baselines that need what a scan knows of its models: parameters, gflop"
    known = Known(parameters=sizes, gflop={"model1": 1.0, "model3": 1.0})
    assert unknown_baselines(queries, known) == [
        "the baseline gflop, unknown of 'model0', 'model2'"
    ]
    assert unknown_baselines(queries, Known(parameters=sizes, gflop=sizes)) == []
    assert "depth" in unknown_baselines(layer_queries(["t"]), Known(parameters=sizes))[0]


def layer_queries(targets: Sequence[str]) -> tuple[Query, ...]:
    rows = [
        (target, "s", f"layer{number}", float((number * step) % 5))
        for step, target in enumerate(targets, start=1)
        for number in range(4)
    ]
    return queries_of(Truth(pd.DataFrame(rows, columns=["target", "source", "layer", "value"])))


def test_layers_have_a_depth_and_a_popularity_but_no_ceiling() -> None:
    queries = layer_queries(["t", "u"])
    depths = {("s", f"layer{number}"): number for number in range(4)}
    scores = baseline_scores(queries, Known(depths=depths, parameters={"layer0": 1}))
    assert set(scores) == {"random", "popularity", "depth"}
    assert scores["depth"][0].tolist() == [0, 1, 2, 3]
    # The only other target of the same source says it all.
    np.testing.assert_allclose(scores["popularity"][0], rank_fraction(queries[1].truth_C))


def test_what_does_not_apply_is_left_out() -> None:
    assert set(baseline_scores(layer_queries(["t"]), Known())) == {"random"}
    assert "depth" not in baseline_scores(queries_of(random_truth()), Known())
    one_way = Truth(
        pd.DataFrame({"target": ["t"] * 3, "source": list("abc"), "value": [1.0, 2.0, 3.0]})
    )
    assert set(baseline_scores(queries_of(one_way), Known())) == {"random"}


def test_every_baseline_says_what_it_is() -> None:
    assert all(entry.meaning for entry in BASELINES.values())
    assert [name for name, entry in BASELINES.items() if entry.is_ceiling] == [
        "ceiling_ranks",
        "ceiling_values",
        "ceiling_noise",
    ]


def test_rank_fractions_leave_out_what_is_not_measured() -> None:
    values = np.array([[3.0, np.nan, 1.0, 1.0, 7.0], [np.nan, np.nan, np.nan, np.nan, 2.0]])
    expected = [[2 / 3, np.nan, 1 / 6, 1 / 6, 1.0], [np.nan] * 5]
    np.testing.assert_allclose(rank_fraction(values), expected)
