"""The terminal's table fits 80 columns and says what matters."""

from __future__ import annotations

from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from depara.evaluation import Evaluation, Truth, evaluate_scores, evaluation_table
from tests.evaluation.transfers import random_truth, scored


def shown(evaluation: Evaluation) -> str:
    console = Console(width=80, file=StringIO())
    console.print(evaluation_table(evaluation))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def text() -> str:
    truth = random_truth(12)
    scores = scored(truth, similarity=0.3, node_similarity=1.0)
    return shown(evaluate_scores(truth, scores, relevant=5, remarks=["model 'x'"]))


def test_it_fits_80_columns_without_cutting(text: str) -> None:
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text


def test_each_row_shows_a_score_with_its_interval(text: str) -> None:
    rows = {
        line.split()[0]: line for line in text.splitlines() if line.startswith(" ") and line.strip()
    }
    for name in ("similarity", "node_similarity", "random", "popularity", "ceiling_values"):
        assert name in rows
    assert rows["similarity"].count("[") == 2
    assert "0.45" in rows["random"]  # 5 relevant of 11
    assert "[" not in rows["random"]
    assert rows["score"].split() == ["score", "Spearman", "P@1", "P@5", "regret@1", "regret@3"]


def test_it_says_what_was_evaluated_and_what_was_left_out(text: str) -> None:
    assert "sources of 12 targets, 11 each, 5 relevant" in text
    assert "left out - model 'x'" in text
    assert "popularity: mean true rank" in text


def test_one_relevant_source_and_one_target_need_no_second_column_and_no_interval() -> None:
    table = random_truth(6).table
    text = shown(evaluate_scores(Truth(table[table["target"] == "model0"]), None, relevant=1))
    assert "P@1" in text
    assert "[" not in text


def test_layers_are_called_layers() -> None:
    rows = [("t", "s", f"layer{n}", float(n)) for n in range(4)]
    truth = Truth(pd.DataFrame(rows, columns=["target", "source", "layer", "value"]))
    assert "layers of 1 (target, source) pairs, 4 each" in shown(
        evaluate_scores(truth, None, relevant=1)
    )
