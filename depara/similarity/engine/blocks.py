"""What a tile reads and what it returns: blocks of graphs, and the scores of their pairs.

``A`` source graphs, ``B`` target graphs, ``n`` probes of a range, ``N`` probes in all, ``P`` map
pixels, ``E = N(N-1)/2`` edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from depara.errors import StoreError
from depara.grams import GraphGrams
from depara.types import Float16, Float32, Float64, ProbeRange


class GraphBlock(Protocol):
    """Some graphs over one probe set, read piece by piece. Its methods run on reader threads.

    What the readers return is dropped soon. A tile's memory bound allows them as much again as they
    return, for decoding.
    """

    @property
    def num_graphs(self) -> int:
        """Number of graphs of the block, at least 1."""

    @property
    def num_pixels(self) -> int:
        """``P``, the pixels of one map."""

    def ranges(self) -> Sequence[ProbeRange]:
        """Returns what is cheap to read at once (a file or a row group), covering all probes."""

    def read_maps(self, probes: ProbeRange, graphs: slice) -> Sequence[Float16]:
        """Returns unit-norm maps ``(n, P)`` of a few graphs; a range within one of `ranges`."""

    def read_edges(self, graph: int) -> Float32:
        """Returns the cosines ``(E,)`` of one graph, in ``pdist`` order."""

    def read_grams(self, graph: int) -> GraphGrams:
        """Returns the Grams of one graph."""


@dataclass(frozen=True)
class TileScores:
    """Scores of every (source, target) of a tile: float64 ``(A, B)``, each in [-1, 1].

    ``edge_z_AB``, float32, says how far ``edge_AB`` is from chance (`depara.similarity.mantel`).
    """

    node_AB: Float64
    edge_AB: Float64
    edge_z_AB: Float32

    def __post_init__(self) -> None:
        assert self.node_AB.shape == self.edge_AB.shape == self.edge_z_AB.shape
        assert self.node_AB.dtype == self.edge_AB.dtype == np.float64


def common_steps(
    source: Sequence[ProbeRange],
    target: Sequence[ProbeRange],
    *,
    num_probes: int,
    max_probes: int,
) -> list[ProbeRange]:
    """Returns ranges over all probes, each of at most ``max_probes`` and within one of either side.

    Raises:
        StoreError: a side's ranges leave probes out, overlap, or go beyond ``num_probes``.
    """
    assert max_probes >= 1
    cuts = {0, num_probes}
    for ranges in (source, target):
        cuts.update(_cuts(ranges, num_probes))
    steps = []
    for start, stop in pairwise(sorted(cuts)):
        count = -(-(stop - start) // max_probes)
        inner = [start + (stop - start) * index // count for index in range(count + 1)]
        steps += [ProbeRange(first, last) for first, last in pairwise(inner)]
    return steps


def _cuts(ranges: Sequence[ProbeRange], num_probes: int) -> list[int]:
    """Returns the ends of ranges that must partition ``0 .. num_probes``."""
    expected = 0
    for probes in sorted(ranges, key=lambda probes: probes.start):
        if probes.start != expected:
            break
        expected = probes.stop
    else:
        if expected == num_probes:
            return [probes.stop for probes in ranges]
    raise StoreError(
        f"probe ranges {', '.join(map(str, ranges))} do not cover probes 0 to {num_probes} once: "
        "node files are missing or belong to another probe set; run the scan again"
    )
