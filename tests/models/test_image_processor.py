"""What processors give for random square pictures, against what their declared input gives."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from depara.models import Preprocess
from depara.models.image_processor import declared_by_processor
from depara.models.source import DeclaredInput
from depara.types import InputSpec

transformers = pytest.importorskip("transformers")

PICTURE = np.random.default_rng(3).integers(0, 256, (32, 32, 3)).astype(np.uint8)
AS_IT_IS = {"do_resize": False, "do_center_crop": False, "do_pad": False}
NAMES = (
    *("Beit", "Bit", "Blip", "CLIP", "Chameleon", "ChineseCLIP", "ConvNext", "DINOv3ViT", "DPT"),
    *("DeiT", "EfficientNet", "Flava", "GLPN", "Janus", "Levit", "MobileNetV1", "MobileNetV2"),
    *("MobileViT", "OwlViT", "PPLCNet", "PoolFormer", "Pvt", "Segformer", "Siglip", "Swin2SR"),
    *("Swin2SR", "TextNet", "ViT", "Vilt", "Vivit", "Yolos"),
)
"""Of encoders; each in both backends, where it has two."""

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("ViT", {"do_normalize": False}),
    ("ViT", {"do_normalize": False, "do_rescale": False}),
    ("ViT", {"do_normalize": False, "rescale_factor": 1 / 127.5}),
    ("ViT", {"do_rescale": False, "image_mean": [103.9, 116.8, 123.7], "image_std": [1.0] * 3}),
    ("ViT", {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0, 1.1, 1.2]}),
    ("CLIP", {"image_mean": 0.4, "image_std": 0.3}),
    ("EfficientNet", {"rescale_offset": True, "rescale_factor": 1 / 127.5, "do_normalize": False}),
    ("EfficientNet", {"include_top": True, "image_std": [0.47, 0.46, 0.45]}),
    ("EfficientNet", {"include_top": False}),
    ("MobileViT", {"do_flip_channel_order": False}),
    ("PPLCNet", {"image_mean": [0.1, 0.2, 0.3]}),
]


def processors(name: str, settings: dict[str, Any]) -> list[Any]:
    names = (f"{name}ImageProcessor", f"{name}ImageProcessorPil")
    found = [getattr(transformers, each, None) for each in names]
    return [each(**settings) for each in found if each is not None]


def given(processor: Any) -> torch.Tensor:
    """The processor's own values of the picture, neither resized nor cropped."""
    values = processor(images=[PICTURE], return_tensors="pt", **AS_IT_IS)["pixel_values"]
    return values.reshape(-1, *values.shape[-3:])[0].float()


def ours(declared: DeclaredInput) -> torch.Tensor:
    assert declared.mean is not None
    assert declared.std is not None
    spec = InputSpec(32, declared.mean, declared.std, declared.channel_order)
    canvas = torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float() / 255
    return Preprocess(spec)(canvas)[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "settings"), [*((name, {}) for name in NAMES), *SETTINGS], ids=str
)
def test_pixels_are_those_of_the_processor(name: str, settings: dict[str, Any]) -> None:
    found = processors(name, settings)
    if not found:
        pytest.skip(f"this transformers has no {name}ImageProcessor")
    for processor in found:
        declared = declared_by_processor(processor, 3)
        wanted = given(processor)[:, :32, :32]  # Swin2SR pads whatever it is told
        assert not declared.problem
        scale = float(wanted.abs().max())
        torch.testing.assert_close(ours(declared), wanted, atol=1e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "side", "not_applied"),
    [
        ("ViT", {}, 224, ()),
        ("ViT", {"do_resize": False}, None, ()),
        ("CLIP", {"resample": 2}, 224, ()),
        ("CLIP", {"size": {"shortest_edge": 64}, "crop_size": 48}, 48, ("0.75", "bicubic")),
        ("DeiT", {"size": 64, "crop_size": 32, "resample": 1}, 32, ("0.5", "lanczos")),
        ("ConvNext", {"size": {"shortest_edge": 96}, "crop_pct": 0.8}, 96, ("0.8", "bicubic")),
        ("ConvNext", {"size": {"shortest_edge": 384}, "crop_pct": 0.8}, 384, ("bicubic",)),
        ("Yolos", {"size": {"shortest_edge": 80, "longest_edge": 133}}, 80, ()),
        ("Levit", {"size": {"shortest_edge": 56}, "crop_size": 56}, 56, ("0.8", "bicubic")),
        ("MobileViT", {"size": {"shortest_edge": 48}, "crop_size": 64}, 64, ("bicubic", "border")),
    ],
)
def test_side_and_what_the_canvas_stands_for(
    name: str, settings: dict[str, Any], side: int | None, not_applied: tuple[str, ...]
) -> None:
    declared = declared_by_processor(processors(name, settings)[0], 3)
    assert declared.side == side
    assert len(declared.not_applied) == len(not_applied)
    assert all(
        part in text for part, text in zip(not_applied, declared.not_applied, strict=True)
    ), declared.not_applied


def test_the_written_digits_are_kept() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for processor in processors("ViT", {"image_mean": list(mean), "image_std": list(std)}):
        declared = declared_by_processor(processor, 3)
        assert (declared.mean, declared.std, declared.channel_order) == (mean, std, "rgb")


def test_a_grey_model_has_grey_pictures() -> None:
    grey = processors("ViT", {"image_mean": [0.2], "image_std": [0.4], "size": 24})[0]
    declared = declared_by_processor(grey, 1)
    assert (declared.side, declared.mean, declared.std) == (24, (0.2,), (0.4,))
    colours = processors("ViT", {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4] * 3})[0]
    declared = declared_by_processor(colours, 1)
    assert declared.mean == pytest.approx((0.2,))
    assert declared.std == pytest.approx((0.4,))


class Odd:
    """A processor of somebody's own."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __call__(self, images: list[Any], return_tensors: str) -> dict[str, torch.Tensor]:
        values = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images]) / 255
        if self.what == "grey":
            values = values.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        elif self.what == "gamma":
            values = values**2.2
        elif self.what == "inverted":
            values = 1 - values
        elif self.what == "turned":
            values = values[:, [1, 2, 0]]
        elif self.what == "wide":
            values = values[:, :, :40, :60]
        elif self.what == "patches":
            return {"pixel_values": values.flatten(2)}
        elif self.what == "raises":
            raise TypeError("boxes, please")
        return {"pixel_values": values}


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("grey", "turns pictures grey"),
        ("gamma", "not affine"),
        ("inverted", "gives no channel of the picture by itself"),
        ("turned", "gives no channel of the picture by itself"),
        ("patches", r"no picture but pixel_values of shape \(1, 3, 9216\)"),
        ("raises", "cannot be run on a picture: TypeError: boxes, please"),
    ],
)
def test_what_no_mean_and_std_describe_is_a_problem(what: str, problem: str) -> None:
    declared = declared_by_processor(Odd(what), 3)
    assert (declared.mean, declared.side) == (None, None)
    assert re.search(f"its Odd .*{problem}", declared.problem)


def test_what_is_no_square_is_a_problem_of_the_side_alone() -> None:
    declared = declared_by_processor(Odd("wide"), 3)
    assert (declared.mean, declared.std) == ((0.0,) * 3, (1.0,) * 3)
    assert declared.side_problem == "its Odd gives 40x60 px"
