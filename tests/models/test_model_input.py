"""The input of models from every source: what is declared, given, assumed or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from depara.config.schema import InputConfig, ModelConfig
from depara.errors import ModelError
from depara.models import Preprocess, open_model
from depara.models.model_input import resolve_input
from depara.models.source import DeclaredInput
from depara.models.sources import find_source
from depara.types import IMAGENET_MEAN, IMAGENET_STD, InputSpec

Config = Callable[..., ModelConfig]
BGR = DeclaredInput(
    32, (0.1, 0.2, 0.3), (1.0,) * 3, "bgr", 3, origin="P", not_applied=("crop to about 0.8",)
)


def test_each_part_says_where_it_was_found() -> None:
    found = resolve_input(InputConfig(), BGR, 64)
    assert found.spec == InputSpec(32, (0.1, 0.2, 0.3), (1.0,) * 3, "bgr")
    assert found.notes == ()
    assert found.origins == (
        "side, channels, mean, std: P; not applied, the canvas stands for it: crop to about 0.8"
    )
    mixed = resolve_input(InputConfig(side=16, std=[0.5] * 3), BGR, 64)
    assert mixed.spec == InputSpec(16, (0.1, 0.2, 0.3), (0.5,) * 3, "bgr")
    assert mixed.origins.startswith("side, std: scan file; channels, mean: P; not applied")


def test_what_nothing_declares_is_imagenets_and_noted() -> None:
    found = resolve_input(InputConfig(), DeclaredInput(), 64)
    assert found.spec == InputSpec(64, IMAGENET_MEAN, IMAGENET_STD)
    assert found.origins == "side: canvas side; channels, mean, std: assumed (ImageNet)"
    (note,) = found.notes
    assert (note.kind, note.layer) == ("input", None)
    assert note.message.startswith("channels, mean, std of the input are not declared")
    half = resolve_input(InputConfig(mean=[0.5] * 3), DeclaredInput(), 64)
    assert half.notes[0].message.startswith("channels, std of")
    grey = resolve_input(InputConfig(), DeclaredInput(num_channels=1), 64)
    assert (grey.spec.mean, grey.spec.std) == (pytest.approx((0.449,)), pytest.approx((0.226,)))
    full = resolve_input(InputConfig(mean=[0.5] * 3, std=[0.5] * 3), DeclaredInput(), 64)
    assert full.notes == ()
    assert full.origins == "side: canvas side; channels: default; mean, std: scan file"


def test_what_cannot_be_honoured_is_refused_until_the_scan_file_says_it() -> None:
    odd = DeclaredInput(origin="P", problem="its P turns pictures grey", side_problem="its P wide")
    both = {"mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(ModelError, match=r"its P wide, only squares.*set input.side"):
        resolve_input(InputConfig(**both), odd, 64)
    with pytest.raises(ModelError, match=r"its P turns pictures grey.*input.mean and input.std"):
        resolve_input(InputConfig(side=16, mean=[0.5] * 3), odd, 64)
    found = resolve_input(InputConfig(side=16, channel_order="bgr", **both), odd, 64)
    assert found.spec == InputSpec(16, (0.5,) * 3, (0.5,) * 3, "bgr")
    with pytest.raises(ModelError, match="takes 4 channels: a canvas gives three"):
        resolve_input(InputConfig(), DeclaredInput(num_channels=4), 64)
    with pytest.raises(ModelError, match=r"has 3 values and input.std 3, expected 1 of each"):
        resolve_input(InputConfig(**both), DeclaredInput(num_channels=1), 64)


@pytest.mark.parametrize("std", [(0.0, 1.0, 1.0), (-1.0,) * 3, (float("nan"),) * 3])
def test_a_declared_std_that_is_none_is_refused(std: tuple[float, ...]) -> None:
    declared = DeclaredInput(mean=(0.5,) * 3, std=std, origin="pretrained_cfg of Net")
    with pytest.raises(ModelError, match=r"pretrained_cfg of Net\) are no normalisation"):
        resolve_input(InputConfig(), declared, 64)


def test_a_scale_is_that_of_mean_and_std() -> None:
    caffe = InputConfig(
        scale=255, channel_order="bgr", mean=[103.9, 116.8, 123.7], std=[1.0, 2.0, 4.0]
    )
    spec = resolve_input(caffe, DeclaredInput(), 8).spec
    canvas = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    bgr = canvas.flip(1).double() * 255
    mean, std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None]
        for values in ((103.9, 116.8, 123.7), (1.0, 2.0, 4.0))
    )
    ours = Preprocess(spec)(canvas).double()
    torch.testing.assert_close(ours, (bgr - mean) / std, atol=1e-3, rtol=1e-5)


# --- torchvision and timm: every preset and config that they have, against their own transforms


def picture(side: int) -> Image.Image:
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def preprocessed(image: Image.Image, spec: InputSpec) -> torch.Tensor:
    canvas = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255
    return Preprocess(spec)(canvas)[0]


def resolved(kind: str, name: str, module: nn.Module, **kwargs: Any) -> InputSpec:
    declared = find_source(f"{kind}:x")[0].declared_input(name, kwargs, None, module)
    found = resolve_input(InputConfig(), declared, 64)
    assert not found.notes
    assert "assumed" not in found.origins
    return found.spec


def test_torchvision_presets() -> None:
    models = pytest.importorskip("torchvision.models")
    seen = set()
    for name in models.list_models():
        weights = models.get_model_weights(name).DEFAULT
        transforms = weights.transforms()
        if "Video" in type(transforms).__name__ or name.startswith("raft"):
            continue
        spec = resolved("torchvision", name, nn.Identity())
        if (spec, type(transforms)) in seen:
            continue
        seen.add((spec, type(transforms)))
        if hasattr(transforms, "crop_size"):
            assert [spec.side] == transforms.crop_size
            transforms.resize_size = transforms.crop_size
        image = picture(spec.side)
        torch.testing.assert_close(preprocessed(image, spec), transforms(image))
    assert len(seen) > 8


class Configured(nn.Module):
    """Any module with a pretrained config, as timm's modules have one."""

    def __init__(self, config: object) -> None:
        super().__init__()
        self.pretrained_cfg = config


