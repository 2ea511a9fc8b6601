"""The plan of all pairs: which blocks of sources meet which blocks of targets, each pair once.

``A`` sources, ``B`` targets, ``N`` probes, ``P`` map pixels, ``E`` edges of a graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from depara.errors import ConfigError
from depara.graph.edges import edge_count
from depara.similarity.engine.footprint import Footprint

_EDGE_COST = 8
"""Bytes of maps read that cost as much time as reading and sorting one edge, roughly."""


@dataclass(frozen=True)
class Tile:
    """Sources ``source_start:source_stop`` against targets ``target_start:target_stop``.

    ``symmetric``: both are the same graphs; give the same block twice to `similarity_tile`.
    """

    source_start: int
    source_stop: int
    target_start: int
    target_stop: int
    symmetric: bool = False

    @property
    def num_sources(self) -> int:
        """Number of sources of the tile."""
        return self.source_stop - self.source_start

    @property
    def num_targets(self) -> int:
        """Number of targets of the tile."""
        return self.target_stop - self.target_start


def plan_tiles(
    num_sources: int,
    num_targets: int,
    *,
    num_probes: int,
    num_pixels: int,
    memory_bytes: int,
    symmetric: bool = False,
    min_tiles: int = 1,
    range_probes: int = 1,
) -> list[Tile]:
    """Returns tiles that cover every (source, target) pair once, each within ``memory_bytes``.

    Among the plans that fit, it is the one that reads least: a graph is read again for every block
    of the other side, and a probe range again for every step that it has to be split into.

    Args:
        num_sources: ``A``; 0 gives no tiles.
        num_targets: ``B``.
        num_probes: ``N``, at least 2.
        num_pixels: ``P``.
        memory_bytes: what one `similarity_tile` may allocate; tiles that run side by side on one
            machine must share its memory.
        symmetric: sources and targets are the same graphs in the same order: only tiles on and
            above the diagonal are planned, and the caller mirrors the others.
        min_tiles: at least so many tiles, as far as there are pairs, to keep workers busy.
        range_probes: how many probes a block must decode to read one (the length of its
            `GraphBlock.ranges`).

    Raises:
        ConfigError: not even one pair fits in ``memory_bytes``.
        ValueError: symmetric, but unequal numbers of sources and targets.
    """
    if symmetric and num_sources != num_targets:
        raise ValueError(f"symmetric, but {num_sources} sources and {num_targets} targets")
    if num_sources == 0 or num_targets == 0:
        return []
    best: tuple[int, float, int, int, int] | None = None
    for rows, columns in _block_counts(num_sources, num_targets, symmetric):
        count = rows * (rows + 1) // 2 if symmetric else rows * columns
        footprint = Footprint(
            num_sources=-(-num_sources // rows),
            num_targets=-(-num_targets // columns),
            num_probes=num_probes,
            num_pixels=num_pixels,
            symmetric=symmetric and rows == 1,
        )
        if footprint.min_bytes > memory_bytes:
            continue
        reads = num_sources * rows if symmetric else num_sources * columns + num_targets * rows
        cost = reads * _bytes_per_graph(footprint, memory_bytes, range_probes)
        # Too few tiles count only when no plan has more.
        missing = max(0, min(min_tiles, num_sources * num_targets) - count)
        candidate = (missing, cost, count, rows, columns)
        if best is None or candidate < best:
            best = candidate
    if best is None:
        raise ConfigError(_too_small(num_probes, num_pixels, memory_bytes))
    return _tiles(num_sources, num_targets, best[-2], best[-1], symmetric)


def _tiles(
    num_sources: int, num_targets: int, rows: int, columns: int, symmetric: bool
) -> list[Tile]:
    """Cuts both sides into near-equal blocks and pairs them, row by row."""
    sources, targets = _cuts(num_sources, rows), _cuts(num_targets, columns)
    return [
        Tile(*source, *target, symmetric=symmetric and row == column)
        for row, source in enumerate(pairwise(sources))
        for column, target in enumerate(pairwise(targets))
        if not symmetric or row <= column
    ]


def _cuts(count: int, blocks: int) -> list[int]:
    return [count * block // blocks for block in range(blocks + 1)]


def _block_counts(num_sources: int, num_targets: int, symmetric: bool) -> list[tuple[int, int]]:
    """Returns the numbers of blocks worth trying on both sides."""
    if symmetric:
        return [(count, count) for count in _counts(num_sources)]
    return [(rows, cols) for rows in _counts(num_sources) for cols in _counts(num_targets)]


def _counts(size: int) -> list[int]:
    """Returns 1 to 16, then steps of a seventh, up to ``size``."""
    counts, count = {size}, 1
    while count < size:
        counts.add(count)
        count += max(1, count // 7)
    return sorted(counts)


def _bytes_per_graph(footprint: Footprint, memory_bytes: int, range_probes: int) -> float:
    """Returns the bytes read (or their worth) for one graph in one tile."""
    step_probes = footprint.max_step_probes(memory_bytes, range_probes)
    times_decoded = -(-range_probes // step_probes)
    maps = 2 * footprint.num_probes * footprint.num_pixels * times_decoded
    return maps + _EDGE_COST * edge_count(footprint.num_probes)


def _too_small(num_probes: int, num_pixels: int, memory_bytes: int) -> str:
    least = Footprint(
        num_sources=1, num_targets=1, num_probes=num_probes, num_pixels=num_pixels
    ).min_bytes
    return (
        f"comparing two graphs of {num_probes} probes and {num_pixels} px of maps per probe needs "
        f"{least:,} bytes, the limit is {memory_bytes:,}: raise compute.memory, or lower "
        "attribution.map_side, probes.count or (gradient_field) attribution.points"
    )
