"""The maps of a tile, step by step, in two reused buffers: one is filled while the other is used;
and its edges, graph by graph.

``A`` source graphs, ``B`` target graphs, ``n`` probes of a step, ``P`` map pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from depara.errors import StoreError
from depara.similarity.engine.blocks import GraphBlock
from depara.similarity.engine.prefetch import Prefetch
from depara.similarity.engine.preflight import check_maps
from depara.types import Float16, Float32, ProbeRange

READ_GRAPHS = 8
"""Graphs per call of `GraphBlock.read_maps`: what it returns is copied and dropped at once."""

EDGE_READ_AHEAD = 4
"""Graphs whose edges are read ahead: hides the latency of an object store."""


def stream_edges(block: GraphBlock, graphs: Iterable[int]) -> Prefetch[Float32]:
    """Returns the edges of some graphs of a block, unchecked; threads read ahead."""
    reads: Iterable[Callable[[], Float32]] = (partial(block.read_edges, graph) for graph in graphs)
    return Prefetch(reads, depth=EDGE_READ_AHEAD)


def stream_maps(
    blocks: Sequence[GraphBlock], steps: Sequence[ProbeRange]
) -> Prefetch[list[Float16]]:
    """Returns, for every step, the maps of each block as float16 ``(graphs, n, P)``.

    A thread begins at once, and reads the next step meanwhile, where there is one. The arrays are
    overwritten after the next one is asked for. Copying out of what a reader returns costs less
    than keeping it: decoded columns of many files fragment their allocator's memory to well above
    their size.

    Args:
        blocks: the tile's source, and its target unless that is the same.
        steps: probe ranges, each within one of every block's `ranges`.

    Raises:
        StoreError: a block returned maps of another shape or type.
    """
    longest = max(len(probes) for probes in steps)
    buffers = [
        [
            np.empty(block.num_graphs * longest * block.num_pixels, dtype=np.float16)
            for block in blocks
        ]
        for _ in range(min(2, len(steps)))
    ]
    reads = (
        partial(_read_step, blocks, probes, buffers[place % len(buffers)])
        for place, probes in enumerate(steps)
    )
    return Prefetch(reads, depth=1)


def _read_step(
    blocks: Sequence[GraphBlock], probes: ProbeRange, buffers: Sequence[Float16]
) -> list[Float16]:
    """Reads one step of all blocks into their buffers."""
    return [
        _read_block(block, probes, buffer) for block, buffer in zip(blocks, buffers, strict=True)
    ]


def _read_block(block: GraphBlock, probes: ProbeRange, buffer: Float16) -> Float16:
    """Reads one step of a block, a few graphs at a time, into the front of a buffer."""
    shape = (block.num_graphs, len(probes), block.num_pixels)
    maps_GNP = buffer[: shape[0] * shape[1] * shape[2]].reshape(shape)
    for start in range(0, block.num_graphs, READ_GRAPHS):
        graphs = slice(start, min(start + READ_GRAPHS, block.num_graphs))
        _copy_maps(maps_GNP[graphs], block.read_maps(probes, graphs), start, probes)
    return maps_GNP


def _copy_maps(
    target_GNP: Float16, maps: Sequence[Float16], first: int, probes: ProbeRange
) -> None:
    """Copies what a block returned, checked to be what was asked for."""
    if len(maps) != len(target_GNP):
        raise StoreError(
            f"asked for maps of {len(target_GNP)} graphs of the block from graph {first} on, "
            f"probes {probes}, got {len(maps)}"
        )
    for place, maps_NP in enumerate(maps):
        check_maps(maps_NP, first + place, probes, target_GNP.shape[2])
        target_GNP[place] = maps_NP
