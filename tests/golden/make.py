"""The golden scan: a small zoo on drawn pictures, its keys and tables as plain values.

`python -m tests.golden.make` writes `golden.json` anew: only when numbers are meant to move.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from depara.config import parse_scan
from depara.results import open_scan
from depara.store.keys import comparison_settings, graph_key, method_settings
from depara.store.schemas import TABLES
from depara.types import InputSpec, LayerInfo, ModelCard
from tests.jobs.inline import scan_inline, tiny

GOLDEN = Path(__file__).with_name("golden.json")
SIDE = 32
MEASURED = {"seconds", "seconds_per_probe", "peak_memory_bytes", "uri"}
"""Columns that differ from run to run."""

METHODS: list[dict[str, Any]] = [
    {},
    {"attribution": {"method": "saliency"}},
    {"attribution": {"method": "integrated_gradients", "steps": 8}},
    {"attribution": {"method": "smoothgrad", "steps": 4, "noise": 0.1}},
    {"attribution": {"method": "eps_lrp"}},
    {"attribution": {"scalar": "mean", "channels": "abs", "map_side": 56}},
    {"edges": {"normalize": "center", "features": "gap"}},
    {"preset": "paper"},
]
LAYER = LayerInfo("layer1", 0, 1.0, 10, (10,))
CARD = ModelCard(
    "a", "torchvision:resnet18", "resnet18", "0" * 64, 1,
    InputSpec(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), (LAYER,), "layer1",
)  # fmt: skip


def keys() -> list[dict[str, Any]]:
    """Returns the key of one graph, and what its pairs depend on, under each of `METHODS`."""
    found = []
    for method in METHODS:
        tree = {"probes": {"source": "x"}, "models": [{"id": "a", "source": CARD.source}], **method}
        config = parse_scan(json.dumps(tree)).config
        key = graph_key(CARD, LAYER, "f" * 32, method_settings(config))
        found.append({"key": key, "comparison": comparison_settings(config, "f" * 32, 200)})
    return found


def draw(folder: Path, count: int = 12) -> Path:
    """Draws pictures of the canvas' size, so that no library's resizing has a part in them."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    for number in range(count):
        label = folder / ("waves", "spots")[number % 2]
        label.mkdir(parents=True, exist_ok=True)
        colour = rng.uniform(40, 215, 3)
        angle, speed = rng.uniform(0, math.pi), rng.uniform(4, 20)
        along = x * math.cos(angle) + y * math.sin(angle)
        wave = np.sin(along * speed) if number % 2 else np.sin(x * speed) * np.sin(y * speed)
        pixels = colour + 40 * wave[:, :, None] + rng.uniform(-12, 12, (SIDE, SIDE, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(label / f"{number:02d}.png")
    return folder


def tables(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Returns all rows of all tables of the golden scan but what is measured."""
    models = [
        tiny("a", 0),
        tiny("b", 1),
        tiny("c", 2),
        {"id": "gone", "source": "python:tests.jobs.zoo:Absent"},
    ]
    output = str(folder / "out")
    papers = {"lambda": 2.0}
    scan_inline(
        output,
        draw(folder / "probes"),
        models,
        nulls=1,
        uncertainty={"resamples": 100},
        similarity=papers,
        labels=True,
    )
    scan = open_scan(output)
    found = {}
    for name in TABLES:
        frame = scan.table(name)
        kept = frame[[column for column in frame if column not in MEASURED]]
        found[name] = json.loads(kept.to_json(orient="records", double_precision=12))
    return found


def main() -> None:
    """Writes the golden file."""
    with tempfile.TemporaryDirectory() as folder:
        golden = {"keys": keys(), "tables": tables(Path(folder))}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
