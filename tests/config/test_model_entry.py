"""One model in the scan file's form: what is taken, named, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from depara.config.model_entry import load_model_entry, model_entry, parse_model_entry
from depara.errors import ConfigError

ONE = "models:\n  - {id: m, source: 'torchvision:resnet18', layers: stages}\n"


def test_an_entry_is_read_as_in_a_scan_file(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(ONE + "defaults: {weights: w.pt}\n")
    found = load_model_entry(str(path))
    assert (found.id, found.layers) == ("m", "stages")
    assert found.weights == str(Path.cwd() / "w.pt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [", "not valid YAML"),
        ("- a", "mapping with one entry below 'models'"),
        ("{}", "mapping with one entry below 'models'"),
        ("models: []", "at least 1"),
        (ONE + "  - {id: n, source: 'timm:x'}\n", "has 2 models: a query is of one"),
        (ONE + "probes: {source: x}\n", "probes cannot be given: all settings are those"),
        (ONE + "default: {weights: x}\n", "did you mean 'defaults'"),
        ("models: [{id: m, sourc: x}]", "did you mean 'source'"),
        ("models: [{id: m, id: n, source: x}]", "stands twice"),
        ("models: [{id: m, source: x, null_of: n}]", "leave it out"),
    ],
)
def test_what_is_not_one_model_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_model_entry(text)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ONE)
    with pytest.raises(ConfigError, match=r"model file .*miné.yaml.*did you mean 'mine.yaml'"):
        load_model_entry(str(tmp_path / "miné.yaml"))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"source": "torchvision:resnet18"}, "resnet18"),
        ({"source": "torchvision:resnet18", "weights": "IMAGENET1K_V1"}, "resnet18"),
        ({"source": "torchvision:resnet18", "weights": "random:0"}, "resnet18"),
        ({"source": "hf:org/some model"}, "some_model"),
        ({"source": "python:pkg.mod:Encoder", "weights": "runs/v7 <b>.safetensors"}, "v7__b_"),
        ({"source": "torchvision:resnet18", "id": "mine", "layers": None}, "mine"),
    ],
)
def test_fields_name_the_model_where_nobody_does(fields: dict[str, object], name: str) -> None:
    assert model_entry(fields).id == name


def test_a_model_without_a_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a source"):
        model_entry({"id": "m"})