def test_timm_configs() -> None:
    timm = pytest.importorskip("timm")
    seen = set()
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name).to_dict()
        key = (*config["input_size"], *config["mean"], *config["std"])
        if key in seen or key[0] != 3 or key[1] != key[2] or key[1] > 320:
            continue
        seen.add(key)
        module = Configured(config)
        spec = resolved("timm", name, module)
        data = timm.data.resolve_model_data_config(module)
        transform = timm.data.create_transform(**{**data, "crop_pct": 1.0})
        image = picture(spec.side)
        torch.testing.assert_close(preprocessed(image, spec), transform(image))
        code = find_source("python:m:f")[0].declared_input("m:f", {}, None, module)
        assert (code.side, code.mean, code.std) == (None, spec.mean, spec.std)
    assert len(seen) > 20


def test_timm_arguments_and_odd_configs() -> None:
    pytest.importorskip("timm")
    full = {"input_size": (3, 48, 48), "mean": (0.1,) * 3, "std": (0.2,) * 3}
    declare = find_source("timm:x")[0].declared_input
    usual = declare("x", {"img_size": [64, 64], "in_chans": 1}, None, Configured(full))
    assert (usual.side, usual.mean, usual.side_origin) == (64, (pytest.approx(0.1),), "kwargs")
    assert usual.not_applied == ("crop to about 0.875 of the side", "bicubic")
    tall = declare("x", {"img_size": [32, 48]}, None, Configured(full))
    with pytest.raises(ModelError, match="gives 32x48 px"):
        resolve_input(InputConfig(), tall, 64)
    border = {**full, "crop_mode": "border", "interpolation": "bilinear", "tag": "a1"}
    named = declare("x", {}, None, Configured({**border, "architecture": "x"}))
    assert named.origin == "data config of timm:x.a1"
    assert named.not_applied == ("border instead of a central crop",)
    wide = declare("x", {}, None, Configured({**full, "input_size": (3, 48, 64)}))
    with pytest.raises(ModelError, match=r"its data config gives 48x64 px.*input.side"):
        resolve_input(InputConfig(), wide, 64)
    with pytest.raises(ModelError, match="takes 5 channels"):
        resolve_input(InputConfig(), declare("x", {"in_chans": 5}, None, Configured(full)), 64)
    bare = resolve_input(InputConfig(), declare("x", {}, None, Configured({})), 64)
    assert bare.notes


# --- transformers: folders as people have them

VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 4,
    "num_labels": 2,
}


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    transformers.ViTForImageClassification(transformers.ViTConfig(**VIT)).save_pretrained(tmp_path)
    return tmp_path


def write(folder: Path, name: str, **fields: Any) -> None:
    (folder / name).write_text(json.dumps(fields))


def test_bgr_of_a_mobilevit(model_config: Config, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.MobileViTConfig(
        image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32]
    )
    transformers.MobileViTForImageClassification(config).save_pretrained(tmp_path)
    transformers.MobileViTImageProcessor(
        size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}
    ).save_pretrained(tmp_path)
    model = open_model(model_config(f"hf:{tmp_path}"), canvas_side=99)
    assert model.input == InputSpec(64, (0.0,) * 3, (1.0,) * 3, "bgr")
    assert model.input.channels == "BGR"
    assert "MobileViTImageProcessor; not applied" in model.input_from
    assert not model.notes


