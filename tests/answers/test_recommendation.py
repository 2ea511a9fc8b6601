"""How sources stand, what is said of them, and what is to be tried."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from depara.answers import Candidate, Recommendation, Recommender, recommend
from depara.answers.recommendation import named
from depara.errors import ConfigError
from depara.evaluation.schema import EVALUATION_SCHEMA
from depara.store.artifacts import encode_table, table_of_rows
from depara.store.layout import evaluation_folder
from depara.store.storage import Storage
from tests.answers.scans import OUT, scan_of

NAMES = ["a", "b", "c", "d", "e"]
MATRIX = np.array(
    [
        [3.0, 2.0, 1.9, 1.0, 0.5],
        [2.0, 3.0, 1.0, 0.5, 0.4],
        [1.9, 1.0, 3.0, 0.9, 0.3],
        [1.0, 0.5, 0.9, 3.0, 0.2],
        [0.5, 0.4, 0.3, 0.2, 3.0],
    ]
)
SURE = {
    ("a", "b"): (1, 2, 0.6),
    ("a", "c"): (1, 2, 0.38),
    ("a", "d"): (3, 3, 0.02),
    ("a", "e"): (4, 4, 0.0),
}


def test_the_sentence_names_the_first_its_equals_and_those_out() -> None:
    found = recommend(scan_of(MATRIX, NAMES, p_first=SURE), "a")
    assert found.sentence == (
        f"start from b, cut at {OUT}: first in 60% of resamples; c is as good within the "
        "intervals; e is out"
    )
    assert [one.standing for one in found.candidates] == ["first", "as good", "behind", "out"]
    assert any("first in 60% of resamples" in one for one in found.warnings)


def test_the_cut_is_the_best_layer_and_costs_are_those_up_to_it() -> None:
    keys = {"target_model": "a", "source_model": "b"}
    cuts = [{**keys, "rank": 1, "layer": "l1", "depth": 0, "similarity": 2.5}]
    layers = [
        {
            "model_id": name,
            "layer": layer,
            "depth": place,
            "depth_fraction": 0.5,
            "num_features": 1,
            "gflop": 0.25 * (place + 1),
            "is_output": layer == OUT,
            "graph_key": "0",
        }
        for name in NAMES
        for place, layer in enumerate(("l1", OUT))
    ]
    for row in cuts:
        row |= {"node_similarity": 0.5, "edge_similarity": 1.0}
    found = recommend(scan_of(MATRIX, NAMES, layer_ranking=cuts, layers=layers), "a")
    assert (found.first.cut, found.first.costs.gflop) == ("l1", 0.25)
    assert (found.candidates[1].cut, found.candidates[1].costs.gflop) == (OUT, 0.5)
    assert found.first.costs.num_parameters == 7
    assert found.first.costs.licence is None


def test_without_resamples_it_says_that_nothing_is_known_of_how_sure() -> None:
    found = recommend(scan_of(MATRIX, NAMES), "a")
    assert "how sure is not known" in found.sentence
    assert any("uncertainty.resamples" in one for one in found.warnings)
    assert found.first.p_first is None


def test_trials_begin_with_the_generally_best_source_of_the_others() -> None:
    found = recommend(scan_of(MATRIX, NAMES), "b")
    # Of the other targets (a, c, d, e), a is nearest on average.
    assert found.general == "a"
    assert [one.model for one in found.trials(2)] == ["a", "c"]
    found = recommend(scan_of(MATRIX, NAMES), "d")
    others = {s: np.delete(MATRIX[:, s], [s, 3]).mean() for s in (0, 1, 2, 4)}
    assert found.general == NAMES[max(others, key=lambda s: others[s])]
    assert len(found.trials(99)) == 4
    assert [one.reason for one in found.trials(2)] == ["general", "own"]
    (only,) = found.trials(1)
    assert (only.model, only.reason) == (found.first.model, "own")


def test_regret_is_what_was_measured_up_to_the_budget(tmp_path: Path) -> None:
    rows = [
        {"score": score, "is_baseline": False, "metric": "regret", "k": k, "value": value}
        for score, k, value in (
            ("hybrid", 1, 0.9),
            ("similarity", 1, 0.3),
            ("similarity", 3, 0.8),
            ("hybrid", 3, 0.1),
            ("cka", 1, 0.0),
        )
    ]
    rows.append({**rows[0], "target": "a", "value": 1.0})
    table = encode_table(table_of_rows(rows, EVALUATION_SCHEMA), {})
    Storage(str(tmp_path)).replace(f"{evaluation_folder('s1')}/evaluation.parquet", table)
    found = recommend(scan_of(MATRIX, NAMES, folder=str(tmp_path)), "a")
    assert found.expected_regret(1) == (1, 0.3)
    assert found.expected_regret(5) == (3, 0.1)
    assert recommend(scan_of(MATRIX, NAMES, folder=str(tmp_path / "x")), "a").regret == ()


def test_warnings_tell_noise_few_probes_and_no_relation() -> None:
    scan = scan_of(
        MATRIX,
        NAMES,
        p_first=SURE,
        manifest={"num_probes": 30},
        notes=[
            {
                "model_id": "b",
                "stage": "extract",
                "layer": OUT,
                "kind": "conditioning",
                "message": "",
            }
        ],
        stability=[
            {
                "fraction": 0.5,
                "num_probes": 15,
                "correlation": 0.4,
                "low": 0.1,
                "high": 0.6,
                "num_subsets": 9,
            }
        ],
    )
    warnings = " ".join(recommend(scan, "a").warnings)
    for part in ("maps of b at out are rounding noise", "30 probes are few", "of 0.40 only"):
        assert part in warnings
    ranking = [{**row, "null_similarity": 2.5} for row in scan.rows["model_ranking"]]
    found = recommend(scan_of(MATRIX, NAMES, model_ranking=ranking), "a")
    assert any("no closer than its own random-weights twin" in one for one in found.warnings)
    assert found.null_similarity == 2.5


def test_a_target_that_is_none_is_refused_with_near_names() -> None:
    with pytest.raises(ConfigError, match="no target 'aa'; did you mean 'a'"):
        recommend(scan_of(MATRIX, NAMES), "aa")
    with pytest.raises(ConfigError, match=r"ranks no source for 'a'.*add models"):
        recommend(scan_of(MATRIX[:1, :1], ["a"]), "a")


def test_frame_record_and_html_hold_the_same_and_escape_names() -> None:
    names = ["<script>alert(1)</script>", *NAMES[1:]]
    found = recommend(scan_of(MATRIX, names), "b")
    frame = found.frame()
    assert frame["source_model"].tolist() == [one.model for one in found.candidates]
    assert frame["p_first"].isna().all()
    record = json.loads(json.dumps(found.record(2)))
    assert record["candidates"][0]["model"] == frame["source_model"][0]
    assert len(record["trials"]) == 2
    assert record["expected_regret"] is None
    html = found._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_all_targets_are_answered_in_the_order_of_the_scan() -> None:
    found = list(Recommender(scan_of(MATRIX, NAMES, p_first=SURE)).all())
    assert [one.target for one in found] == NAMES
    assert all(isinstance(one, Recommendation) for one in found)


def test_many_names_become_a_number() -> None:
    assert named(["a"]) == "a"
    assert named(["a", "b"]) == "a and b"
    assert named(list("abcdef")) == "a, b, c and 3 more"


def test_intervals_of_the_output_graph_are_given() -> None:
    row = {
        "target_model": "a",
        "target_layer": OUT,
        "source_model": "b",
        "source_layer": OUT,
        "score": "similarity",
        "value": 2.0,
        "low": 1.5,
        "high": 2.25,
        "num_resamples": 100,
    }
    other = {**row, "score": "edge_similarity", "low": 0.0}
    first = recommend(scan_of(MATRIX, NAMES, uncertainty=[other, row]), "a").first
    assert isinstance(first, Candidate)
    assert (first.low, first.high) == (1.5, 2.25)
    assert math.isclose(first.similarity, 2.0)
