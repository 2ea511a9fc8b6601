"""What the printed plan says of each model's input."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from cluster.extract.plan import ModelPlan
from cluster.record.summary import print_inputs
from depara.config.schema import ModelConfig
from depara.types import InputSpec
from tests.cluster.extract.test_plan import card


def model(name: str, spec: InputSpec, origins: str) -> ModelPlan:
    found = replace(card(name, "0"), input=spec, input_from=origins)
    return ModelPlan(ModelConfig(id=name, source="timm:x"), found, ())


def test_the_plan_shows_every_input_and_where_it_comes_from() -> None:
    usual = InputSpec(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    bgr = InputSpec(64, (0.0,) * 3, (1 / 255,) * 3, "bgr")
    plans = [
        model("a", usual, "side, channels, mean, std: data config of timm:x"),
        model("b", bgr, "side, channels, mean, std: scan file"),
        model("c", usual, "side, channels, mean, std: data config of timm:x"),
        model("d", InputSpec(28, (0.5,), (0.5,)), "side: canvas side; mean: X"),
    ]
    console = Console(file=io.StringIO(), width=40)
    print_inputs(console, plans)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "inputs:",
        "  224 px RGB, mean 0.485 0.456 0.406, std 0.229 0.224 0.225 "
        "(side, channels, mean, std: data config of timm:x): a, c",
        "  64 px BGR, mean 0 0 0, std 0.003922 0.003922 0.003922 "
        "(side, channels, mean, std: scan file): b",
        "  28 px luminance, mean 0.5, std 0.5 (side: canvas side; mean: X): d",
    ]
