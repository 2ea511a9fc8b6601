"""Which share of a GPU each model asks for where `compute.num_gpus` is auto: what it needs.

What it needs is known before it runs: from its weights, from the activations of one probe, which
its dry pass has measured, and from its features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from cluster.extract.plan import ModelPlan, ScanPlan
from cluster.pool.launcher import Launcher
from cluster.pool.units import Group
from depara.config import ComputeConfig, ScanConfig
from depara.ledger import DEVICE_PARTS, GPU_MARGIN, GPU_PROCESS_BYTES
from depara.texts import bytes_text

WORKERS_PER_GPU = (8, 4, 2, 1)
"""Powers of two, so that few kinds of workers are started one after the other."""

AUTO_BATCH = 32
"""Probes of a batch where its size is to be measured: where the search for it begins on a GPU."""

_WEIGHT_FORMS = 2
"""As in `depara.extraction.passes`."""

_PASS_FACTOR = 1.25
"""What a forward and its backwards hold, of the activations that the dry pass counts: measured 0.43
to 0.82 in ResNet-18 and -50, MobileNetV2 and ConvNeXt-T, 1.16 in VGG-11, at all blocks (CPU)."""


@dataclass(frozen=True)
class GpuShare:
    """What a model needs of a GPU, bytes, and how many like it share one."""

    need_bytes: int
    workers_per_gpu: int

    @property
    def gpus(self) -> float:
        """What its worker asks for."""
        return 1 / self.workers_per_gpu


def needed_bytes(model: ModelPlan, num_probes: int, compute: ComputeConfig) -> int:
    """Returns what a model needs of a device for a batch to run whole and features to stay there.

    ``process + weights + max(activations / a, features / f)``, a and f the ledger's parts of what
    is left beside the weights (`DEVICE_PARTS`).
    """
    card = model.card
    batch = AUTO_BATCH if compute.batch_size == "auto" else compute.batch_size
    batch = min(batch, num_probes)
    parts = {
        "activations": _PASS_FACTOR * batch * card.activation_bytes,
        "features": model.feature_bytes(num_probes),
    }
    work = max(need / DEVICE_PARTS[name].share for name, need in parts.items())
    return int(GPU_PROCESS_BYTES + 4 * _WEIGHT_FORMS * card.num_parameters + float(work))


def gpu_share(need_bytes: int, gpu_bytes: int) -> GpuShare:
    """Returns the smallest share that suffices, with a margin; a whole GPU where none does."""
    usable = (1 - GPU_MARGIN) * gpu_bytes
    fitting = (count for count in WORKERS_PER_GPU if count * need_bytes <= usable)
    return GpuShare(need_bytes, next(fitting, 1))


def gpu_shares(plan: ScanPlan, gpu_bytes: int) -> dict[str, GpuShare]:
    """Returns the share of each model with missing graphs, by its id."""
    compute, num_probes = plan.config.compute, plan.num_probes
    return {
        model.card.model_id: gpu_share(needed_bytes(model, num_probes, compute), gpu_bytes)
        for model in plan.models
        if model.missing
    }


def sharing_groups(
    groups: Sequence[Group], shares: dict[str, GpuShare]
) -> list[tuple[float, list[Group]]]:
    """Returns the groups by the GPUs that their workers ask for, whole ones first."""
    wanted = sorted({shares[group.name].gpus for group in groups}, reverse=True)
    return [(n, [group for group in groups if shares[group.name].gpus == n]) for n in wanted]


def share_lines(plan: ScanPlan) -> list[str]:
    """Returns what a dry run says of the shares."""
    compute = plan.config.compute
    if compute.num_gpus != "auto" or not plan.num_missing:
        return []
    if compute.gpu_memory is None:
        return [
            "gpus:        auto: each model asks for what it needs; how much that is of a GPU is "
            "told with compute.gpu_memory, else when the nodes have been asked"
        ]
    shares = gpu_shares(plan, int(compute.gpu_memory))
    lines = []
    for count in sorted({one.workers_per_gpu for one in shares.values()}):
        found = {name: one for name, one in shares.items() if one.workers_per_gpu == count}
        name = max(found, key=lambda name: found[name].need_bytes)
        most = bytes_text(found[name].need_bytes)
        lines.append(
            f"gpus:        {share_text(1 / count)} of {bytes_text(int(compute.gpu_memory))} for "
            f"{len(found)} models, which need up to {most} each ({name})"
        )
    return lines


def share_text(gpus: float) -> str:
    """Returns ``a whole GPU`` or ``1/4 of a GPU``."""
    return "a whole GPU" if gpus >= 1 else f"{Fraction(gpus).limit_denominator(64)} of a GPU"


def shares_text(shares: dict[str, GpuShare]) -> str:
    """Returns how many models ask for what, on one line."""
    counts = Counter(one.gpus for one in shares.values())
    return ", ".join(f"{share_text(gpus)} for {n} models" for gpus, n in sorted(counts.items()))


def num_workers(config: ScanConfig, launcher: Launcher) -> int:
    """Returns how many workers a scan asks for, or what the cluster has, at most one per model."""
    if config.compute.workers == "auto":
        return min(launcher.capacity(), len(config.models))
    return config.compute.workers
