"""Truth and scores meet in their common part, and the rest is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from depara.errors import ConfigError, SchemaError
from depara.evaluation import Truth
from depara.evaluation.queries import match
from tests.evaluation.transfers import random_truth, scored


def truth_of(*rows: tuple[str, str, float]) -> Truth:
    return Truth(pd.DataFrame(rows, columns=["target", "source", "value"]), "t.csv")


def test_each_target_asks_for_its_sources_and_never_for_itself() -> None:
    truth = random_truth(4)
    own = pd.DataFrame({"target": ["model0"], "source": ["model0"], "value": [99.0]})
    table = pd.concat([truth.table, own])
    matched = match(Truth(table), scored(Truth(table), score=0.0), relevant=1)
    assert [query.target for query in matched.queries] == ["model0", "model1", "model2", "model3"]
    for query, score_C in zip(matched.queries, matched.scores["score"], strict=True):
        assert query.candidates == tuple(n for n in sorted(truth_names()) if n != query.target)
        np.testing.assert_array_equal(score_C, query.truth_C)
    assert matched.left_out == ()


def truth_names() -> list[str]:
    return [f"model{number}" for number in range(4)]


def test_the_order_of_the_rows_does_not_matter() -> None:
    truth = random_truth()
    scores = scored(truth, score=1.0)
    shuffled = Truth(truth.table.sample(frac=1, random_state=0))
    first = match(truth, scores, 2)
    second = match(shuffled, scores.sample(frac=1, random_state=1), 2)
    for one, other in zip(first.queries, second.queries, strict=True):
        assert one.candidates == other.candidates
        np.testing.assert_array_equal(one.truth_C, other.truth_C)
    np.testing.assert_array_equal(first.scores["score"], second.scores["score"])


def test_what_only_one_side_knows_is_left_out_and_named_with_near_names() -> None:
    truth = random_truth(6)
    scores = scored(truth, score=1.0).replace("model5", "modell5")
    scores = scores[(scores["target"] != "model0") | (scores["source"] != "model1")]
    matched = match(truth, scores, 2)
    assert [query.target for query in matched.queries] == [f"model{n}" for n in range(5)]
    assert matched.queries[0].candidates == ("model2", "model3", "model4")
    text = "\n".join(matched.left_out)
    assert "models of the truth that were not scored: 'model5' (did you mean 'modell5'?)" in text
    assert "scored models that the truth lacks: 'modell5'" in text
    assert "measured transfers without a score (target / source): model0 / model1" in text


def test_targets_without_enough_sources_or_differences_are_left_out() -> None:
    truth = truth_of(
        *[("few", source, value) for source, value in (("a", 1.0), ("b", 2.0))],
        *[("flat", source, 1.0) for source in "abcd"],
        *[("good", source, float(ord(source))) for source in "abcd"],
    )
    matched = match(truth, None, relevant=2)
    assert [query.target for query in matched.queries] == ["good"]
    few, flat = matched.left_out
    assert "fewer than 3 sources in common" in few
    assert "'few' (2)" in few
    assert "all equally good: 'flat'" in flat


def test_nothing_in_common_is_an_error_with_the_reasons() -> None:
    truth = truth_of(("resnet5O", "resnet18", 1.0), ("resnet5O", "vgg", 2.0))
    scores = pd.DataFrame({"target": ["resnet50"], "source": ["resnet18"], "score": [1.0]})
    with pytest.raises(ConfigError, match=r"t\.csv: nothing can be evaluated.*'resnet50'"):
        match(truth, scores, 1)
    with pytest.raises(ConfigError, match="fewer than 5 relevant ones"):
        match(random_truth(4), None, 5)
    with pytest.raises(ConfigError, match="no model with another one as its source"):
        match(truth_of(("a", "a", 1.0)), None, 1)
    with pytest.raises(ConfigError, match="relevant is 0"):
        match(truth, None, 0)


def test_scores_must_name_each_transfer_once() -> None:
    truth = random_truth(4)
    scores = scored(truth, score=1.0)
    with pytest.raises(SchemaError, match="lack the columns source"):
        match(truth, scores.drop(columns="source"), 1)
    with pytest.raises(SchemaError, match="name 1 transfers twice"):
        match(truth, pd.concat([scores, scores.head(1)]), 1)


def test_candidates_without_a_score_come_last_and_tie() -> None:
    truth = truth_of(*[("t", source, float(ord(source))) for source in "abcd"])
    scores = truth.table[["target", "source"]].assign(
        some=[np.nan, 3.0, np.nan, -7.0], none=[np.nan] * 4
    )
    matched = match(truth, scores, 1)
    assert matched.scores["some"][0].tolist() == [-8.0, 3.0, -8.0, -7.0]
    assert len(set(matched.scores["none"][0].tolist())) == 1


def test_layers_are_asked_for_per_target_and_source() -> None:
    rows = [
        (target, source, layer, value)
        for target in ("t", "u")
        for source in ("s", "t")
        for layer, value in (("layer2", 1.0), ("layer1", 2.0), ("layer3", 0.0))
    ]
    truth = Truth(pd.DataFrame(rows, columns=["target", "source", "layer", "value"]))
    matched = match(truth, None, 1)
    names = [(query.target, query.source) for query in matched.queries]
    assert names == [("t", "s"), ("u", "s"), ("u", "t")]
    assert matched.queries[0].candidates == ("layer1", "layer2", "layer3")
    scores = truth.table[truth.keys].assign(score=1.0).replace("layer3", "layer.3")
    (left_out,) = match(truth, scores, 1).left_out
    assert "t / s / layer3" in left_out
    assert "did you mean 'layer.3'" in left_out
