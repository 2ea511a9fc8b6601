"""Without the sources that serve all targets best."""

from __future__ import annotations

import pandas as pd
import pytest

from depara.errors import ConfigError
from depara.evaluation import Truth, evaluate_scores
from depara.evaluation.ablation import without_strongest
from tests.evaluation.transfers import random_truth, scored

# Mean true values: a 8 (of its own row nothing counts), b 6, c 6, d 1.
ROWS = [
    ("t", "a", 9.0), ("t", "b", 5.0), ("t", "c", 4.0), ("t", "d", 0.0),
    ("u", "a", 7.0), ("u", "b", 7.0), ("u", "c", 8.0), ("u", "d", 2.0),
    ("d", "d", 99.0),
]  # fmt: skip
TRUTH = Truth(pd.DataFrame(ROWS, columns=["target", "source", "value"]), "small truth")


def test_the_sources_of_the_highest_mean_true_value_go_as_sources_of_all_targets() -> None:
    scores = scored(TRUTH, x=1.0)
    truth, left, said = without_strongest(TRUTH, scores, 2)
    assert said == "the sources of the highest mean true value, on request: 'a' (8), 'b' (6)"
    assert set(truth.table["source"]) == {"c", "d"} == set(left["source"])
    assert set(truth.table["target"]) == {"t", "u", "d"}
    assert without_strongest(TRUTH, None, 1)[1] is None


def test_only_transfers_with_a_score_count() -> None:
    scores = scored(TRUTH, x=1.0)
    some = scores[(scores["source"] != "a") & ~((scores["target"] == "t") & (scores.source == "b"))]
    _, _, said = without_strongest(TRUTH, some, 1)
    assert said.endswith("'b' (7)")


def test_an_evaluation_without_them_is_that_of_what_is_left() -> None:
    truth = random_truth(7)
    scores = scored(truth, noisy=1.0)
    gone = truth.table.groupby("source")["value"].mean().nlargest(2).index
    found = evaluate_scores(truth, scores, relevant=2, without_strongest=2)
    kept = Truth(truth.table[~truth.table["source"].isin(gone)])
    expected = evaluate_scores(kept, scores[~scores["source"].isin(gone)], relevant=2)
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert all(repr(name) in found.left_out[0] for name in gone)


def test_repeats_are_kept() -> None:
    parts = [TRUTH.table.assign(repeat=name) for name in "12"]
    truth, _, _ = without_strongest(Truth(pd.concat(parts)), None, 1)
    assert truth.repeats is not None
    assert set(truth.repeats["source"]) == {"b", "c", "d"}


def test_what_cannot_be_left_out_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 strongest sources .* of 4 .* give 1 to 2"):
        without_strongest(TRUTH, None, 3)
    with pytest.raises(ConfigError, match="-1 strongest"):
        evaluate_scores(TRUTH, None, relevant=1, without_strongest=-1)
    rows = [("t", "s", f"layer{n}", float(n)) for n in range(4)]
    layers = Truth(pd.DataFrame(rows, columns=["target", "source", "layer", "value"]))
    with pytest.raises(ConfigError, match="truth of models only"):
        without_strongest(layers, None, 1)
