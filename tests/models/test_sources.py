"""Sources of models: names, packages and builders that work, and those that do not."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from depara.config.schema import ModelConfig
from depara.errors import ModelError, WeightsError
from depara.models import open_model
from depara.models.sources import find_source
from depara.models.state_dict import StateDict
from depara.types import IMAGENET_MEAN, IMAGENET_STD, InputSpec

Config = Callable[..., ModelConfig]
SIDE = 16


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet18", "'resnet18' names no model: expected torchvision:NAME"),
        ("torchvison:resnet18", "did you mean 'torchvision'"),
        ("timm:", "names no model"),
        ("torchvision:resnet81", "torchvision has no model 'resnet81': did you mean 'resnet"),
        ("timm:resnt50", "timm has no model 'resnt50': did you mean 'resnet50"),
        ("timm:resnet50.no_such_tag", "timm:resnet50.no_such_tag cannot be built: RuntimeError"),
        ("hf:./no/such/folder", "hf:./no/such/folder: no such folder"),
        ("hf:nobody/nothing", "hf:nobody/nothing is not in the cache .* HF_HUB_OFFLINE is set"),
        ("python:tests.models.networks", "expected python:package.module:callable"),
        ("python:no_such_module:Net", "'no_such_module' cannot be imported .*ModuleNotFoundError"),
        ("python:tests.models.networks:Plane", "'Plane' is not in .* did you mean 'Plain'"),
        ("python:tests.models.networks:Plain.create", "'create' is not in"),
        ("python:tests.models.networks:INSTANCE", "is a Identity, expected a callable"),
        ("python:tests.models.networks:broken", "cannot be built: ValueError: no such variant"),
        ("python:tests.models.networks:not_a_module", "returned list, expected a torch.nn.Module"),
        ("python:tests.models.networks:lazy", "'0.weight' has no values yet"),
        ("python:tests.models.networks:Heads", "cannot be built: TypeError.*num_heads"),
    ],
)
def test_what_cannot_be_built_is_said_on_one_line(
    model_config: Config, source: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        open_model(model_config(source, id="x"), canvas_side=SIDE)
    assert str(caught.value).startswith("model 'x': ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("package", "source", "extra"),
    [
        ("timm", "timm:resnet18", "timm"),
        ("transformers", "hf:some/model", "hf"),
        ("torchvision.models", "torchvision:resnet18", "scan"),
    ],
)
def test_a_missing_package_gives_the_pip_command(
    model_config: Config, monkeypatch: pytest.MonkeyPatch, package: str, source: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=rf'pip install "depara\[{extra}\]"'):
        open_model(model_config(source), canvas_side=SIDE)


def test_keyword_arguments_reach_the_builder(model_config: Config) -> None:
    own = model_config("python:tests.models.networks:Plain", kwargs={"num_classes": 7})
    assert open_model(own, canvas_side=SIDE).module.head.out_features == 7
    torchvision = model_config("torchvision:squeezenet1_1", kwargs={"num_classes": 7})
    classifier = open_model(torchvision, canvas_side=SIDE).module.classifier
    assert classifier[1].out_channels == 7
    unknown = model_config("torchvision:squeezenet1_1", kwargs={"num_clases": 7})
    with pytest.raises(ModelError, match=r"cannot be built: TypeError.*num_clases"):
        open_model(unknown, canvas_side=SIDE)


def test_the_working_directory_is_importable(
    model_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "depara_test_nets.py").write_text(
        "from torch import nn\nclass Zoo:\n"
        "    @classmethod\n"
        "    def from_name(cls, size):\n        return nn.Conv2d(3, size, 1)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    config = model_config("python:depara_test_nets:Zoo.from_name", kwargs={"size": 5})
    assert open_model(config, canvas_side=SIDE).num_parameters == 5 * 3 + 5


@pytest.mark.parametrize(
    ("source", "kwargs", "expected"),
    [
        ("torchvision:squeezenet1_1", {}, InputSpec(224, IMAGENET_MEAN, IMAGENET_STD)),
        (
            "torchvision:vit_b_16",
            {"image_size": 32},
            InputSpec(32, IMAGENET_MEAN, IMAGENET_STD),
        ),
        ("timm:resnet10t", {}, InputSpec(176, IMAGENET_MEAN, IMAGENET_STD)),
        (
            "timm:vit_tiny_patch16_224",
            {"img_size": 32, "depth": 1},
            InputSpec(32, (0.5,) * 3, (0.5,) * 3),
        ),
        ("timm:mobilenetv3_small_050", {"in_chans": 1}, InputSpec(224, (0.449,), (0.226,))),
        ("python:tests.models.networks:Plain", {}, InputSpec(SIDE, IMAGENET_MEAN, IMAGENET_STD)),
    ],
)
def test_the_input_is_what_the_source_declares(
    model_config: Config, source: str, kwargs: dict[str, object], expected: InputSpec
) -> None:
    found = open_model(model_config(source, kwargs=kwargs), canvas_side=SIDE).input
    assert found.side == expected.side
    assert found.mean == pytest.approx(expected.mean, abs=1e-3)
    assert found.std == pytest.approx(expected.std, abs=1e-3)


def test_detection_presets_hand_over_plain_pixels() -> None:
    source, name = find_source("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn")
    declared = source.declared_input(name, {}, None, torch.nn.Identity())
    assert (declared.side, declared.mean, declared.std) == (None, (0.0,) * 3, (1.0,) * 3)


def test_official_weights_come_from_the_cache_or_the_network(
    model_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(url: str, *_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr("depara.models.torchvision_source.url_silence", lambda url: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for weights in (None, "DEFAULT", "IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        config = model_config("torchvision:squeezenet1_1", weights=weights)
        with pytest.raises(WeightsError, match=r"squeezenet1_1-b8a52dc0.pth cannot .* local path"):
            open_model(config, canvas_side=SIDE)

    untrained = open_model(model_config("torchvision:squeezenet1_1"), canvas_side=SIDE)
    cached = tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    torch.save(untrained.module.state_dict(), cached)
    by_name = open_model(model_config("torchvision:squeezenet1_1", weights=None), canvas_side=SIDE)
    by_path = open_model(
        model_config("torchvision:squeezenet1_1", weights=str(cached)), canvas_side=SIDE
    )
    assert by_name.weights_sha256 == by_path.weights_sha256
    assert by_name.architecture == by_path.architecture


def test_unknown_weights_names_list_near_ones(model_config: Config) -> None:
    config = model_config("torchvision:resnet50", weights="IMAGENET1K_V3")
    with pytest.raises(WeightsError, match=r"neither a file nor .*: did you mean 'IMAGENET1K_V"):
        open_model(config, canvas_side=SIDE)


def test_official_densenet_names_are_understood() -> None:
    source, name = find_source("torchvision:densenet121")
    new = source.build(name, {}).state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): torch.ones_like(value)
        for key, value in new.items()
    }
    assert "features.denseblock1.denselayer2.norm.1.weight" in old
    loaded = source.load(name, {}, StateDict(old)).module.state_dict()
    assert all(torch.equal(value, torch.ones_like(value)) for value in loaded.values())


@pytest.mark.parametrize(("name", "head"), [("googlenet", "aux1"), ("inception_v3", "AuxLogits")])
def test_networks_with_auxiliary_heads_fit_their_official_checkpoints(
    model_config: Config, name: str, head: str
) -> None:
    module = open_model(model_config(f"torchvision:{name}"), canvas_side=SIDE).module
    assert any(key.startswith(f"{head}.") for key in module.state_dict())
    assert module.transform_input
    with torch.no_grad():
        assert module(torch.rand(1, 3, 96, 96)).shape == (1, 1000)
