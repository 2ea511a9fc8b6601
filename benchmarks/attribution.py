"""Extraction of one encoder's nodes and features against the best bare torch loop, one thread.

    python -m benchmarks.attribution [--quick]

ResNet-50 without its classifier, random weights, canvases of 256 px, one layer: its pooled output.
The bare loop is a forward pass and a backward to the input alone, in eval mode with frozen
parameters, and nothing else; its rate is the best over batch sizes and memory formats. The product
decides both by itself, and also reads canvases, makes maps, and stores the features. All are timed
in turns, so that a machine that gets slower or faster meanwhile favours none. The target is 0.9.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from benchmarks._report import machine_line, write_report
from depara.attribution import Extractor, FeatureBank
from depara.config import AttributionConfig
from depara.models.preprocessing import Preprocess
from depara.types import IMAGENET_MEAN, IMAGENET_STD, InputSpec, LayerInfo

TARGET = 0.9
SIDE = 256
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
LAYER = LayerInfo("output", 0, 1.0, 2048, (2048,))


@dataclass(frozen=True)
class Case:
    """How much is measured."""

    sizes: tuple[int, ...]
    num_probes: int
    rounds: int


def encoder() -> nn.Module:
    """Returns ResNet-50 up to its pooled output, frozen, in eval mode."""
    torch.manual_seed(0)
    network = resnet50(weights=None)
    network.fc = nn.Identity()
    return network.eval().requires_grad_(False)


def bare_step(network: nn.Module, images: Tensor) -> Tensor:
    """Returns the gradient of the output's norm, per image, with respect to the images."""
    leaf = images.detach().requires_grad_()
    norms = network(leaf).norm(dim=1)
    return torch.autograd.grad(norms.sum(), leaf)[0]


def bare_rate(network: nn.Module, images: Tensor) -> float:
    """Returns images/s of one bare step, after one that is not counted."""
    bare_step(network, images)
    started_s = time.perf_counter()
    bare_step(network, images)
    return len(images) / (time.perf_counter() - started_s)


def sgemm_rate(size: int = 2048) -> float:
    """Returns the better of torch's and numpy's GFLOP/s for a square float32 product."""
    one = torch.rand(size, size)
    array = one.numpy()
    best = 0.0
    product: Callable[[], object]
    for product in (lambda: one @ one, lambda: array @ array):
        product()
        started_s = time.perf_counter()
        product()
        best = max(best, 2 * size**3 / (time.perf_counter() - started_s) / 1e9)
    return best


def gflop_per_image(network: nn.Module) -> float:
    """Returns 1e9 floating-point operations of one image's forward pass and backward."""
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, SIDE, SIDE, requires_grad=True)).norm().backward()
    return counter.get_total_flops() / 1e9


class Product:
    """The product's extraction, settled on its batch size before anything is timed."""

    def __init__(self, num_probes: int) -> None:
        self.canvas = np.random.default_rng(0).integers(
            0, 256, (num_probes, SIDE, SIDE, 3), dtype=np.uint8
        )
        self.probe_ids = [f"{index:064x}" for index in range(num_probes)]
        self.bank = FeatureBank(num_probes, [LAYER], memory_bytes=2**30)
        self.extractor = Extractor(
            encoder(),
            Preprocess(InputSpec(SIDE, IMAGENET_MEAN, IMAGENET_STD)),
            [LAYER],
            AttributionConfig(),
            map_side=SIDE,
            model_id="resnet50",
        )

    def rate(self) -> float:
        """Returns images/s of one call."""
        started_s = time.perf_counter()
        self.extractor.extract(self.canvas, self.probe_ids, self.bank.write)
        return len(self.probe_ids) / (time.perf_counter() - started_s)


def measure(case: Case) -> tuple[dict[str, list[float]], list[float], list[float], float]:
    """Returns rates of the bare loops by name, of the product, of sgemm, and GFLOP per image."""
    product = Product(case.num_probes)
    first_call = product.rate()
    networks = {name: encoder().to(memory_format=one) for name, one in FORMATS.items()}
    bare: dict[str, list[float]] = {}
    rates: list[float] = []
    sgemm: list[float] = []
    for _ in range(case.rounds):
        for size in case.sizes:
            for name, memory_format in FORMATS.items():
                images = torch.rand(size, 3, SIDE, SIDE).to(memory_format=memory_format)
                rate = bare_rate(networks[name], images)
                bare.setdefault(f"bare loop, {name}, batch {size}", []).append(rate)
        rates.append(product.rate())
        sgemm.append(sgemm_rate())
    print(f"first call, search included: {first_call:.2f} images/s")
    return bare, rates, sgemm, gflop_per_image(networks["contiguous"])


def main() -> None:
    """Runs the benchmark and writes its report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, no report kept")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    threadpool_limits(1)
    case = Case((4, 16), 48, 1) if quick else Case((2, 4, 8, 16, 32), 192, 3)
    bare, rates, sgemm, gflop = measure(case)
    medians = {name: statistics.median(found) for name, found in bare.items()}
    best = max(medians, key=lambda name: medians[name])
    product, gemm = statistics.median(rates), statistics.median(sgemm)
    ratios = sorted(mine / theirs for mine, theirs in zip(rates, bare[best], strict=True))
    ratio = statistics.median(ratios)
    lines = [
        "| | images/s | GFLOP/s | of sgemm |",
        "|---|---|---|---|",
        *(
            f"| {name} | {rate:.2f} | {rate * gflop:.0f} | {rate * gflop / gemm:.2f} |"
            for name, rate in {**medians, "product": product}.items()
        ),
        "",
        f"Product over the best bare loop ({best.removeprefix('bare loop, ')}): **{ratio:.2f}** "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f} over {case.rounds} rounds), target {TARGET}: "
        f"{'met' if ratio >= TARGET else 'MISSED'}.",
        "",
        f"ResNet-50 without classifier, {SIDE} px, {gflop:.1f} GFLOP per image (forward pass and "
        f"input-only backward), one thread, medians of {case.rounds} rounds in turns; sgemm "
        f"{gemm:.0f} GFLOP/s. {machine_line('torchvision')}",
    ]
    write_report("attribution", "python -m benchmarks.attribution", lines, quick=quick)


if __name__ == "__main__":
    main()
