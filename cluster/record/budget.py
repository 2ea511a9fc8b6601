"""What a dry run says of memory: how it is divided, and where the features of a model will lie."""

from __future__ import annotations

from fractions import Fraction

from cluster.extract.plan import ModelPlan, ScanPlan
from depara.ledger import DEVICE_PARTS, PARTS, part_bytes
from depara.texts import bytes_text


def budget_lines(plan: ScanPlan) -> list[str]:
    """Returns the lines on a worker's memory, its device's, and the features of the largest model.

    What a device has free is known to the workers alone: of it, the shares are said, and what must
    be free for nothing but maps and Grams to leave it.
    """
    compute = plan.config.compute
    memory = int(compute.memory)
    sizes = {name: part_bytes(memory, name) for name in PARTS}
    parts = [f"{name} {bytes_text(size)}" for name, size in sizes.items()]
    lines = [f"memory:      {bytes_text(memory)} a worker: {', '.join(parts)}"]
    if compute.num_gpus:
        shares = [f"{name} {_share(part.share)}" for name, part in DEVICE_PARTS.items()]
        free = "what is free beside the weights"
        if compute.num_gpus < 1:
            free += f", at most {compute.num_gpus:g} of it all"
        lines.append(f"device:      {free}: {', '.join(shares)}")
    largest = max(plan.models, key=lambda model: feature_bytes(model, plan.num_probes))
    if largest.missing:
        lines.append(
            _features_line(largest, plan.num_probes, sizes["features"], bool(compute.num_gpus))
        )
    return lines


def feature_bytes(model: ModelPlan, num_probes: int) -> int:
    """Returns the bytes of the features of a model's missing graphs, all layers and probes."""
    return sum(4 * num_probes * graph.layer.num_features for graph in model.missing)


def _features_line(model: ModelPlan, num_probes: int, in_memory: int, has_device: bool) -> str:
    need = feature_bytes(model, num_probes)
    line = f"features:    up to {bytes_text(need)} of one model ({model.card.model_id}): they "
    if has_device:
        free = need / DEVICE_PARTS["features"].share
        line += f"stay on a device with {bytes_text(float(free))} free; what does not fit goes to "
        return f"{line}memory ({bytes_text(in_memory)}), then to compute.spill_dir"
    if need <= in_memory:
        return f"{line}stay in memory"
    return f"{line}do not fit the {bytes_text(in_memory)} for them: some go to compute.spill_dir"


def _share(share: Fraction) -> str:
    return f"{share.numerator}/{share.denominator}"
