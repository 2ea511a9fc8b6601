"""All blocks of three networks on a device: the product against a bare loop; else on paper.

    python -m benchmarks.device [--quick]

ResNet-50, ViT-B/16 and ConvNeXt-B at 224 px with random weights. With a CUDA device it measures:
the bare loop is a forward pass and, per block, a backward to the input alone, at its best batch
size, and nothing else. The product also keeps features, makes and fetches maps, computes Grams and
encodes node files. It checks that the device's Grams are those of float64, and that maps and Grams
alone come back. Targets: 0.9 of the bare loop, copies under 5 % of the time.

Without a CUDA device it prints the roofline on paper, from counted operations and bytes. Its
figures are derived, not measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks._device_paper import Counts, count, counted_lines, roofline_lines
from benchmarks._report import machine_line, write_report
from depara.attribution import Bus, Extractor, FeatureBank
from depara.attribution.layer_pass import LayerPass
from depara.attribution.torch_state import arithmetic
from depara.config import AttributionConfig, ModelConfig
from depara.extraction.probe_canvases import ProbeCanvases
from depara.models import LoadedModel, describe_model
from depara.models.dry_pass import layer_module
from depara.store.artifacts import encode_nodes
from depara.types import ModelCard, NodeMaps, ProbeRange, UInt8

SIDE = 224
MODELS = ("resnet50", "vit_b_16", "convnext_base")
TARGET, MOST_COPIES = 0.9, 0.05
SIZES = (16, 32, 64, 128)
PROBES = 1000
_GRAM_ERROR = 2e-6
_ENCODED = 32


@dataclass(frozen=True)
class Measured:
    """Seconds and rates of one model on one device."""

    model_id: str
    bare_rate: float
    product_rate: float
    copies_share: float
    grams_share: float
    encode_cpu_share: float
    flops_share: float | None
    gram_error: float
    from_device: dict[str, int]

    @property
    def ratio(self) -> float:
        """Of the bare loop's rate."""
        return self.product_rate / self.bare_rate


def opened(name: str, canvas_side: int = SIDE) -> tuple[LoadedModel, ModelCard]:
    """Returns a model of torchvision with random weights, cut at all of its blocks."""
    config = ModelConfig.model_validate(
        {"id": name, "source": f"torchvision:{name}", "weights": "random:0", "layers": "blocks"}
    )
    return describe_model(config, canvas_side=canvas_side, features="flatten")


