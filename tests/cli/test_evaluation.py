"""The command that evaluates, as a user types it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from depara.cli import app
from depara.evaluation import EVALUATION_TABLES

VALUES = {
    ("a", "b"): 0.9, ("a", "c"): 0.4, ("b", "a"): 0.7, ("b", "c"): 0.5, ("c", "a"): 0.8,
    ("c", "b"): 0.6,
}  # fmt: skip


@pytest.fixture
def truth(tmp_path: Path) -> str:
    """Transfers between the three models, measured twice; the sources of c change their order."""
    rows = [
        f"{target},{source},{repeat},{again if target == 'c' and repeat == 2 else value}"
        for (target, source), value in VALUES.items()
        for repeat, again in ((1, value), (2, 1.2 - 0.8 * value))
    ]
    path = tmp_path / "truth.csv"
    path.write_text("\n".join(["target,source,repeat,value", *rows]) + "\n")
    return str(path)


def run(scan: str, truth: str, *arguments: str, code: int = 0) -> str:
    place = str(Path(truth).parent / "results")
    fixed = ["evaluate", scan, "--truth", truth, "--relevant", "1", "--to", place, "--no-plot"]
    result = CliRunner().invoke(app, [*fixed, *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_all_that_can_be_asked_is_printed_and_written(scan_folder: str, truth: str) -> None:
    text = run(
        scan_folder, truth, "--compare", "similarity,cka", "--compare", "popularity, rsa",
        "--stability", "6", "--without-strongest", "1",
    )  # fmt: skip
    words = " ".join(text.split())
    assert "similarity minus cka: mean difference over 3 targets" in words
    assert "popularity minus rsa: mean difference over 3 targets" in words
    assert "precision@1" in words
    assert "would other halves of sources and targets agree?" in words
    assert "mostly noise (reliability below 0.5): 'c' (0.00)" in words
    assert "this truth can be met to a Spearman of at most 0.67" in words
    assert "without the 1 strongest sources:" in words
    assert "the sources of the highest mean true value, on request: 'b'" in words
    place = Path(truth).parent / "results"
    for folder in (place, place / "without_strongest_1"):
        for name, schema in EVALUATION_TABLES.items():
            assert pq.read_schema(folder / f"{name}.parquet").equals(schema)
        assert f"written: {folder / 'evaluation.json'}" in text
    pairs = pd.read_parquet(place / "paired.parquet")
    assert set(zip(pairs["score"], pairs["other"], strict=True)) == {
        ("similarity", "cka"),
        ("popularity", "rsa"),
    }
    # Without the strongest source one target is left: too few for a popularity.
    pairs = pd.read_parquet(place / "without_strongest_1" / "paired.parquet")
    assert set(pairs["score"]) == {"similarity"}
    run(scan_folder, truth)
    assert pq.read_table(place / "paired.parquet").num_rows == 0  # none of an older run


def test_csv_is_the_one_table_that_was_asked_for(scan_folder: str, truth: str) -> None:
    def read(*arguments: str) -> pd.DataFrame:
        return pd.read_csv(io.StringIO(run(scan_folder, truth, "--csv", *arguments)))

    means = read()
    assert {"score", "pearson", "regret@1", "regret@5", "relative_accuracy@1"} < set(means.columns)
    assert {"hybrid", "ceiling_noise"} < set(means["score"])
    assert read("--compare", "similarity,cka")["p_better"].between(0, 1).all()
    assert "agreement" in read("--stability", "4").columns
    both = read("--without-strongest", "1")
    assert both.groupby("without_strongest").size().index.tolist() == [0, 1]
    text = run(scan_folder, truth, "--csv", "--stability", "4", "--compare", "rsa,cka", code=2)
    assert "--csv prints one table: leave out --compare or --stability" in text


def test_json_is_the_record_with_all_that_was_asked_for(scan_folder: str, truth: str) -> None:
    arguments = ("--compare", "rsa,cka", "--stability", "4", "--without-strongest", "1", "--json")
    record = json.loads(run(scan_folder, truth, *arguments))
    assert record["means"]["hybrid"]["regret@2"]["value"] == 0
    assert record["paired"][0]["score"] == "rsa"
    assert record["setups"][0]["num_setups"] <= 4
    assert record["without_strongest"]["left_out"][0].endswith("'b' (0.78)")
    assert [one["target"] for one in record["targets"]] == ["a", "b", "c"]
    place = Path(truth).parent / "results" / "evaluation.json"
    written = json.loads(place.read_text())
    assert written == {name: record[name] for name in written}


def test_means_can_be_weighed_by_reliability(scan_folder: str, truth: str) -> None:
    plain, weighed = (
        json.loads(run(scan_folder, truth, "--json", *extra))
        for extra in ((), ("--weigh-by-reliability",))
    )
    assert weighed["weighed_by_reliability"]
    # c's truth is noise: what is left are a and b, whose repeats agree.
    table = pd.read_parquet(Path(truth).parent / "results" / "evaluation.parquet")
    rows = table[(table["score"] == "popularity") & (table["metric"] == "spearman")]
    by_target = rows.set_index("target")["value"]
    means = [one["means"]["popularity"]["spearman"]["value"] for one in (plain, weighed)]
    assert means[0] == pytest.approx(by_target[["a", "b", "c"]].mean())
    assert means[1] == pytest.approx(by_target[["a", "b"]].mean())
    assert "weighed by the truth's reliability" in run(scan_folder, truth, "--weigh-by-reliability")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--compare", "similarity"), "names no two scores: write them as A,B"),
        (("--compare", "similarity,"), "names no two scores"),
        (("--compare", "similarty,cka"), "no score 'similarty'; did you mean 'similarity'"),
        (("--stability", "1"), "stability of 1 setups: give at least 2"),
        (("--without-strongest", "2"), "2 strongest sources to leave out of 3"),
        (("--csv", "--json"), "exclude each other"),
    ],
)
def test_mistakes_get_one_line(
    scan_folder: str, truth: str, arguments: tuple[str, ...], words: str
) -> None:
    text = run(scan_folder, truth, *arguments, code=2)
    assert words in text
    assert len(text.strip().splitlines()) == 1


def test_the_help_has_an_example() -> None:
    text = CliRunner().invoke(app, ["evaluate", "--help"]).output
    assert "Example: depara evaluate depara-out/digits --truth" in " ".join(text.split())
