"""`depara ensemble` on whole scans: for a target, for labels, and why there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from depara import open_scan
from depara.cli import app
from depara.ensembles import predicted_share
from depara.ensembles.smoothers import unit_gram
from depara.errors import ConfigError
from depara.scan import Scan
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny


def test_a_set_for_a_target_begins_with_its_best_directed_source(classifiers: str) -> None:
    scan = open_scan(classifiers)
    found = scan.ensemble("encoder", 3)
    table = scan.table("similarity")
    rows = table[
        (table["target_model"] == "encoder")
        & (table["target_layer"] == "code")
        & (table["source_layer"] == "code")
        & table["source_model"].isin(list("abc"))
    ]
    directed = dict(zip(rows["source_model"], rows["directed"], strict=True))
    assert found.num_candidates == 3  # no random twin, not itself
    assert found.members[0] == max(directed, key=lambda name: directed[name])
    assert found.steps[0].value == pytest.approx(max(directed.values()), abs=1e-4)
    assert list(found.frame()["size"]) == list(range(1, len(found.steps) + 1))
    with pytest.raises(ConfigError, match="encodr"):
        scan.ensemble("encodr")


def test_a_set_for_labels_is_of_models_with_a_return_value(classifiers: str) -> None:
    scan = open_scan(classifiers)
    found = scan.ensemble_for_labels(2, "e_leep")
    scores = scan.table("label_scores")
    leep = scores[scores["score"] == "leep"].dropna(subset="value").set_index("model_id")["value"]
    assert found.members[0] == leep.idxmax()
    assert found.steps[0].value == pytest.approx(leep.max())
    assert set(found.left_out) == {"encoder"}
    assert all(np.diff([step.value for step in found.steps]) > 0)
    with pytest.raises(
        ConfigError,
        match="no score 'leap' of an ensemble: choose label_share or e_leep or ms_leep or osborn",
    ):
        scan.ensemble_for_labels(2, "leap")


def grams_of_model(scan: Scan, name: str) -> np.ndarray:
    return open_graph(Storage(scan.output), scan.graph_key(name)).read_grams().zscored_NN


def test_a_set_for_labels_by_features_is_of_all_models(classifiers: str) -> None:
    scan = open_scan(classifiers)
    found = scan.ensemble_for_labels(4)
    assert (found.score, found.num_candidates, found.left_out) == ("label_share", 4, {})
    labels = [str(probe.label) for probe in scan.probes()]
    one_hot = np.array([[float(y == name) for name in sorted(set(labels))] for y in labels])
    centred = one_hot - one_hot.mean(axis=0)
    alone = {
        name: predicted_share([unit_gram(grams_of_model(scan, name))], centred @ centred.T)
        for name in ("a", "b", "c", "encoder")
    }
    assert found.members[0] == max(alone, key=lambda name: alone[name])
    for step in found.steps:
        assert step.alone == pytest.approx(alone[step.model_id], abs=1e-6)


def test_the_command_prints_members_and_who_is_none(classifiers: str) -> None:
    run = CliRunner().invoke(app, ["ensemble", classifiers, "--score", "e_leep"])
    assert run.exit_code == 0, run.output
    assert run.output.startswith("the labelled probes: ")
    assert "no candidates (no return value of it is kept): encoder" in run.output
    run = CliRunner().invoke(app, ["ensemble", classifiers, "encoder", "--size", "2", "--json"])
    record = json.loads(run.output)
    assert record["score"] == "directed"
    assert len(record["steps"]) <= 2


def test_osborn_fills_the_set_and_takes_samples_of_the_sources(
    classifiers: str, halves: tuple[str, str]
) -> None:
    found = open_scan(classifiers).ensemble_for_labels(3, "osborn")
    assert sorted(found.members) == list("abc")
    assert found.steps[0].value == max(step.alone for step in found.steps)
    assert all(step.gain <= step.alone + 1e-12 for step in found.steps)
    here, there = halves
    arguments = ["ensemble", there, "--score", "osborn", "--json"]
    plain = json.loads(CliRunner().invoke(app, [*arguments]).output)
    assert sorted(row["model_id"] for row in plain["steps"]) == ["a", "b"]
    run = CliRunner().invoke(app, [*arguments, "--source", f"a={here}"])
    assert run.exit_code == 0, run.output
    record = json.loads(run.output)
    assert [row["model_id"] for row in record["steps"]] == ["a"]
    assert record["left_out"]["b"] == "no samples of its source are given"
    for extra, words in (
        ([f"b={here}"], "does not have the same features"),
        (["a"], "write MODEL=OUTPUT"),
        ([f"a={here}", f"a={there}"], "twice"),
        ([f"x={here}"], "no model 'x'"),
        ([f"a={classifiers}"], "keeps no features of model 'a'"),
    ):
        options = [part for one in extra for part in ("--source", one)]
        run = CliRunner().invoke(app, ["ensemble", there, "--score", "osborn", *options])
        assert run.exit_code == 2
        assert words in run.output
    run = CliRunner().invoke(app, ["ensemble", there, "--source", f"a={here}"])
    assert "samples of sources are for osborn alone" in run.output
    run = CliRunner().invoke(app, ["ensemble", there, "a", "--source", f"a={here}"])
    assert "leave the target out" in run.output


def test_why_there_is_none(scan_folder: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keeps no model's return value: .*--fresh"):
        open_scan(scan_folder).ensemble_for_labels(score="ms_leep")
    root = str(tmp_path)
    scan_inline(
        root,
        photos,
        [tiny("a", 0)],
        probes={"source": str(photos / "discs"), "count": 12},
        labels=True,
    )
    with pytest.raises(ConfigError, match="not labelled with two classes: name a target"):
        open_scan(root).ensemble_for_labels()
    with pytest.raises(ConfigError, match="no other model than 'a'"):
        open_scan(root).ensemble("a")
