"""The device benchmark: what is counted, and that its measured part runs where there is no GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks import device
from benchmarks._device_paper import DEVICES, Counts, count, roofline_lines
from depara.attribution import Bus
from depara.models import LoadedModel
from depara.models.preprocessing import Preprocess
from depara.types import IMAGENET_MEAN, IMAGENET_STD, InputSpec, LayerInfo, ModelCard

SIDE, PIXELS = 8, 64
FIRST, SECOND = 2 * 3 * 9 * 4 * PIXELS, 2 * 4 * 2 * PIXELS
LAYERS = (
    LayerInfo("first", 0, 0.5, 4 * PIXELS, (4, SIDE, SIDE)),
    LayerInfo("second", 1, 1.0, 2 * PIXELS, (2, SIDE, SIDE)),
)


class Two(nn.Module):
    """Two convolutions whose operations are easily counted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.second = nn.Conv2d(4, 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@pytest.fixture
def opened() -> tuple[LoadedModel, ModelCard]:
    spec = InputSpec(SIDE, IMAGENET_MEAN, IMAGENET_STD)
    torch.manual_seed(0)
    model = LoadedModel(Two(), Preprocess(spec), spec, "0", "two", 116, "test", "")
    return model, ModelCard("two", "test", "two", "0", 116, spec, LAYERS, "second")


def test_operations_and_bytes_are_counted(opened: tuple[LoadedModel, ModelCard]) -> None:
    found = count(*opened, SIDE)
    assert found.forward_flops == FIRST + SECOND
    assert found.flops == (FIRST + SECOND) + FIRST + (FIRST + SECOND)
    assert found.feature_bytes == 4 * 6 * PIXELS
    assert found.map_bytes == 2 * (2 * PIXELS + 12)
    assert found.weight_bytes == 4 * 116
    inputs_and_outputs = 4 * PIXELS * ((3 + 4) + (4 + 2))  # of the forward convolutions alone
    assert found.moved_bytes > 2 * inputs_and_outputs
    assert found.gram_flops(10) == 2 * 2 * 100 * 6 * PIXELS
    assert found.gram_flops(512) == 2 * 2 * 512**2 * 6 * PIXELS * 3 / 4


def test_the_roofline_takes_the_slower_of_products_and_memory() -> None:
    peaks = DEVICES["T4"]
    base = Counts("m", 1, 1e9, peaks.fp32_flops / 100, 1.0, 4e6, 1e5, 1e8, 1.5e5)
    bound = next(line for line in roofline_lines([base], 200) if line.startswith("| T4"))
    assert "| 100 | float32 | no |" in bound
    slow = replace(base, moved_bytes=peaks.memory_bytes_per_s / 10)
    bound = next(line for line in roofline_lines([slow], 200) if line.startswith("| T4"))
    assert "| 10 | memory |" in bound
    assert bound.endswith("| yes |")
    large = replace(base, feature_bytes=1e9)
    bound = next(line for line in roofline_lines([large], 200) if line.startswith("| T4"))
    assert bound.endswith("| no |")


def test_the_measured_part_runs_on_a_device_that_the_cpu_stands_for(
    opened: tuple[LoadedModel, ModelCard],
) -> None:
    bus = Bus(memory_bytes=2**30)
    found = device.measure(*opened, bus, num_probes=6, sizes=(2,), canvas_side=SIDE)
    assert found.bare_rate > 0
    assert found.product_rate > 0
    assert set(found.from_device) == {"maps", "grams", "checks"}
    assert found.from_device["maps"] == 6 * 2 * (2 * PIXELS + 12)
    assert found.gram_error < 2e-6
    assert 0 < found.grams_share < 1
    assert found.encode_cpu_share > 0
    lines = device.measured_lines([found], "a stand-in")
    assert any("two" in line for line in lines)


def test_what_is_not_as_it_should_be_is_said() -> None:
    good = device.Measured("m", 100, 95, 0.01, 0.02, 0.3, None, 1e-7, {"maps": 1, "grams": 1})
    assert device.failures_of(good) == []
    assert "NOT MEASURED" in device.failures_of(replace(good, copies_share=0.0))[0]
    for field, value, text in (
        ("product_rate", 80, "MISSED: 0.80 of the bare loop"),
        ("copies_share", 0.06, "MISSED: copies take 6.0%"),
        ("gram_error", 1e-4, "WRONG: Grams off"),
        ("from_device", {"features": 1}, "features did not fit the device"),
    ):
        [failure] = device.failures_of(replace(good, **{field: value}))
        assert text in failure
