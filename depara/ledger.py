"""How a worker's memory is divided, ``compute.memory`` and its device's: each has its part by name.

While graphs are computed all parts are in use at once, so they add up to the whole. A tile of the
comparison, or a resampled block, runs in a process of its own and may take all of it (see
`depara.similarity.engine.footprint` and `depara.uncertainty.footprint`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Part:
    """A consumer's share of the memory, and what it is for."""

    share: Fraction
    meaning: str


PARTS: Mapping[str, Part] = {
    "features": Part(Fraction(5, 16), "features of all layers; what is beyond it spills to disk"),
    "objects": Part(Fraction(1, 16), "features of objects at all layers, where probes have boxes"),
    "activations": Part(Fraction(4, 16), "a batch's activations on the CPU"),
    "maps": Part(Fraction(2, 16), "the maps of one probe range at all layers"),
    "blocks": Part(Fraction(1, 16), "one block of feature columns for the Gram matrices"),
    "writes": Part(Fraction(1, 16), "maps that wait to be written"),
    "weights": Part(Fraction(1, 16), "the next model's weights, brought near meanwhile"),
    "canvases": Part(Fraction(1, 16), "decoded probes; more of them are mapped from disk"),
}
"""The parts by name."""


def part_bytes(memory_bytes: int, name: str) -> int:
    """Returns what a consumer of `PARTS` may take of a worker's memory, bytes."""
    return int(memory_bytes * PARTS[name].share)


DEVICE_PARTS: Mapping[str, Part] = {
    "features": Part(Fraction(6, 16), "features of all layers; what is beyond it leaves it"),
    "activations": Part(Fraction(6, 16), "a batch's activations"),
    "probes": Part(Fraction(1, 16), "decoded probes; more of them are uploaded with each batch"),
    "blocks": Part(Fraction(1, 16), "feature columns under the products for the Gram matrices"),
    "workspace": Part(Fraction(2, 16), "what the device's libraries take for themselves"),
}
"""The parts of what a device has free beside a model's weights, where it has memory of its own."""


GPU_MARGIN = Fraction(1, 10)
"""Of a GPU that workers share: what fragments, and what is not foreseen."""

GPU_PROCESS_BYTES = 512 * 2**20
"""What each process takes of a GPU beside its tensors: the context, and kernels as they load."""


def device_part(device_bytes: int, name: str) -> int:
    """Returns what a consumer of `DEVICE_PARTS` may take of a device's memory, bytes."""
    return int(device_bytes * DEVICE_PARTS[name].share)
