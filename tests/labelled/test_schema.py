"""The `label_scores` table: tidy, typed, described; null with a reason where nothing is defined."""

from __future__ import annotations

import math

from depara.catalog import LABEL_SCORES
from depara.labelled import (
    ScoreValue,
    label_score_table,
    label_scores,
)
from depara.store.schemas import TABLES
from tests.labelled.clusters import OF_FEATURES, clustered
from tests.oracle.grams import grams_of


def test_one_row_per_graph_and_score_in_the_order_given():
    features_ND, labels = clustered((8, 8), 5)
    scores = label_scores(grams_of(features_ND), labels)
    table = label_score_table([("m2", "fc", scores), ("m1", "conv", scores)])
    assert table.schema.equals(TABLES["label_scores"], check_metadata=True)
    assert table.num_rows == 2 * len(LABEL_SCORES)
    assert table["model_id"].to_pylist()[:: len(LABEL_SCORES)] == ["m2", "m1"]
    assert table["score"].to_pylist() == list(LABEL_SCORES) * 2
    assert table["value"].to_pylist()[:2] == [scores["knn"].value, scores["logme"].value]
    assert table["reason"].null_count == 2 * len(OF_FEATURES)
    assert table["value"].null_count == table.num_rows - 2 * len(OF_FEATURES)


def test_what_is_not_defined_is_null_with_its_reason():
    table = label_score_table(
        [("m", "fc", {"knn": ScoreValue(math.nan, "why not"), "gbc": ScoreValue(-1.5)})]
    )
    assert table["value"].to_pylist() == [None, -1.5]
    assert table["reason"].to_pylist() == ["why not", None]
    table.validate(full=True)


def test_no_graphs_give_an_empty_table_of_the_same_schema():
    table = label_score_table([])
    assert table.num_rows == 0
    assert table.schema.equals(TABLES["label_scores"], check_metadata=True)


def test_every_column_is_described_and_only_values_may_be_missing():
    assert all(field.metadata[b"description"] for field in TABLES["label_scores"])
    nullable = [field.name for field in TABLES["label_scores"] if field.nullable]
    assert nullable == ["value", "reason"]
