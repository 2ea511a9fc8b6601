"""Scores with labels judged by transfers to the labelled task, on a whole scan."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from depara import open_scan
from depara.cli import app
from depara.errors import ConfigError
from depara.evaluation import Truth, evaluate_labels
from tests.jobs.inline import scan_inline, tiny

NAMES = list("abcde")
VALUES = [0.3, 0.9, 0.1, 0.5, 0.7]


@pytest.fixture(scope="module")
def output(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = str(tmp_path_factory.mktemp("labelled") / "out")
    models = [tiny(name, seed) for seed, name in enumerate(NAMES)]
    scan_inline(root, photos, models, probes={"source": str(photos), "count": 24}, labels=True)
    return root


def truth_for(target: str) -> Truth:
    rows = {"target": target, "source": NAMES, "value": VALUES}
    return Truth(pd.DataFrame(rows), "measured")


def test_every_score_has_the_correlation_of_its_own_values(output: str) -> None:
    scan = open_scan(output)
    found = evaluate_labels(scan, truth_for("our data"), "our data", relevant=2)
    assert found.num_queries == 1
    table = scan.table("label_scores").merge(
        scan.table("layers")[["model_id", "layer", "is_output"]], on=["model_id", "layer"]
    )
    wide = table[table["is_output"]].pivot(index="model_id", columns="score", values="value")
    means = found.means("spearman")["value"]
    for score in ("logme", "h_score", "sfda", "lfc"):
        expected = spearmanr(wide.loc[NAMES, score], VALUES).statistic
        assert means[score] == pytest.approx(expected), score
    ranking = scan.table("label_ranking")
    top = ranking[(ranking["ranking"] == "model") & (ranking["score"] == "consensus")]
    mean_rank = top.set_index("model_id").loc[NAMES, "value"]
    assert means["consensus"] == pytest.approx(spearmanr(-mean_rank, VALUES).statistic)
    assert "leep" not in means.index  # encoders return no matrix


def test_a_target_that_is_a_model_is_no_source_of_itself(output: str) -> None:
    found = evaluate_labels(open_scan(output), truth_for("c"), "c", relevant=2)
    assert found.num_candidates == (4, 4)


def test_the_command_judges_scores_with_labels(output: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    truth_for("our data").table.to_csv(path, index=False)
    arguments = ["evaluate", output, "--truth", str(path), "--relevant", "2", "--labels"]
    run = CliRunner().invoke(app, [*arguments, "our data", "--no-plot"])
    assert run.exit_code == 0, run.output
    assert "consensus" in run.output
    assert "logme" in run.output
    written = list(Path(output).glob("scans/*/evaluation/labels/evaluation.parquet"))
    assert len(written) == 1
    run = CliRunner().invoke(app, [*arguments, "our dat"])
    assert run.exit_code == 2
    assert "no target 'our dat': did you mean 'our data'" in run.output
    run = CliRunner().invoke(app, [*arguments, "our data", "--stability", "10"])
    assert "--labels judges one target" in run.output


def test_why_there_is_none(output: str, photos: Path, tmp_path: Path) -> None:
    rows = {"target": "x", "source": "a", "layer": ["block1", "code"], "value": [1.0, 2.0]}
    with pytest.raises(ConfigError, match="is a truth of layers"):
        evaluate_labels(open_scan(output), Truth(pd.DataFrame(rows)), "x", relevant=1)
    root = str(tmp_path)
    discs = {"source": str(photos / "discs"), "count": 12}
    scan_inline(root, photos, [tiny(name, 0) for name in "ab"], probes=discs, labels=True)
    with pytest.raises(ConfigError, match="has no scores with labels: scan probes of two classes"):
        evaluate_labels(open_scan(root), truth_for("x"), "x", relevant=1)
