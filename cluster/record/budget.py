"""What a dry run says of memory and storage: what lies where, what is written and read."""

from __future__ import annotations

from fractions import Fraction

from cluster.extract.gpu_shares import share_lines
from cluster.extract.plan import ModelPlan, ScanPlan
from depara.catalog import METHODS
from depara.ledger import DEVICE_PARTS, PARTS, part_bytes
from depara.texts import bytes_text

_COARSER, _LEAST_SIDE = 4, 8
"""By what maps may be made coarser, and the side, px, below which little is left of them."""


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
    lines += share_lines(plan)
    has_device = compute.num_gpus != 0
    if has_device:
        shares = [f"{name} {_share(part.share)}" for name, part in DEVICE_PARTS.items()]
        free = "what is free beside the weights"
        if compute.num_gpus == "auto":
            free += ", at most the worker's share of it all"
        elif compute.num_gpus < 1:
            free += f", at most {compute.num_gpus:g} of it all"
        lines.append(f"device:      {free}: {', '.join(shares)}")
    largest = max(plan.models, key=lambda model: model.feature_bytes(plan.num_probes))
    if largest.missing:
        lines.append(_features_line(largest, plan.num_probes, sizes["features"], has_device))
    return lines


def size_lines(plan: ScanPlan, num_graph_reads: int) -> list[str]:
    """Returns the lines on what is stored and read, and on how to have less of it.

    Args:
        plan: the scan.
        num_graph_reads: how often the comparison reads a graph.
    """
    config, attribution = plan.config, plan.config.attribution
    several = ""
    if attribution.num_maps > 1:
        name = METHODS[attribution.method].maps
        several = f", {attribution.num_maps} maps per probe and graph (attribution.{name})"
    lines = [
        f"to write:    up to {bytes_text(plan.bytes_to_write)} of graph files, "
        f"{bytes_text(plan.graph_bytes)} a graph, of which {bytes_text(plan.map_bytes)} are maps "
        f"of {config.map_side} px{several}",
        f"to read:     up to {bytes_text(num_graph_reads * plan.graph_bytes)} of graph files, "
        f"{num_graph_reads} graphs, by the comparison",
    ]
    smaller = config.map_side // _COARSER
    if config.map_side % _COARSER == 0 and smaller >= _LEAST_SIDE:
        least = plan.graph_bytes - plan.map_bytes + plan.map_bytes // _COARSER**2
        lines.append(
            f"             attribution.map_side: {smaller} makes maps {_COARSER**2} times smaller, "
            f"{bytes_text(least)} a graph; docs/method.md says what that does to rankings"
        )
    return lines


def _features_line(model: ModelPlan, num_probes: int, in_memory: int, has_device: bool) -> str:
    need = model.feature_bytes(num_probes)
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
