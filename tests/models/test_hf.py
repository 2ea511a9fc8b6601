"""Models of transformers from folders that the tests write: tiny, random, real in form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from depara.config.schema import ModelConfig
from depara.errors import ModelError, WeightsError
from depara.models import choose_layers, open_model
from depara.types import InputSpec

transformers = pytest.importorskip("transformers")

Config = Callable[..., ModelConfig]
TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 4,
}
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 2, 1, 1]}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2]}


def _save(folder: Path, config: Any, auto: str = "AutoModel") -> str:
    torch.manual_seed(0)
    getattr(transformers, auto).from_config(config).save_pretrained(folder)
    return f"hf:{folder}"


def _names(config: ModelConfig, layers: str) -> list[str]:
    asked = config.model_copy(update={"layers": layers})
    model = open_model(asked, canvas_side=32)
    chosen = choose_layers(model, asked, canvas_side=32, features="gap")
    return [layer.name for layer in chosen]


@pytest.mark.parametrize(
    ("config_class", "settings", "auto", "num_blocks", "stages"),
    [
        (
            "ViTConfig",
            TRANSFORMER,
            "AutoModelForImageClassification",
            4,
            [f"vit.layers.{depth}" for depth in range(4)],
        ),
        (
            "Dinov2Config",
            {**TRANSFORMER, "num_hidden_layers": 8},
            "AutoModel",
            8,
            [f"encoder.layer.{depth}" for depth in (1, 3, 5, 7)],
        ),
        (
            "ResNetConfig",
            {**STAGES, "embedding_size": 8, "layer_type": "basic"},
            "AutoModelForImageClassification",
            5,
            [
                f"resnet.encoder.stages.{stage}.layers.{last}"
                for stage, last in ((0, 0), (1, 1), (2, 0), (3, 0))
            ],
        ),
        (
            "ConvNextConfig",
            {**STAGES, "image_size": 32},
            "AutoModel",
            5,
            [
                f"encoder.stages.{stage}.layers.{last}"
                for stage, last in ((0, 0), (1, 1), (2, 0), (3, 0))
            ],
        ),
        (
            "SwinConfig",
            {**SWIN, "window_size": 4},
            "AutoModelForImageClassification",
            3,
            ["swin.encoder.layers.0.blocks.0", "swin.encoder.layers.1.blocks.1"],
        ),
    ],
)
def test_blocks_and_stages(
    model_config: Config,
    tmp_path: Path,
    config_class: str,
    settings: dict[str, Any],
    auto: str,
    num_blocks: int,
    stages: list[str],
) -> None:
    source = _save(tmp_path, getattr(transformers, config_class)(**settings), auto)
    config = model_config(source, weights=None)
    assert len(_names(config, "blocks")) == num_blocks
    assert _names(config, "stages") == stages
    output = config.model_copy(update={"layers": "output"})
    model = open_model(output, canvas_side=32)
    assert choose_layers(model, output, canvas_side=32, features="gap")[0].name == "output"


@pytest.fixture
def vit_folder(tmp_path: Path) -> Path:
    _save(tmp_path, transformers.ViTConfig(**TRANSFORMER), "AutoModelForImageClassification")
    return tmp_path


def test_pretrained_weights_are_those_of_the_folder(model_config: Config, vit_folder: Path) -> None:
    stored = load_file(vit_folder / "model.safetensors")
    default = open_model(model_config(f"hf:{vit_folder}", weights=None), canvas_side=16)
    by_path = open_model(
        model_config(f"hf:{vit_folder}", weights=str(vit_folder / "model.safetensors")),
        canvas_side=16,
    )
    ours, theirs = by_path.module.state_dict(), default.module.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for name in ("classifier.weight", "vit.embeddings.cls_token"):
        assert torch.equal(ours[name], stored[name])
    random = open_model(model_config(f"hf:{vit_folder}", weights="random:1"), canvas_side=16)
    assert random.weights_sha256 != default.weights_sha256


def test_files_with_tensors_that_do_not_belong_are_refused(
    model_config: Config, vit_folder: Path
) -> None:
    path = vit_folder / "other.safetensors"
    stored = load_file(vit_folder / "model.safetensors")
    save_file({**stored, "stranger": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="1 unexpected: stranger"):
        open_model(model_config(f"hf:{vit_folder}", weights=str(path)), canvas_side=16)
    del stored["classifier.bias"]
    save_file(stored, path)
    with pytest.raises(WeightsError, match=r"1 missing, .*: classifier\.bias"):
        open_model(model_config(f"hf:{vit_folder}", weights=str(path)), canvas_side=16)


def test_the_input_is_that_of_the_image_processor(model_config: Config, vit_folder: Path) -> None:
    config = model_config(f"hf:{vit_folder}")
    assert open_model(config, canvas_side=99).input.side == 16
    processor = transformers.ViTImageProcessor(
        size={"height": 24, "width": 24}, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6]
    )
    processor.save_pretrained(vit_folder)
    expected = InputSpec(24, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert open_model(config, canvas_side=99).input == expected
    plain = transformers.ViTImageProcessor(size={"shortest_edge": 20}, do_normalize=False)
    plain.save_pretrained(vit_folder)
    assert open_model(config, canvas_side=99).input == InputSpec(20, (0.0,) * 3, (1.0,) * 3)


def test_weights_that_leave_tensors_at_random_are_refused(
    model_config: Config, vit_folder: Path
) -> None:
    path = vit_folder / "model.safetensors"
    stored = load_file(path)
    del stored["classifier.weight"]
    save_file(stored, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 missing, 0 of another shape: classifier.weight"):
        open_model(model_config(f"hf:{vit_folder}", weights=None), canvas_side=16)


def test_a_pooler_without_weights_is_taken_off(model_config: Config, tmp_path: Path) -> None:
    source = _save(tmp_path, transformers.ViTConfig(**TRANSFORMER))
    path = tmp_path / "model.safetensors"
    stored = {name: value for name, value in load_file(path).items() if "pooler" not in name}
    save_file(stored, path, metadata={"format": "pt"})
    model = open_model(model_config(source, weights=None), canvas_side=16)
    assert model.module.pooler is None
    with torch.no_grad():
        assert model.module(torch.rand(1, 3, 16, 16)).last_hidden_state.shape == (1, 17, 16)


def test_of_images_and_text_the_vision_tower_is_taken(model_config: Config, tmp_path: Path) -> None:
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        vision_config=TRANSFORMER,
        text_config={**text, "intermediate_size": 32, "vocab_size": 50_000},
    )
    config.architectures = ["CLIPModel"]
    config.save_pretrained(tmp_path)
    assert len(_names(model_config(f"hf:{tmp_path}"), "blocks")) == 4


def test_code_and_unknown_fields_are_refused(model_config: Config, vit_folder: Path) -> None:
    source = f"hf:{vit_folder}"
    with pytest.raises(ModelError, match="trust_remote_code runs code from the hub"):
        open_model(model_config(source, kwargs={"trust_remote_code": True}), canvas_side=16)
    with pytest.raises(ModelError, match="ViTConfig has no field 'hiden_size'"):
        open_model(model_config(source, kwargs={"hiden_size": 8}), canvas_side=16)
    deeper = open_model(model_config(source, kwargs={"num_hidden_layers": 2}), canvas_side=16)
    assert len(deeper.module.vit.layers) == 2
