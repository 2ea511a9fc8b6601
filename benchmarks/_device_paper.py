"""The roofline on paper: counted operations and bytes of a model against published peaks.

``N`` probes, ``L`` layers, ``P`` map pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from depara.attribution.device_gram import TILE
from depara.attribution.layer_pass import LayerPass
from depara.attribution.torch_state import arithmetic
from depara.ledger import DEVICE_PARTS
from depara.models import LoadedModel
from depara.models.dry_pass import layer_module
from depara.types import ModelCard

FLOAT_BYTES = 4
MAP_EXTRA_BYTES = 12
"""Of a map beside its float16 pixels: its norm, float32, and its conditioning, float64."""

_PASSES, _PRODUCT_PASSES = 12, 4
"""Times that each feature is read or written, to be z-scored, and for both products and sums."""
_DOUBLES, _DOUBLE_PASSES = 6, 23
"""Float64 operations on each feature, and such passes, were it z-scored in float64."""


@dataclass(frozen=True)
class Peaks:
    """What the maker publishes of a device: rates without sparsity, memory, one way of the bus."""

    fp32_flops: float
    tf32_flops: float | None
    memory_bytes_per_s: float
    memory_bytes: float
    bus_bytes_per_s: float
    fp64_share: float
    """Rate of float64 as a share of float32's."""


DEVICES: Mapping[str, Peaks] = {
    "T4": Peaks(8.1e12, None, 320e9, 16e9, 15.8e9, 1 / 32),
    "L4": Peaks(30.3e12, 60e12, 300e9, 24e9, 31.5e9, 1 / 64),
    "A10G": Peaks(31.2e12, 62.5e12, 600e9, 24e9, 31.5e9, 1 / 64),
    "A100": Peaks(19.5e12, 156e12, 2039e9, 80e9, 31.5e9, 1 / 2),
    "H100": Peaks(67e12, 495e12, 3350e9, 80e9, 63e9, 1 / 2),
}
"""NVIDIA's data sheets; SXM forms with 80 GB; the A10's for the A10G; PCIe 3, 4, 4, 4, 5 x16."""


