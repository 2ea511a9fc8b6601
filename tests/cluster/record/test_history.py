"""What an earlier scan makes unnecessary, from values alone: reasons, pairs, changes, nights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cluster.compare.pairs import Reduction
from cluster.record.history import (
    Changes,
    History,
    PreviousScan,
    classify,
    count_nights,
    explain,
    failed_models,
    known_pairs,
    rankings_key,
)
from depara.config import parse_scan
from depara.similarity.stored import GraphRef
from depara.store.keys import comparison_settings
from depara.store.schemas import pair_columns
from depara.types import Failure

SCAN = "probes: {source: x}\nmodels: [{id: a, source: 'torchvision:x'}]"
A, B, C = (
    graph for name in "abc" for graph in [GraphRef(name, "code", 1, f"key-{name}", is_output=True)]
)
INNER = GraphRef("a", "block", 0, "key-inner", is_output=False)
TWIN = GraphRef("a.null0", "code", 1, "key-twin", is_output=True, null_of="a")


def settings(*overrides: str, probe_set: str = "p", num_probes: int = 12) -> dict[str, Any]:
    return comparison_settings(parse_scan(SCAN, overrides).config, probe_set, num_probes)


def reduction(*graphs: GraphRef, overrides: tuple[str, ...] = ()) -> Reduction:
    config = parse_scan(SCAN, overrides).config
    targets = tuple(graph for graph in graphs if graph.is_output and not graph.null_of)
    square = config.similarity.pairs == "all"
    return Reduction(graphs, graphs if square else targets, 12, 64, config)


def previous(
    *graphs: GraphRef, pairs: str = "outputs", scores: tuple[str, ...] | None = None
) -> Any:
    names = parse_scan(SCAN).config.similarity.scores if scores is None else scores
    manifest = {
        "scan_id": "night1",
        "pairs": pairs,
        "scores": pair_columns(names),
        "tables": {"similarity": {"rows": 7}},
    }
    return PreviousScan(manifest, graphs, {}, {})


def history(*graphs: GraphRef, nights: Mapping[str, int] | None = None) -> History:
    known = frozenset(graph.model_id for graph in graphs)
    return History(previous(*graphs), known, (), nights or {})


def failure(model_id: str) -> Failure:
    return Failure(model_id=model_id, stage="extract", error_type="ModelError", message="m")


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (settings(), ()),
        (settings(num_probes=11, probe_set="q"), ("num_probes: 12 -> 11",)),
        (settings(probe_set="q"), ("the probe images are others",)),
        (settings("canvas.side=24"), ("canvas_side: 224 -> 24",)),
        (settings("attribution.scalar=mean"), ("attribution.scalar: l2norm -> mean",)),
        (settings("edges.normalize=none"), ("edges.normalize: zscore -> none",)),
        (
            settings("attribution.map_side=8", "edges.normalize=none"),
            ("attribution.map_side: 224 -> 8", "edges.normalize: zscore -> none"),
        ),
    ],
)
def test_what_differs_is_said_once_and_what_follows_from_it_not(
    now: dict[str, Any], lines: tuple[str, ...]
) -> None:
    assert explain(settings(), now) == lines


def test_a_setting_that_one_of_the_scans_does_not_know_is_none_there() -> None:
    assert explain({"a": {"b": 1}}, {"c": 2}) == ("a.b: 1 -> None", "c: None -> 2")
    assert explain(None, settings()) == ("the latest scan is of an older version",)


def test_pairs_are_found_by_the_keys_of_their_graphs() -> None:
    known = known_pairs(reduction(C, INNER, A), previous(INNER, A, B))
    assert known is not None
    assert (known.scan_id, known.fact) == ("night1", {"rows": 7})
    assert (known.num_sources, known.target_models) == (3, (A.model_id, B.model_id))
    assert (known.sources, known.targets) == ((None, 0, 1), (None, 0))
    assert known.count == 2


def test_twins_are_sources_of_an_earlier_table_but_no_targets() -> None:
    known = known_pairs(reduction(A, TWIN), previous(A, TWIN))
    assert known is not None
    assert (known.sources, known.targets) == ((0, 1), (0,))


def test_no_pairs_are_known_where_no_table_has_them() -> None:
    assert known_pairs(reduction(A, B), None) is None
    assert known_pairs(reduction(C), previous(A, B)) is None
    other_weights = replace(A, key="other")
    assert known_pairs(reduction(other_weights), previous(A)) is None


def test_fewer_scores_than_the_table_has_are_known_and_more_are_not() -> None:
    table = previous(A, B, scores=("cka", "dds", "directed"))
    assert known_pairs(reduction(A, B, overrides=("similarity.scores=[cka]",)), table) is not None
    more = reduction(A, B, overrides=("similarity.scores=[cka, rsa]",))
    assert known_pairs(more, table) is None
    without_a_term = previous(A, B, scores=("cka", "dds"))
    fewer = reduction(A, B, overrides=("similarity.scores=[cka]",))
    assert known_pairs(fewer, without_a_term) is None, "directed has a weight"


def test_pairs_of_a_scan_before_scores_were_calibrated_are_compared_anew() -> None:
    before = previous(A, B)
    before.manifest["scores"] = ["rsa", "rsa_zscore", "dds", "cka", "directed"]
    assert known_pairs(reduction(A, B, overrides=("similarity.scores=[cka]",)), before) is None


def test_a_square_is_continued_from_a_square_alone() -> None:
    square = reduction(INNER, A, overrides=("similarity.pairs=all",))
    assert known_pairs(square, previous(INNER, A)) is None
    known = known_pairs(square, previous(INNER, A, pairs="all"))
    assert known is not None
    assert known.count == 4


def test_the_rankings_are_of_graphs_lambda_resamples_and_seed() -> None:
    whole = rankings_key(reduction(A, B))
    assert rankings_key(reduction(A, B)) == whole
    assert rankings_key(reduction(A, B, overrides=("uncertainty.time_share=0.5",))) == whole
    assert rankings_key(reduction(A, B, overrides=("compute.workers=3",))) == whole
    others = [
        reduction(A),
        reduction(B, A),
        reduction(A, replace(B, key="other")),
        *(
            reduction(A, B, overrides=(override,))
            for override in (
                "similarity.lambda=0",
                "similarity.layer_terms={gulp: 1}",
                "uncertainty.resamples=7",
                "uncertainty.seed=3",
            )
        ),
    ]
    assert whole not in {rankings_key(other) for other in others}


def test_models_are_sorted_by_what_became_of_them() -> None:
    before = history(INNER, A, B, C, failing := GraphRef("f", "code", 0, "key-f", is_output=True))
    new = GraphRef("n", "code", 0, "key-n", is_output=True)
    now = [INNER, A, replace(B, key="other"), new]
    changes = classify(now, [failing.model_id], before)
    assert changes == Changes(
        new=("n",), changed=("b",), reused=("a",), removed=("c",), failed=("f",)
    )


def test_a_model_with_other_layers_is_changed() -> None:
    assert classify([A], (), history(INNER, A)).changed == ("a",)


def test_without_a_scan_to_continue_known_models_are_changed() -> None:
    changes = classify([A, B], (), History(None, frozenset("a"), ("edges",)))
    assert (changes.new, changes.changed, changes.reused) == (("b",), ("a",), ())


def test_nights_go_on_for_models_and_are_not_counted_for_probes() -> None:
    failures = [failure("a"), failure(""), failure("b")]
    assert count_nights(failures, history(nights={"a": 2, "c": 5})) == [3, None, 1]


def test_a_model_that_fails_twice_in_a_scan_is_one_failed_model() -> None:
    assert failed_models([failure("b"), failure(""), failure("a"), failure("b")]) == ("b", "a")
