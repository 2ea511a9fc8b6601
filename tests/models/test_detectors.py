"""Detectors: cut at backbone and neck by default, their maps and features those of autograd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depara.attribution import Extractor
from depara.config import AttributionConfig
from depara.config.schema import ModelConfig
from depara.errors import LayerError
from depara.models import describe_model
from depara.models.detectors import body_parts, in_body, num_detection_tokens
from depara.types import ModelCard
from tests.attribution.networks import canvases
from tests.oracle import attribution as oracle

SIDE = 64
SMALL = {"min_size": SIDE, "max_size": SIDE}

TORCHVISION = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (
        SMALL,
        ["backbone.body.4", "backbone.fpn.layer_blocks.0"],
    ),
    "retinanet_resnet50_fpn": (SMALL, ["backbone.body.layer4.2", "backbone.fpn.layer_blocks.1"]),
    "fcos_resnet50_fpn": (SMALL, ["backbone.body.layer4.2", "backbone.fpn.layer_blocks.2"]),
    "ssdlite320_mobilenet_v3_large": ({}, ["backbone.features.0.6", "backbone.extra.1"]),
}
"""Arguments of each builder, and layers of backbone and neck to compare."""


def detr(folder: Path) -> str:
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ResNetConfig(
        hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 1, 1], embedding_size=8,
        layer_type="basic", out_features=["stage4"],
    )  # fmt: skip
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=backbone, d_model=16, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, num_queries=9, architectures=["DetrForObjectDetection"],
    )  # fmt: skip
    config.save_pretrained(folder)
    return f"hf:{folder}"


def yolos(folder: Path) -> str:
    transformers = pytest.importorskip("transformers")
    transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        image_size=[SIDE, SIDE], patch_size=16, num_detection_tokens=7,
        architectures=["YolosForObjectDetection"],
    ).save_pretrained(folder)  # fmt: skip
    return f"hf:{folder}"


def config_of(source: str, **fields: Any) -> ModelConfig:
    return ModelConfig(id="m", source=source, weights="random:0", **fields)


def opened(config: ModelConfig) -> tuple[Any, ModelCard]:
    return describe_model(config, canvas_side=SIDE, features="flatten")


def agrees(config: ModelConfig) -> None:
    """Maps and features of two probes against float64 autograd through the whole detector."""
    model, card = opened(config)
    canvas_NSS3 = canvases(2, SIDE)
    ids = [f"{index:064x}" for index in range(2)]
    features: dict[str, np.ndarray] = {}

    def sink(layer: str, row0: int, values: torch.Tensor) -> None:
        rows = features.setdefault(layer, np.zeros((2, values.shape[1])))
        rows[row0 : row0 + len(values)] = values.numpy()

    with Extractor(
        model.module, model.preprocess, card.layers, AttributionConfig(), map_side=SIDE
    ) as extractor:
        nodes = extractor.extract(canvas_NSS3, ids, sink)
    wide, preprocess = oracle.float64_copy(model.module), oracle.float64_copy(model.preprocess)
    for layer in card.layers:
        for row, canvas_SS3 in enumerate(canvas_NSS3):
            canvas = oracle.canvas_tensor(canvas_SS3)
            output, slope = oracle.output_and_gradient(
                wide, preprocess, layer.name, canvas, "l2norm"
            )
            expected = output.flatten().numpy()
            scale = np.abs(expected).max()
            np.testing.assert_allclose(features[layer.name][row], expected, atol=2e-4 * scale)
            node = oracle.node_map((canvas - oracle.MU) * slope, "mean", SIDE)
            cosine = float(nodes[layer.name].maps_NP[row].astype(float) @ node)
            assert cosine > 0.9995, (layer.name, row, cosine)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_detectors_are_cut_in_their_body_and_agree_with_autograd(name: str) -> None:
    kwargs, layers = TORCHVISION[name]
    _, card = opened(config_of(f"torchvision:{name}", kwargs=kwargs))
    assert len(card.layers) > 3
    assert all(layer.name.startswith("backbone.") for layer in card.layers)
    assert len(card.layers[-1].shape) == 3  # a feature map
    agrees(config_of(f"torchvision:{name}", kwargs=kwargs, layers=layers))


@pytest.mark.parametrize("layers", ["output", ["roi_heads.box_predictor"], ["rpn.head.conv"]])
def test_a_head_is_refused_with_layers_of_the_body(layers: Any) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    config = config_of(f"torchvision:{name}", kwargs=SMALL, layers=layers)
    match = "a detector is cut at its backbone or neck, by layers: blocks or stages, or by names"
    with pytest.raises(LayerError, match=match) as caught:
        opened(config)
    assert "backbone.fpn" in str(caught.value)


@pytest.mark.parametrize("build", [detr, yolos])
def test_transformers_detectors_are_cut_before_the_queries_and_agree_with_autograd(
    build: Callable[[Path], str], tmp_path: Path
) -> None:
    source = build(tmp_path)
    _, card = opened(config_of(source))
    names = [layer.name for layer in card.layers]
    assert not any("decoder" in name for name in names)
    assert names[-1].startswith("encoder.")
    agrees(config_of(source, layers=[names[0], names[-1]]))


def test_the_detection_tokens_of_yolos_are_counted(tmp_path: Path) -> None:
    model, _ = opened(config_of(yolos(tmp_path)))
    assert num_detection_tokens(model.module) == 7
    assert num_detection_tokens(nn.Linear(1, 1)) == 0


def test_what_is_no_detector_has_no_body() -> None:
    from torchvision.models import resnet18
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    segmenter = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    assert body_parts(resnet18()) == body_parts(segmenter) == ()
    wrapped = nn.Module()
    wrapped.model = nn.Module()
    for name in ("backbone", "input_projection", "encoder", "decoder", "head"):
        wrapped.model.add_module(name, nn.Linear(1, 1))
    parts = body_parts(wrapped)
    assert parts == ("model.backbone", "model.input_projection", "model.encoder")
    assert in_body("model.encoder.layers.0", parts)
    assert not in_body("model.encoder_norm", parts)