@dataclass(frozen=True)
class Counts:
    """What one probe of a model costs, all blocks; counted, or derived from shapes."""

    model_id: str
    num_layers: int
    forward_flops: float
    flops: float
    moved_bytes: float
    """Of the device's memory: each operation reads its inputs and writes its outputs once."""
    feature_bytes: float
    map_bytes: float
    weight_bytes: float
    canvas_bytes: float

    @property
    def num_features(self) -> float:
        """Of all layers together."""
        return self.feature_bytes / FLOAT_BYTES

    def gram_flops(self, num_probes: int) -> float:
        """Of the raw and the z-scored Gram of all layers: tiles on one side of the diagonal."""
        tiles = -(-num_probes // TILE)
        return 2 * 2 * num_probes**2 * self.num_features * (tiles + 1) / (2 * tiles)

    def gram_bytes(self, num_probes: int) -> float:
        """Of the device's memory, to make both."""
        return (_PASSES + _PRODUCT_PASSES) * num_probes * self.feature_bytes


class _Counter(TorchDispatchMode):
    """Operations by torch's own formulas; bytes of inputs and outputs of all but views."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.num_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        given = [one for one in tree_iter((args, kwargs)) if isinstance(one, Tensor)]
        outputs = [one for one in tree_iter(result) if isinstance(one, Tensor)]
        places = {one.data_ptr() for one in given}
        if formula is not None or not all(one.data_ptr() in places for one in outputs):
            self.num_bytes += sum(one.nbytes for one in (*given, *outputs))
        return result


def count(model: LoadedModel, card: ModelCard, canvas_side: int, batch: int = 1) -> Counts:
    """Returns what a probe costs: one forward pass, and a backward to the canvas per layer."""
    model.module.eval().requires_grad_(False)
    layers = {one.name: layer_module(model.module, one.name) for one in card.layers}
    one_pass = LayerPass(model.module, model.preprocess, layers, "l2norm", "flatten", card.model_id)
    canvas = torch.rand(batch, 3, canvas_side, canvas_side)
    forward, whole = _Counter(), _Counter()
    # Attention as the products that it is made of: fused, it has no formula.
    with arithmetic("fp32"), sdpa_kernel(SDPBackend.MATH):
        with torch.no_grad(), forward:
            model.module(model.preprocess(canvas))
        with whole:
            one_pass.run(canvas, on_gradient=lambda layer, gradient: None)
    weights = sum(one.nbytes for one in model.module.parameters())
    return Counts(
        card.model_id,
        len(layers),
        forward.flops / batch,
        whole.flops / batch,
        whole.num_bytes / batch,
        FLOAT_BYTES * sum(one.num_features for one in card.layers),
        len(layers) * (2 * canvas_side**2 + MAP_EXTRA_BYTES),
        weights,
        3 * canvas_side**2,
    )


def counted_lines(counts: Sequence[Counts]) -> list[str]:
    """Returns the table of what was counted."""
    return [
        "| per probe | blocks | GFLOP, forward | GFLOP, with one backward per block | "
        "memory moved, GB | features, MB | maps, MB | weights, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {one.model_id} | {one.num_layers} | {one.forward_flops / 1e9:.1f} | "
            f"{one.flops / 1e9:.0f} | {one.moved_bytes / 1e9:.2f} | "
            f"{one.feature_bytes / 1e6:.1f} | {one.map_bytes / 1e6:.2f} | "
            f"{one.weight_bytes / 1e6:.0f} |"
            for one in counts
        ),
    ]


def roofline_lines(counts: Sequence[Counts], num_probes: int) -> list[str]:
    """Returns the table of what each device could do at most, and what the bus takes of it."""
    lines = [
        "| device | model | images/s at most | bound by | with TF32 | bus: maps | bus: features "
        "there and back | Grams | Grams in float64 | features stay |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, peaks in DEVICES.items():
        lines += [_row(name, peaks, one, num_probes) for one in counts]
    return lines


def _row(name: str, peaks: Peaks, one: Counts, num_probes: int) -> str:
    moving_s = one.moved_bytes / peaks.memory_bytes_per_s
    computing_s = one.flops / peaks.fp32_flops
    probe_s = max(moving_s, computing_s)
    tf32 = "no"
    if peaks.tf32_flops:
        tf32 = f"{1 / max(moving_s, one.flops / peaks.tf32_flops):.0f}"
    total_s = num_probes * probe_s
    gram_s = max(
        one.gram_flops(num_probes) / peaks.fp32_flops,
        one.gram_bytes(num_probes) / peaks.memory_bytes_per_s,
    )
    fp64_flops = peaks.fp32_flops * peaks.fp64_share
    more_bytes = (_DOUBLE_PASSES - _PASSES) * num_probes * one.feature_bytes
    double_s = (
        gram_s
        + more_bytes / peaks.memory_bytes_per_s
        + _DOUBLES * num_probes * one.num_features / fp64_flops
    )
    maps_s = one.map_bytes / peaks.bus_bytes_per_s
    there_and_back_s = 2 * one.feature_bytes / peaks.bus_bytes_per_s
    free = peaks.memory_bytes - 2 * one.weight_bytes
    stays = num_probes * one.feature_bytes <= free * DEVICE_PARTS["features"].share
    bound = "memory" if moving_s > computing_s else "float32"
    return (
        f"| {name} | {one.model_id} | {1 / probe_s:.0f} | {bound} | {tf32} | "
        f"{maps_s / probe_s:.1%} | {there_and_back_s / probe_s:.0%} | {gram_s / total_s:.1%} | "
        f"{double_s / total_s:.1%} | {'yes' if stays else 'no'} |"
    )
