"""Probe ranges: what is computed, and written as one node file, at a time."""

from __future__ import annotations

from itertools import pairwise

from depara.ledger import part_bytes
from depara.types import ProbeRange


def split_probes(num_probes: int, unit_probes: int) -> tuple[ProbeRange, ...]:
    """Returns consecutive ranges of at most `unit_probes`, of sizes as equal as can be."""
    assert num_probes > 0
    pieces = -(-num_probes // unit_probes)
    cuts = [round(piece * num_probes / pieces) for piece in range(pieces + 1)]
    return tuple(ProbeRange(start, stop) for start, stop in pairwise(cuts))


def fitting_ranges(
    ranges: tuple[ProbeRange, ...], num_layers: int, node_values: int, memory_bytes: int
) -> tuple[ProbeRange, ...]:
    """Returns the ranges, halved until the maps of all layers of one range fit in memory.

    They are in memory at once, in float16, and may take their part of `compute.memory`.

    Args:
        ranges: of the whole probe set.
        num_layers: of one model.
        node_values: of one probe at one layer, the pixels of all its maps.
        memory_bytes: `compute.memory`.
    """
    per_probe_bytes = num_layers * node_values * 2
    fitting = max(1, part_bytes(memory_bytes, "maps") // per_probe_bytes)
    while any(len(probes) > fitting for probes in ranges):
        ranges = tuple(half for probes in ranges for half in _halves(probes))
    return ranges


def _halves(probes: ProbeRange) -> tuple[ProbeRange, ...]:
    if len(probes) == 1:
        return (probes,)
    middle = (probes.start + probes.stop) // 2
    return ProbeRange(probes.start, middle), ProbeRange(middle, probes.stop)
