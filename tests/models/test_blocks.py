"""Blocks and stages of real architectures with random weights, at small input sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from depara.config.schema import ModelConfig
from depara.errors import LayerError
from depara.models import choose_layers, open_model

Config = Callable[..., ModelConfig]


def _names(config: ModelConfig, side: int) -> tuple[list[str], list[str]]:
    model = open_model(config, canvas_side=side)
    found = []
    for layers in ("blocks", "stages"):
        asked = config.model_copy(update={"layers": layers})
        chosen = choose_layers(model, asked, canvas_side=side, features="flatten")
        found.append([layer.name for layer in chosen])
    return found[0], found[1]


@pytest.mark.parametrize(
    ("name", "side", "num_blocks", "ends", "stages"),
    [
        (
            "resnet18",
            32,
            8,
            ("layer1.0", "layer4.1"),
            ["layer1.1", "layer2.1", "layer3.1", "layer4.1"],
        ),
        (
            "mobilenet_v2",
            64,
            17,
            ("features.1", "features.17"),
            ["features.1", "features.3", "features.6", "features.13", "features.17"],
        ),
        (
            "efficientnet_b0",
            64,
            16,
            ("features.1.0", "features.7.0"),
            ["features.1.0", "features.2.1", "features.3.1", "features.5.2", "features.7.0"],
        ),
        (
            "densenet121",
            64,
            58,
            ("features.denseblock1.denselayer1", "features.denseblock4.denselayer16"),
            [f"features.denseblock{number}" for number in range(1, 5)],
        ),
        (
            "googlenet",
            64,
            9,
            ("inception3a", "inception5b"),
            ["inception3b", "inception4e", "inception5b"],
        ),
        (
            "swin_t",
            32,
            12,
            ("features.1.0", "features.7.1"),
            ["features.1.1", "features.3.1", "features.5.5", "features.7.1"],
        ),
        (
            "regnet_y_400mf",
            64,
            16,
            ("trunk_output.block1.block1-0", "trunk_output.block4.block4-5"),
            [
                f"trunk_output.block{stage}.block{stage}-{last}"
                for stage, last in ((1, 0), (2, 2), (3, 5), (4, 5))
            ],
        ),
        (
            "squeezenet1_1",
            64,
            8,
            ("features.3", "features.12"),
            ["features.4", "features.7", "features.12"],
        ),
        (
            "mnasnet0_5",
            64,
            16,
            ("layers.8.0", "layers.13.0"),
            ["layers.8.2", "layers.9.2", "layers.11.1", "layers.13.0"],
        ),
        (
            "shufflenet_v2_x0_5",
            64,
            16,
            ("stage2.0", "stage4.3"),
            ["stage2.3", "stage3.7", "stage4.3"],
        ),
        (
            "inception_v3",
            96,
            11,
            ("Mixed_5b", "Mixed_7c"),
            ["Mixed_5d", "Mixed_6e", "Mixed_7c"],
        ),
    ],
)
def test_blocks_and_stages_of_torchvision(
    model_config: Config,
    name: str,
    side: int,
    num_blocks: int,
    ends: tuple[str, str],
    stages: list[str],
) -> None:
    config = model_config(f"torchvision:{name}", input={"side": side})
    blocks, found_stages = _names(config, side)
    assert len(blocks) == num_blocks
    assert (blocks[0], blocks[-1]) == ends
    assert found_stages == stages


def test_single_convolution_blocks_of_a_repeated_class_are_blocks(model_config: Config) -> None:
    config = model_config("torchvision:efficientnet_v2_s", input={"side": 32})
    blocks, _ = _names(config, 32)
    assert len(blocks) == 2 + 4 + 4 + 6 + 9 + 15
    assert blocks[:2] == ["features.1.0", "features.1.1"]


def test_vision_transformer_stages_are_quarters_of_its_depth(model_config: Config) -> None:
    config = model_config("torchvision:vit_b_16", kwargs={"image_size": 32}, input={"side": 32})
    blocks, stages = _names(config, 32)
    assert blocks == [f"encoder.layers.encoder_layer_{depth}" for depth in range(12)]
    assert stages == [blocks[2], blocks[5], blocks[8], blocks[11]]


@pytest.mark.parametrize(
    ("name", "kwargs", "side", "num_blocks", "first", "stages"),
    [
        ("resnet10t", {}, 64, 4, "layer1.0", [f"layer{stage}.0" for stage in range(1, 5)]),
        (
            "mobilenetv3_small_050",
            {},
            64,
            11,
            "blocks.0.0",
            ["blocks.0.0", "blocks.1.1", "blocks.3.1", "blocks.4.2"],
        ),
        (
            "vit_tiny_patch16_224",
            {"img_size": 64, "depth": 5, "global_pool": "map", "class_token": False},
            64,
            5,
            "blocks.0",
            ["blocks.1", "blocks.2", "blocks.3", "blocks.4"],
        ),
        (
            "convnext_atto",
            {"depths": [1, 2, 1, 1]},
            64,
            5,
            "stages.0.blocks.0",
            ["stages.0.blocks.0", "stages.1.blocks.1", "stages.2.blocks.0", "stages.3.blocks.0"],
        ),
        (
            "cait_xxs24_224",
            {"img_size": 64, "depth": 6},
            64,
            8,
            "blocks.0",
            ["blocks.1", "blocks.3", "blocks.5", "blocks_token_only.1"],
        ),
        (
            "xcit_nano_12_p16_224",
            {"img_size": 64, "depth": 4},
            64,
            6,
            "blocks.0",
            ["blocks.1", "blocks.2", "cls_attn_blocks.0", "cls_attn_blocks.1"],
        ),
        (
            "convit_tiny",
            {"img_size": 64, "depth": 6, "local_up_to_layer": 4},
            64,
            6,
            "blocks.0",
            ["blocks.1", "blocks.2", "blocks.4", "blocks.5"],
        ),
        ("regnety_002", {}, 64, 13, "s1", ["s1", "s2", "s3.b4", "s4.b7"]),
        (
            "mobilevit_xxs",
            {},
            64,
            10,
            "stages.0.0",
            ["stages.0.0", "stages.1.2", "stages.2.1", "stages.3.1", "stages.4.1"],
        ),
    ],
)
def test_blocks_and_stages_of_timm(
    model_config: Config,
    name: str,
    kwargs: dict[str, object],
    side: int,
    num_blocks: int,
    first: str,
    stages: list[str],
) -> None:
    pytest.importorskip("timm")
    config = model_config(f"timm:{name}", kwargs=kwargs, input={"side": side})
    blocks, found_stages = _names(config, side)
    assert len(blocks) == num_blocks
    assert blocks[0] == first
    assert found_stages == stages


@pytest.mark.parametrize(
    ("network", "blocks", "stages"),
    [
        (
            "Wrapped",
            [f"body.encoder.layers.{depth}" for depth in range(5)],
            [f"body.encoder.layers.{depth}" for depth in (1, 2, 3, 4)],
        ),
        (
            "TokenPyramid",
            [f"blocks.{depth}" for depth in range(6)],
            ["blocks.1", "blocks.3", "blocks.5"],
        ),
        ("folding", ["1", "2"], ["1", "2"]),
        ("separable", ["1", "2", "3"], ["1", "3"]),
        ("Plain", ["act1", "act2"], ["act1", "act2"]),
        ("mlp", ["2", "4"], ["2", "4"]),
        ("linear", ["1"], ["1"]),
        (
            "backbone_and_head",
            [f"1.body.encoder.layers.{depth}" for depth in range(3)],
            [f"1.body.encoder.layers.{depth}" for depth in range(3)],
        ),
    ],
)
def test_blocks_of_own_networks(
    model_config: Config, network: str, blocks: list[str], stages: list[str]
) -> None:
    config = model_config(f"python:tests.models.networks:{network}")
    assert _names(config, 16) == (blocks, stages)


def test_plain_chains_give_one_unit_per_convolution(model_config: Config) -> None:
    config = model_config("torchvision:vgg11_bn", input={"side": 32})
    blocks, stages = _names(config, 32)
    relus = [2, 6, 10, 13, 17, 20, 24, 27]
    assert blocks == [f"features.{index}" for index in relus]
    assert stages == [f"features.{index}" for index in (2, 6, 13, 20, 27)]


def test_a_model_without_weight_layers_has_no_blocks(model_config: Config) -> None:
    config = model_config("python:tests.models.networks:without_weights")
    with pytest.raises(LayerError, match=r"finds no weight layer.*'output'"):
        _names(config, 16)
