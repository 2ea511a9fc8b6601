"""An evaluation's files can be read back, by people and by programs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from depara.evaluation import (
    EVALUATION_SCHEMA,
    Evaluation,
    Truth,
    evaluate_scores,
    write_evaluation,
)
from depara.store.storage import Storage
from tests.evaluation.transfers import random_truth, scored


def evaluated(**arguments: object) -> Evaluation:
    truth = random_truth(6)
    return evaluate_scores(truth, scored(truth, noisy=1.0), relevant=2, **arguments)


def test_the_files_say_what_the_evaluation_says(tmp_path: Path) -> None:
    evaluation = evaluated(scan_id="scan1", remarks=["something"])
    places = write_evaluation(evaluation, str(tmp_path / "new"))
    assert [Path(place).name for place in places] == [
        "evaluation.parquet",
        "evaluation.json",
        "paired.parquet",
        "setups.parquet",
    ]
    assert all(Path(place).is_file() for place in places)
    table = pq.read_table(places[0])
    assert table.schema.metadata[b"scan_id"] == b"scan1"
    assert table.schema.equals(EVALUATION_SCHEMA)
    assert table.schema.field("value").metadata[b"description"].startswith(b"precision")
    pd.testing.assert_frame_equal(
        table.to_pandas(), evaluation.to_tables()["evaluation"].to_pandas()
    )
    record = json.loads(Path(places[1]).read_text())
    assert record["left_out"][0] == "something"
    assert record["num_candidates"] == {"fewest": 5, "most": 5}
    expected = evaluation.means("precision", 2).loc["noisy"].to_dict()
    assert record["means"]["noisy"]["precision@2"] == expected
    assert record["curves"]["random"]["precision"] == pytest.approx([0.4] * 5)
    assert set(record["baselines"]) == set(evaluation.baselines)


def test_an_unknown_interval_is_null_and_an_older_record_is_replaced(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    write_evaluation(evaluated(), storage)
    table = random_truth(6).table
    one = evaluate_scores(Truth(table[table["target"] == "model0"]), None, relevant=2)
    places = write_evaluation(one, storage)
    record = json.loads(Path(places[1]).read_text())
    assert record["means"]["random"]["spearman"] == {"value": 0.0, "low": None, "high": None}
    assert "noisy" not in record["means"]
    assert b"scan_id" not in pq.read_schema(places[0]).metadata