def test_a_folder_without_a_processor_is_noted(model_config: Config, vit: Path) -> None:
    model = open_model(model_config(f"hf:{vit}"), canvas_side=99)
    assert model.input == InputSpec(16, IMAGENET_MEAN, IMAGENET_STD)
    assert model.input_from.startswith("side: image_size of ViTConfig; channels, mean, std: assume")
    assert [note.kind for note in model.notes] == ["input"]
    twin = model_config(f"hf:{vit}").model_copy(update={"null_of": "m"})
    assert not open_model(twin, canvas_side=99).notes


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("preprocessor_config.json", {"feature_extractor_type": "ViTFeatureExtractor"}),
        ("preprocessor_config.json", {"image_processor_type": "ViTImageProcessorFast"}),
        ("preprocessor_config.json", {}),
        ("processor_config.json", {"image_processor_type": "ViTImageProcessor", "nested": True}),
    ],
)
def test_files_of_every_age_are_read(
    model_config: Config, vit: Path, name: str, fields: dict[str, Any]
) -> None:
    said = {"size": 16, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5] * 3, **fields}
    write(vit, name, **({"image_processor": said} if said.pop("nested", False) else said))
    model = open_model(model_config(f"hf:{vit}"), canvas_side=99)
    assert model.input == InputSpec(16, (0.1, 0.2, 0.3), (0.5,) * 3)
    assert not model.notes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "its image processor cannot be read: OSError: .*valid JSON"),
        ('{"image_processor_type": "NightImageProcessor"}', "cannot be read"),
        (
            '{"image_processor_type": "X", "auto_map": {"AutoImageProcessor": "x.X"}}',
            "its image processor is code of its repository, which is not run",
        ),
        (
            '{"image_processor_type": "VitMatteImageProcessor"}',
            "its VitMatteImageProcessor cannot be run on a picture",
        ),
    ],
)
def test_a_processor_that_cannot_be_used_is_refused(
    model_config: Config, vit: Path, text: str, problem: str
) -> None:
    (vit / "preprocessor_config.json").write_text(text)
    config = model_config(f"hf:{vit}")
    with pytest.raises(ModelError, match=rf"{problem}.*input\.mean and input\.std"):
        open_model(config, canvas_side=99)
    said = InputConfig(mean=[0.5] * 3, std=[0.5] * 3)
    told = open_model(config.model_copy(update={"input": said}), canvas_side=99)
    assert told.input == InputSpec(16, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("key", ["data_config", "pretrained_cfg"])
def test_a_data_config_in_the_processors_file_is_read(
    model_config: Config, vit: Path, key: str
) -> None:
    data = {"input_size": [3, 16, 16], "mean": [0.1, 0.2, 0.3], "std": [0.5] * 3, "crop_pct": 0.9}
    write(vit, "preprocessor_config.json", **{key: data})
    model = open_model(model_config(f"hf:{vit}"), canvas_side=99)
    assert model.input == InputSpec(16, (0.1, 0.2, 0.3), (0.5,) * 3)
    assert f"{key} of its processor; not applied" in model.input_from


def test_what_a_file_says_and_its_class_does_not_do_is_refused(
    model_config: Config, vit: Path
) -> None:
    fields = {"image_processor_type": "ViTImageProcessor", "do_flip_channel_order": True}
    write(vit, "preprocessor_config.json", **fields)
    with pytest.raises(ModelError, match="says do_flip_channel_order, which ViTImageProcessor"):
        open_model(model_config(f"hf:{vit}"), canvas_side=99)


def test_an_image_size_among_the_arguments_wins(model_config: Config, vit: Path) -> None:
    write(vit, "preprocessor_config.json", image_processor_type="ViTImageProcessor", size=16)
    config = model_config(f"hf:{vit}", weights="random:0", kwargs={"image_size": 24})
    assert open_model(config, canvas_side=99).input.side == 24


def test_channels_that_a_canvas_has_not_are_refused(model_config: Config, vit: Path) -> None:
    config = model_config(f"hf:{vit}", weights="random:0", kwargs={"num_channels": 4})
    with pytest.raises(ModelError, match="takes 4 channels"):
        open_model(config, canvas_side=99)


def test_timm_inside_transformers(model_config: Config, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("timm")
    config = transformers.TimmWrapperConfig(
        architecture="resnet10t",
        num_labels=3,
        pretrained_cfg={
            "input_size": [3, 48, 48],
            "mean": [0.1, 0.2, 0.3],
            "std": [0.5] * 3,
            "crop_pct": 0.9,
            "interpolation": "nearest",
        },
    )
    transformers.TimmWrapperForImageClassification(config).save_pretrained(tmp_path)
    model = open_model(model_config(f"hf:{tmp_path}", weights=None), canvas_side=99)
    assert model.input == InputSpec(48, (0.1, 0.2, 0.3), (0.5,) * 3)
    assert "nearest" in model.input_from