def canvases(num_probes: int, canvas_side: int) -> UInt8:
    """Returns random canvases ``N S S 3``."""
    shape = (num_probes, canvas_side, canvas_side, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def bare_rate(
    model: LoadedModel, card: ModelCard, bus: Bus, sizes: Sequence[int], canvas_side: int
) -> float:
    """Returns the most images/s of the bare loop over batch sizes that fit and memory formats."""
    module = model.module.to(bus.device)
    preprocess = model.preprocess.to(bus.device)
    layers = {one.name: layer_module(module, one.name) for one in card.layers}
    loop = LayerPass(module, preprocess, layers, "l2norm", "flatten", card.model_id)
    best = 0.0
    with arithmetic("fp32"):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            module.to(memory_format=memory_format)
            for size in sizes:
                images = torch.rand(size, 3, canvas_side, canvas_side, device=bus.device)
                try:
                    best = max(best, _bare_step(loop, images, bus))
                except torch.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    break
    module.to("cpu", memory_format=torch.contiguous_format)
    preprocess.to("cpu")
    return best


def _bare_step(loop: LayerPass, images: Tensor, bus: Bus) -> float:
    """Returns images/s of the better of two steps, after one that is not counted."""
    seconds = []
    for _ in range(3):
        started_s = time.perf_counter()
        loop.run(images, on_gradient=lambda layer, gradient: None)
        bus.mark().wait()
        seconds.append(time.perf_counter() - started_s)
    return len(images) / min(seconds[1:])


def measure(
    model: LoadedModel,
    card: ModelCard,
    bus: Bus,
    *,
    num_probes: int = PROBES,
    sizes: Sequence[int] = SIZES,
    counts: Counts | None = None,
    peak_flops: float | None = None,
    canvas_side: int = SIDE,
    writers: int = 7,
) -> Measured:
    """Returns how the product does on a device, beside the bare loop.

    Args:
        model: opened.
        card: its layers.
        bus: to the device.
        num_probes: of the product's run.
        sizes: batch sizes of the bare loop.
        counts: operations per probe; with them the share of the peak is told.
        peak_flops: float32 rate of the device.
        canvas_side: px.
        writers: threads that encode node files.
    """
    model.module.eval().requires_grad_(False)
    bare = bare_rate(model, card, bus, sizes, canvas_side)
    held = ProbeCanvases(canvases(num_probes, canvas_side), bus)
    probes = ProbeRange(0, num_probes)
    ids = [f"{index:064x}" for index in range(num_probes)]
    with (
        FeatureBank(num_probes, card.layers, memory_bytes=16 * 2**30, bus=bus) as bank,
        Extractor(
            model.module,
            model.preprocess,
            card.layers,
            AttributionConfig(),
            map_side=canvas_side,
            memory_bytes=16 * 2**30,
            bus=bus,
            model_id=card.model_id,
        ) as extractor,
    ):
        extractor.extract(held.part(probes), ids, bank.write)  # settles on its batch
        before = bus.from_device.copy()
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities = [ProfilerActivity.CUDA]
        with profile(activities=activities) as seen:
            started_s = time.perf_counter()
            nodes = extractor.extract(held.part(probes), ids, bank.write)
            extract_s = time.perf_counter() - started_s
            started_s = time.perf_counter()
            for layer in card.layers:
                bank.grams(layer.name)
            grams_s = time.perf_counter() - started_s
        crossed = bus.from_device - before
        error = _gram_error(bank, model.module, card, bus)
    copies_s = sum(_copy_seconds(one) for one in seen.key_averages())
    total_s = extract_s + grams_s
    rate = num_probes / total_s
    return Measured(
        card.model_id,
        bare,
        rate,
        copies_s / total_s,
        grams_s / total_s,
        _encode_cpu_seconds(nodes, ids) * num_probes / writers / total_s,
        rate * counts.flops / peak_flops if counts and peak_flops else None,
        error,
        dict(crossed),
    )


def _copy_seconds(event: object) -> float:
    """Returns a profiled event's time on the bus, s."""
    key = str(getattr(event, "key", ""))
    is_copy = key.startswith("Memcpy") and ("HtoD" in key or "DtoH" in key)
    return float(getattr(event, "device_time_total", 0.0)) * 1e-6 if is_copy else 0.0


def _gram_error(bank: FeatureBank, module: nn.Module, card: ModelCard, bus: Bus) -> float:
    """Returns how far the z-scored Gram of random features is from float64, of its largest."""
    generator = torch.Generator().manual_seed(0)
    count = bank.num_probes
    width = min(one.num_features for one in card.layers)
    features_ND = torch.randn(count, width, generator=generator) + 0.5
    layer = next(one for one in card.layers if one.num_features == width)
    bank.write(layer.name, 0, bus.upload("features", features_ND))
    exact = features_ND.double()
    exact = (exact - exact.mean(dim=0)) / exact.std(dim=0)
    expected_NN = (exact @ exact.T).numpy()
    found_NN = bank.gram(layer.name, "zscore")
    return float(np.abs(found_NN - expected_NN).max() / np.abs(expected_NN).max())


def _encode_cpu_seconds(nodes: dict[str, NodeMaps], ids: list[str]) -> float:
    """Returns the CPU time that encoding a probe takes, all layers, s: compression and Parquet."""
    some = min(_ENCODED, len(ids))
    with ThreadPoolExecutor(1) as pool:

        def encode() -> float:
            started_s = time.thread_time()
            for one in nodes.values():
                part = NodeMaps(one.maps_NP[:some], one.norms_N[:some])
                encode_nodes("0" * 32, ProbeRange(0, some), ids[:some], part)
            return time.thread_time() - started_s

        return pool.submit(encode).result() / some


def measured_lines(found: Sequence[Measured], device: str) -> list[str]:
    """Returns the table of what was measured, and whether it is as it should be."""
    lines = [
        f"On {device}, {PROBES} probes:",
        "",
        "| model | bare loop, images/s | product, images/s | ratio | copies | Grams | "
        "writers busy | of float32's peak | Gram error |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        peak = "" if one.flops_share is None else f"{one.flops_share:.0%}"
        lines.append(
            f"| {one.model_id} | {one.bare_rate:.0f} | {one.product_rate:.0f} | {one.ratio:.2f} | "
            f"{one.copies_share:.1%} | {one.grams_share:.1%} | {one.encode_cpu_share:.0%} | "
            f"{peak} | {one.gram_error:.1e} |"
        )
    failures = [text for one in found for text in failures_of(one)]
    return [*lines, "", *(failures or [f"Targets ({TARGET}, copies {MOST_COPIES:.0%}): met."])]


def failures_of(one: Measured) -> list[str]:
    """Returns what is not as it should be, a line each."""
    failures = []
    if not one.copies_share:
        failures.append(f"- {one.model_id}: NOT MEASURED: the profiler saw no copies")
    if one.ratio < TARGET:
        failures.append(f"- {one.model_id}: MISSED: {one.ratio:.2f} of the bare loop")
    if one.copies_share > MOST_COPIES:
        failures.append(f"- {one.model_id}: MISSED: copies take {one.copies_share:.1%}")
    if one.gram_error > _GRAM_ERROR:
        failures.append(f"- {one.model_id}: WRONG: Grams off by {one.gram_error:.1e}")
    excess = set(one.from_device) - {"maps", "grams", "checks"}
    if excess:
        failures.append(f"- {one.model_id}: {', '.join(sorted(excess))} did not fit the device")
    return failures


def paper_lines(counts: Sequence[Counts]) -> list[str]:
    """Returns the roofline on paper, and what it rests on."""
    lines = [
        "No CUDA device here: nothing below was measured on one. Operations and bytes were counted "
        "while the models ran on the CPU (torch's flop counter; every operation's inputs and "
        "outputs); features, maps and weights follow from shapes; peaks are NVIDIA's published "
        "ones. All rates and shares are **derived**: bounds, not forecasts.",
        "",
        *counted_lines(counts),
    ]
    for num_probes in (200, PROBES):
        lines += ["", f"{num_probes} probes:", "", *roofline_lines(counts, num_probes)]
    return [
        *lines,
        "",
        "`bus: maps` is what leaves the device now, `features there and back` what crossed before, "
        "both as shares of the time of the passes at most, were nothing done beside them. `Grams` "
        "are both matrices of every block, beside the passes; `in float64` were features "
        "standardised so. `features stay`: all blocks' features fit the device's part for them.",
    ]


def main() -> None:
    """Measures where a CUDA device is, prints the roofline on paper elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one model, no report kept")
    quick = parser.parse_args().quick
    names = MODELS[:1] if quick else MODELS
    found, counts = [], []
    for name in names:
        model, card = opened(name)
        counts.append(count(model, card, SIDE))
        if torch.cuda.is_available():
            bus = Bus("cuda")
            found.append(measure(model, card, bus, counts=counts[-1]))
    if found:
        lines = [*measured_lines(found, torch.cuda.get_device_name(0)), "", *counted_lines(counts)]
    else:
        lines = paper_lines(counts)
    lines += ["", machine_line("torchvision")]
    write_report("device", "python -m benchmarks.device", lines, quick=quick)


if __name__ == "__main__":
    main()
