"""Fingerprints of models: every ingredient alone changes them, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from depara.config import ModelConfig
from depara.fingerprints import model_fingerprints
from tests.conftest import ROOT
from tests.fingerprints.models import config, fingerprint, later


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("torchvision:resnet18", None),
        ("torchvision:resnet18", "IMAGENET1K_V1"),
        ("torchvision:resnet18", "ResNet18_Weights.IMAGENET1K_V1"),
        ("torchvision:resnet18", "random:3"),
        ("timm:resnet18", None),
        ("timm:resnet18", "a1_in1k"),
        ("timm:hf-hub:owner/name@v2", None),
        ("hf:owner/name", None),
        ("python:our_zoo.nets:Net", "random:0"),
        ("python:our_zoo.nets:Net", "package://our_zoo/net.pth"),
    ],
)
def test_every_kind_of_source_has_one(source: str, given: str | None, package: Path) -> None:
    found = fingerprint(config(source, weights=given))
    assert found is not None
    assert len(found) == 32
    assert found == fingerprint(config(source, weights=given))


def test_all_kinds_together_import_neither_torch_nor_the_code(
    package: Path, weights: Path, hf_folder: Path
) -> None:
    code = f"""
import sys
from depara.config import ModelConfig, ProbesConfig
from depara.fingerprints import model_fingerprints, probes_fingerprint
from depara.types import ProbeRef
sys.path.insert(0, {str(package.parent)!r})
sources = {{
    "torchvision:resnet18": {str(weights)!r},
    "timm:resnet18": None,
    "hf:{hf_folder}": None,
    "python:our_zoo.nets:Net": "package://our_zoo/net.pth",
    "python:tests.jobs.zoo:Tiny": "random:0",
}}
models = [
    ModelConfig(id=f"m{{i}}", source=source, weights=weights)
    for i, (source, weights) in enumerate(sources.items())
]
found = model_fingerprints(models, canvas_side=32, features="gap")
assert None not in found.values(), found
refs = [ProbeRef({str(weights)!r})]
assert probes_fingerprint(refs, ProbesConfig(source="x"), 32)
heavy = {{"torch", "torchvision", "timm", "transformers", "PIL", "our_zoo", "ray", "tests"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


FIELDS: dict[str, Any] = {
    "id": "other",
    "source": "torchvision:resnet34",
    "kwargs": {"num_classes": 3},
    "weights_sha256": "0" * 64,
    "state_dict_key": "model",
    "strip_prefix": "net.",
    "input": {"side": 8},
    "layers": ["layer1"],
    "output_layer": "fc",
    "null_of": "net",
}


def test_the_fields_of_this_test_are_all_that_there_are() -> None:
    assert set(FIELDS) | {"weights"} == set(ModelConfig.model_fields)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_the_model_changes_it(field: str, weights: Path) -> None:
    fields: dict[str, Any] = {"weights": str(weights)}
    assert fingerprint(config(**fields)) != fingerprint(config(**fields | {field: FIELDS[field]}))


def test_canvas_and_features_change_it(weights: Path) -> None:
    model = config(weights=str(weights))
    seen = {fingerprint(model), fingerprint(model, 64), fingerprint(model, 32, "gap")}
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("source", "dependency", "matters"),
    [
        ("torchvision:resnet18", "torch", True),
        ("torchvision:resnet18", "torchvision", True),
        ("torchvision:resnet18", "timm", False),
        ("timm:resnet18", "timm", True),
        ("timm:resnet18", "safetensors", True),
        ("hf:owner/name", "transformers", True),
        ("hf:owner/name", "torchvision", True),
        ("hf:owner/name", "timm", True),
        ("python:our_zoo.nets:Net", "torch", True),
        ("python:our_zoo.nets:Net", "transformers", False),
    ],
)
def test_versions_of_the_packages_it_comes_from_change_it(
    source: str, dependency: str, matters: bool, package: Path, set_version: Callable[[str], None]
) -> None:
    model = config(source, weights="random:0")
    before = fingerprint(model)
    assert before is not None
    set_version(dependency)
    assert (fingerprint(model) != before) == matters


def test_the_reader_of_safetensors_changes_it_where_it_reads(
    weights: Path, set_version: Callable[[str], None]
) -> None:
    safe = weights.with_suffix(".safetensors")
    safe.write_bytes(b"weights")
    models = [config(weights=str(weights)), config(weights=str(safe))]
    before = [fingerprint(model) for model in models]
    set_version("safetensors")
    after = [fingerprint(model) for model in models]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False]


@pytest.mark.parametrize(
    "constant",
    ["depara.fingerprints.models.CARD_VERSION", "depara.fingerprints.versions.__version__"],
)
def test_our_own_versions_change_it(constant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(config())
    monkeypatch.setattr(constant, "99")
    assert fingerprint(config()) != before


def test_neighbours_do_not_change_it(weights: Path, package: Path) -> None:
    models = [
        config(id="a", weights=str(weights)),
        config("python:our_zoo.nets:Net", id="b", weights="random:0"),
        config("hf:owner/name", id="c"),
    ]
    settings: dict[str, Any] = {"canvas_side": 32, "features": "flatten"}
    before = model_fingerprints(models, **settings)
    assert list(before) == ["a", "b", "c"]
    (weights.parent / "another.pth").write_bytes(b"other")
    (package / "data.bin").write_bytes(b"other")
    later(package / "nets.py")  # code is told by its content: a working directory is often copied
    more = [config(id="new"), *reversed(models)]
    after = model_fingerprints(more, **settings)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    "fields",
    [
        {"weights": "/nowhere/net.pth"},
        {"weights": "nowhere.safetensors"},
        {"weights": "package://no_such_package/net.pth"},
        {"weights": "no-such-scheme://bucket/net.pth"},
        {"weights": "."},
        {"weights": "with\0null/net.pth"},
        {"source": "hf:owner/name", "weights": "IMAGENET1K_V1"},
        {"source": "python:no_such_module:Net", "weights": "random:0"},
        {"source": "python:our_zoo.nets:Net"},
        {"source": "keras:resnet"},
        {"source": "torchvision"},
        {"kwargs": {"url": "s3://bucket/config.json"}},
        {"kwargs": {"checkpoint_path": "nowhere.pth"}},
        {"kwargs": {"folder": "/nowhere/at/all"}},
        {"kwargs": {"file": "file:///nowhere/at/all"}},
        {"kwargs": {"file": "package://our_zoo/nowhere.yaml"}},
        {"kwargs": {"raw": b"\xff\xfe"}},
    ],
)
def test_what_cannot_be_told_is_left_to_be_opened(fields: dict[str, Any], package: Path) -> None:
    model = config(**{"source": "torchvision:resnet18", **fields})
    good = config(id="good")
    found = model_fingerprints([model, good], canvas_side=32, features="flatten")
    assert found["net"] is None
    assert found["good"] == fingerprint(good)
