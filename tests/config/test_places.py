"""Local paths of a scan file mean the folder where the command runs, wherever a worker runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from depara.config import load_scan_file, parse_scan, render_scan
from depara.config.places import CommandFolder
from depara.errors import ConfigError

HERE = CommandFolder("/srv/here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos/", "/srv/here/photos"),
        ("./out", "/srv/here/out"),
        ("../w.pth", "/srv/w.pth"),
        ("/data//w.pth", "/data/w.pth"),
        ("file:///data/w.pth", "/data/w.pth"),
        ("file://localhost/data/w.pth", "/data/w.pth"),
        ("file:/data/w.pth", "/data/w.pth"),
        ("file://photos", "/srv/here/photos"),
        ("checkpoints/**/*.pth", "/srv/here/checkpoints/**/*.pth"),
        ("~/photos", "/home/someone/photos"),
        ("$SCRATCH/photos", "/scratch/7/photos"),
        ("${SCRATCH}_b/photos", "/scratch/7_b/photos"),
        ("s3://bucket/$SCRATCH", "s3://bucket/$SCRATCH"),
        ("package://zoo/w.pth", "package://zoo/w.pth"),
        ("", ""),
    ],
)
def test_a_local_path_becomes_absolute_and_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("SCRATCH", "/scratch/7")
    assert HERE.absolute(text, "output") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$NO_SUCH_FOLDER/out", "output: .* variable NO_SUCH_FOLDER, which is not set"),
        ("C:\\photos", "path of Windows"),
        ("D:/photos", "path of Windows"),
        ("~nobody-of-that-name/out", "home folder that is not known"),
    ],
)
def test_what_has_no_meaning_here_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HERE.absolute(text, "output")


@pytest.mark.parametrize("name", ["$HOME", "~", "a%20b", "file:x", "C:\\x"])
def test_a_name_that_exists_is_taken_literally(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    placed = CommandFolder(str(tmp_path)).absolute(name, "probes.source")
    assert placed == str(tmp_path / name)


def test_a_file_uri_may_be_percent_encoded(tmp_path: Path) -> None:
    (tmp_path / "my photos").mkdir()
    folder = CommandFolder("/")
    assert folder.absolute((tmp_path / "my photos").as_uri(), "x") == str(tmp_path / "my photos")


def test_a_link_is_kept_and_its_parent_is_that_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "deep")
    folder = CommandFolder(str(tmp_path / "near"))
    assert folder.absolute("link/w.pth", "x") == str(tmp_path / "near" / "link" / "w.pth")
    sideways = folder.absolute("link/../w.pth", "x")
    assert os.path.realpath(sideways) == str(tmp_path / "far" / "w.pth")


SCAN = """
probes: {source: [photos, "s3://bucket/more"]}
compute: {spill_dir: spill}
defaults: {weights: base.pth}
models:
  - {id: file, source: "torchvision:resnet18", weights: w.pth}
  - {id: name, source: "torchvision:resnet18", weights: IMAGENET1K_V1}
  - {id: full-name, source: "torchvision:resnet18", weights: ResNet18_Weights.DEFAULT}
  - {id: tag, source: "timm:resnet18", weights: a1_in1k}
  - {id: random, source: "hf:some/name", weights: "random:3"}
  - {id: plain, source: "python:zoo:net", weights: step.7}
  - {id: inherited, source: "python:zoo:net"}
  - {id: own, source: "python:zoo:net", weights: null}
"""


def test_the_places_of_a_scan_file_become_absolute_and_names_stay() -> None:
    config = parse_scan(SCAN, folder=HERE).config
    assert config.output == "/srv/here/depara-out"
    assert config.probes.source == ["/srv/here/photos", "s3://bucket/more"]
    assert config.compute.spill_dir == "/srv/here/spill"
    assert {model.id: model.weights for model in config.models} == {
        "file": "/srv/here/w.pth",
        "name": "IMAGENET1K_V1",
        "full-name": "ResNet18_Weights.DEFAULT",
        "tag": "a1_in1k",
        "random": "random:3",
        "plain": "/srv/here/step.7",
        "inherited": "/srv/here/base.pth",
        "own": None,
    }
    again = parse_scan(render_scan(config), folder=CommandFolder("/elsewhere")).config
    assert again == config


def test_a_glob_may_begin_with_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    (tmp_path / "x.pth").write_bytes(b"")
    models = 'models: [{id: "{stem}", source: "python:a:b", weights: "$CHECKPOINTS/*.pth"}]'
    config = parse_scan(f"probes: {{source: p}}\n{models}", folder=HERE).config
    assert [model.weights for model in config.models] == [str(tmp_path / "x.pth")]


def test_a_loaded_file_is_relative_to_the_folder_of_the_command_not_to_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "scan.yaml").write_text(
        yaml.safe_dump({"probes": {"source": "photos"}, "models": [{"id": "a", "source": "hf:b"}]})
    )
    monkeypatch.chdir(tmp_path)
    config = load_scan_file("files/scan.yaml", ["output=here"]).config
    assert (config.probes.source, config.output) == (str(tmp_path / "photos"), f"{tmp_path}/here")


def test_a_folder_that_was_removed_under_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="has been removed: cd"):
        CommandFolder.here()
