"""Whole scans on a real local Ray: the tables, the failures, reuse, and the plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from depara import open_scan
from depara.config import load_scan_file
from depara.store.schemas import TABLES
from jobs.scan import app
from tests.jobs.inline import run_inline

pytestmark = pytest.mark.ray

TINY = "python:tests.jobs.zoo:Tiny"
LAYERS = ["block?", "code"]


def model(name: str, source: str = TINY, **fields: Any) -> dict[str, Any]:
    return {"id": name, "source": source, "weights": "random:0", "layers": LAYERS, **fields}


def scan_file(folder: Path, photos: Path, models: list[dict[str, Any]], **sections: Any) -> Path:
    tree = {
        "output": str(folder / "out"),
        "probes": {"source": str(photos), "count": 12},
        "canvas": {"side": 32},
        "compute": {"workers": 2, "memory": "256MiB", "unit_probes": 5},
        "models": models,
        **sections,
    }
    path = folder / "scan.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [str(path), *arguments])


GOOD = [
    model("first"),
    model("second", weights="random:1"),
    model("wide", kwargs={"width": 6}, weights="random:2"),
]


@pytest.fixture(scope="module")
def scanned(
    local_ray: None, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """One scan of three good and several bad models, and what it printed."""
    folder = tmp_path_factory.mktemp("scan")
    zoo = "python:tests.jobs.zoo:"
    bad = [
        model("no-such-layer", layers=["block9"]),
        model("fires-twice", zoo + "FiresTwice", layers=["again"]),
        model("raises-later", zoo + "RaisesLater"),
        model("gives-nan", zoo + "GivesNaN"),
        model("kills", zoo + "Kills"),
        model("no-tensor", zoo + "NoTensor", layers="output"),
        model("other-side", kwargs={"side": 48}),
        model("no-such-class", zoo + "Tine"),
        model("no-weights", weights=str(folder / "none.pth")),
    ]
    path = scan_file(folder, photos, GOOD + bad)
    return folder / "out", run(path)


def test_bad_models_become_failures_and_the_exit_code_says_so(
    scanned: tuple[Path, Result],
) -> None:
    output, result = scanned
    assert result.exit_code == 3, result.output
    failures = open_scan(str(output)).table("failures").set_index("model_id")
    expected = {
        "no-such-layer": "block9",
        "fires-twice": "again",
        "raises-later": "the sensor is unplugged",
        "gives-nan": "gives-nan",
        "kills": "died 3 times",
        "no-tensor": "no-tensor",
        "other-side": "48 px",
        "no-such-class": "Tiny",
        "no-weights": "none.pth",
    }
    assert set(failures.index) == set(expected)
    for name, part in expected.items():
        message = str(failures.loc[name, "message"])
        assert part in message, f"{name}: {message}"
        assert "Traceback" not in message
        assert name in result.output
    models = open_scan(str(output)).table("models").set_index("model_id")["status"]
    assert set(models[models == "computed"].index) == {"first", "second", "wide"}
    assert set(models[models == "failed"].index) == set(expected)


def test_the_tables_have_their_columns_keys_and_sizes(scanned: tuple[Path, Result]) -> None:
    scan = open_scan(str(scanned[0]))
    for name, schema in TABLES.items():
        assert list(scan.table(name).columns) == schema.names
    assert len(scan.table("layers")) == 9
    assert len(scan.table("probes")) == 12
    assert set(scan.table("probes")["label"]) == {"discs", "squares"}
    similarity = scan.table("similarity")
    assert len(similarity) == 9 * 3
    assert not similarity.duplicated(
        ["source_model", "source_layer", "target_model", "target_layer"]
    ).any()
    assert set(similarity["target_layer"]) == {"code"}
    assert (similarity["num_probes"] == 12).all()
    terms = similarity[["node_similarity", "edge_similarity", "directed"]]
    combined = terms.sum(axis=1)
    np.testing.assert_allclose(similarity["similarity"], combined)
    ranking = scan.table("model_ranking")
    assert ranking.groupby("target_model")["rank"].apply(list).tolist() == [[1, 2]] * 3
    assert len(scan.table("layer_ranking")) == 3 * 2 * 3


def test_workers_and_tasks_tell_what_they_read_and_wrote(scanned: tuple[Path, Result]) -> None:
    manifest = open_scan(str(scanned[0])).manifest
    workers, moved = manifest["workers"], manifest["bytes"]
    assert all(workers[state] > 0 for state in ("starting", "busy", "idle", "tasks"))
    files = (scanned[0] / "graphs").rglob("*.parquet")
    assert moved["workers"]["written"] > sum(file.stat().st_size for file in files)
    assert moved["workers"]["read"] > 0
    assert moved["driver"]["written"] > 0
    assert "time: probes " in scanned[1].output
    assert " % busy; read " in scanned[1].output.replace("%", " %")


def test_a_graph_is_most_similar_to_itself(scanned: tuple[Path, Result]) -> None:
    similarity = open_scan(str(scanned[0])).table("similarity")
    same = (similarity["source_model"] == similarity["target_model"]) & (
        similarity["source_layer"] == similarity["target_layer"]
    )
    np.testing.assert_allclose(similarity[same]["node_similarity"], 1, atol=1e-3)
    np.testing.assert_allclose(similarity[same]["edge_similarity"], 1, atol=1e-5)
    assert similarity[~same]["similarity"].max() < 2.9


def test_the_manifest_accounts_for_everything(scanned: tuple[Path, Result]) -> None:
    output, result = scanned
    scan = open_scan(str(output))
    manifest = json.loads((output / "scans" / scan.scan_id / "manifest.json").read_text())
    assert manifest["num_failed_models"] == 9
    assert set(manifest["tables"]) == set(TABLES)
    assert manifest["versions"]["torch"] == torch.__version__.split("+")[0]
    assert str(output / "scans" / scan.scan_id) in result.output


def test_a_second_scan_reuses_every_graph_and_gives_the_same_numbers(
    local_ray: None, photos: Path, tmp_path: Path
) -> None:
    path = scan_file(tmp_path, photos, GOOD)
    run_inline(load_scan_file(str(path), ["scan_id=night1"]))
    second = run(path, "--set", "scan_id=night2")
    assert second.exit_code == 0, second.output
    assert "9 of 9 graphs are committed already" in second.output
    first, again = (open_scan(str(tmp_path / "out"), f"night{n}") for n in (1, 2))
    assert set(again.table("models")["status"]) == {"reused"}
    pd.testing.assert_frame_equal(first.table("similarity"), again.table("similarity"))
    pd.testing.assert_frame_equal(first.table("layers"), again.table("layers"))
    occupied = run(path, "--set", "scan_id=night1")
    assert occupied.exit_code == 2
    assert "finished already" in occupied.output


def test_the_answer_does_not_depend_on_batches_workers_units_or_order(
    local_ray: None, photos: Path, tmp_path: Path
) -> None:
    variants = {
        "plain": (GOOD, ["compute.batch_size=1", "compute.unit_probes=12"]),
        "split": (
            GOOD[::-1],
            ["compute.workers=2", "compute.batch_size=3", "compute.num_gpus=0.5"],
        ),
        "auto": (GOOD, ["compute.batch_size=auto"]),
    }
    keys = ["source_model", "source_layer", "target_model", "target_layer"]
    answers = {}
    for name, (models, overrides) in variants.items():
        folder = tmp_path / name
        folder.mkdir()
        path = scan_file(folder, photos, models, similarity={"pairs": "all"})
        if name == "split":
            result = run(path, *(part for one in overrides for part in ("--set", one)))
            assert result.exit_code == 0, result.output
        else:
            run_inline(load_scan_file(str(path), overrides))
        scan = open_scan(str(folder / "out"))
        answers[name] = (
            scan.table("similarity").sort_values(keys).reset_index(drop=True),
            scan.table("model_ranking").sort_values(["target_model", "rank"]),
        )
    plain_similarity, plain_ranking = answers["plain"]
    assert len(plain_similarity) == 81
    for name in ("split", "auto"):
        similarity, ranking = answers[name]
        pd.testing.assert_frame_equal(similarity[keys], plain_similarity[keys])
        for score in ("node_similarity", "edge_similarity", "similarity"):
            np.testing.assert_allclose(similarity[score], plain_similarity[score], atol=1e-5)
        assert ranking["source_model"].tolist() == plain_ranking["source_model"].tolist()


def test_a_dry_run_shows_the_plan_and_writes_nothing(photos: Path, tmp_path: Path) -> None:
    result = run(scan_file(tmp_path, photos, [*GOOD, model("bad", layers=["x"])]), "--dry-run")
    assert result.exit_code == 3, result.output
    for part in ("first", "second", "wide", "12", "9, of which 9", "bad: LayerError", "kB"):
        assert part in result.output, part
    assert not (tmp_path / "out").exists()


def test_the_printed_config_is_a_scan_file(photos: Path, tmp_path: Path) -> None:
    path = scan_file(tmp_path, photos, GOOD)
    printed = run(path, "--print-config", "--set", "similarity.lambda=0.5")
    assert printed.exit_code == 0
    assert yaml.safe_load(printed.output)["similarity"]["lambda"] == 0.5
    again = tmp_path / "again.yaml"
    again.write_text(printed.output)
    assert run(again, "--print-config").output == printed.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probes": {"source": "EMPTY"}}, "EMPTY"),
        ({"probes": {"source": "PHOTOS", "count": 25}}, "asks for 25 images"),
        ({"probes": {"source": "PHOTOS", "coumt": 5}}, "did you mean 'count'"),
        ({"output": "FILE/out"}, "cannot write"),
        ({"compute": {"num_gpus": 8}}, "no worker fits this machine: each asks for {CPU: 1, GPU"),
        ({"models": [model("a", "tortchvision:resnet18")]}, "torchvision"),
    ],
)
def test_a_mistake_ends_with_one_message_and_code_2(
    local_ray: None, photos: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("")
    text = json.dumps(change).replace("PHOTOS", str(photos))
    for name in ("EMPTY", "FILE"):
        text = text.replace(f'"{name}', f'"{tmp_path}/{name}')
    sections = {"models": GOOD, **json.loads(text)}
    result = run(scan_file(tmp_path, photos, **sections))
    assert result.exit_code == (1 if "num_gpus" in text else 2), result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("out/scans/*/manifest.json"))


def test_models_share_gpus_by_what_they_need(local_ray: None, photos: Path, tmp_path: Path) -> None:
    """On logical GPUs; their memory is what the scan file says."""
    path = scan_file(tmp_path, photos, GOOD)
    auto = ["--set", "compute.num_gpus=auto"]
    unknown = run(path, *auto)
    assert unknown.exit_code == 1, unknown.output
    assert "set compute.gpu_memory, such as 16GiB" in unknown.output
    assert "Traceback" not in unknown.output
    planned = run(path, *auto, "--set", "compute.gpu_memory=8GiB", "--dry-run")
    said = " ".join(planned.output.split())
    assert "1/8 of a GPU of 8.59 GB for 3 models, which need up to" in said
    done = run(path, *auto, "--set", "compute.gpu_memory=8GiB")
    assert done.exit_code == 0, done.output
    assert "8.59 GB of GPU memory: 1/8 of a GPU for 3 models" in done.output
    assert len(open_scan(str(tmp_path / "out")).table("layers")) == 9
