"""What is checked of two blocks of graphs before a pass over their pairs, and of what it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from depara.errors import ConfigError, NonFiniteError, StoreError
from depara.similarity.engine.blocks import GraphBlock
from depara.types import Float16, Float32, ProbeRange

MAX_COSINE = 1.01
"""Cosines beyond it are not explained by maps rounded to float16."""

_T = TypeVar("_T")


class Needs(Protocol):
    """The memory model of a pass."""

    @property
    def min_bytes(self) -> int:
        """The least limit under which it can be made."""


def check_blocks(
    source: GraphBlock, target: GraphBlock, needs: Needs, limit_bytes: int, what: str, fix: str
) -> None:
    """Refuses blocks whose maps cannot be compared, and a pass that does not fit in memory.

    Args:
        source: block of the sources.
        target: block of the targets.
        needs: the memory model of the pass.
        limit_bytes: what it may allocate.
        what: the pass, for the message.
        fix: what helps beside more memory, likewise.

    Raises:
        ConfigError: one of the two.
    """
    if source.num_pixels != target.num_pixels:
        raise ConfigError(
            f"source maps have {source.num_pixels} px, target maps {target.num_pixels}: graphs of "
            "one canvas and one attribution.map_side can be compared, others cannot"
        )
    if needs.min_bytes > limit_bytes:
        raise ConfigError(
            f"{what} needs {needs.min_bytes:,} bytes, the limit is {limit_bytes:,}: raise "
            f"compute.memory, or {fix}"
        )


def check_maps(maps_nP: Float16, graph: int, probes: ProbeRange, num_pixels: int) -> None:
    """Refuses maps that are not what was asked for.

    Raises:
        StoreError: names the graph's place in its block, and the probes.
    """
    expected = (len(probes), num_pixels)
    if maps_nP.shape != expected or maps_nP.dtype != np.float16:
        raise StoreError(
            f"maps of graph {graph} of the block, probes {probes}: expected float16 of shape "
            f"{expected}, got {maps_nP.dtype} of shape {maps_nP.shape}; the node file belongs to "
            "another probe set or map size"
        )


def take_edges(cosine_E: Float32, graph: int, num_edges: int, take: Callable[[Float32], _T]) -> _T:
    """Returns what is made of the edges of one graph, which must be what was asked for.

    Raises:
        StoreError: they are not; names the graph's place in its block.
        NonFiniteError: they are NaN or infinite; likewise.
    """
    if cosine_E.shape != (num_edges,) or cosine_E.dtype != np.float32:
        raise StoreError(
            f"edges of graph {graph} of the block: expected float32 of shape ({num_edges},), got "
            f"{cosine_E.dtype} of shape {cosine_E.shape}; the file belongs to another probe set"
        )
    try:
        return take(cosine_E)
    except NonFiniteError as error:
        raise NonFiniteError(f"graph {graph} of the block: {error}") from error
