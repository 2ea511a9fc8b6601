"""The memory model of a tile: what its two passes hold, and what fits in a limit.

``A`` source graphs, ``B`` target graphs, ``P`` map pixels, ``E`` edges of a graph. ``graphs`` is
``A + B``, or ``A`` when both blocks are the same graphs.

======================  ====================================================================
both passes             ``A B (8 + 8 + 4 + 16)``: two float64 scores, one float32 product or z,
                        mean and deviation by chance in float64
node pass               ``graphs * 16384 * 4``: float32 panels
                        ``2 graphs n P * 2``: float16 maps of this step and of the next; half of
                        it where one step reads all probes
                        ``2 * 8 n P * 2``: the few graphs being read, and their decoding
edge pass               ``R E * 4``: float32 ranks of the resident block, the smaller one
                        ``g E * 4``: ranks of a group of the other block, passing by
                        ``2 (read-ahead + 1) E * 4``: edges being read, and their decoding
                        ``48 E``: the sort of one graph
======================  ====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from depara.graph.edges import edge_count
from depara.graph.ranks import WORKSPACE_BYTES_PER_EDGE
from depara.similarity.engine.panel import PANEL_COLUMNS
from depara.similarity.engine.stream import EDGE_READ_AHEAD, READ_GRAPHS

MAX_EDGE_GROUP = 64
"""Graphs of the passing block per product: more would not make the product faster."""

_SCORE_BYTES = 8 + 8 + 4 + 16


@dataclass(frozen=True)
class Footprint:
    """Bytes that one tile needs, by its shape; ``symmetric`` when both blocks are the same."""

    num_sources: int
    num_targets: int
    num_probes: int
    num_pixels: int
    symmetric: bool = False

    def __post_init__(self) -> None:
        assert min(self.num_sources, self.num_targets, self.num_pixels) >= 1
        assert self.num_probes >= 2
        assert not self.symmetric or self.num_sources == self.num_targets

    @property
    def num_graphs(self) -> int:
        """Graphs that the node pass reads."""
        return self.num_sources + (0 if self.symmetric else self.num_targets)

    @property
    def num_resident(self) -> int:
        """Graphs whose ranks stay in memory during the edge pass: the smaller block."""
        return min(self.num_sources, self.num_targets)

    def node_bytes(self, step_probes: int) -> int:
        """Returns what the node pass holds when it reads ``step_probes`` probes at a time."""
        return self._node_fixed_bytes + step_probes * self._bytes_per_probe

    @property
    def node_bytes_at_once(self) -> int:
        """What the node pass holds when it reads all probes in one step, and none ahead."""
        return self._node_fixed_bytes + self.num_probes * self._bytes_per_probe // 2

    def fit_together(self, limit_bytes: int, range_probes: int) -> bool:
        """Whether both passes fit at once, each as large as the limit alone allows.

        An eighth is left for what is kept between tiles, which neither pass alone comes near.
        """
        step = self.max_step_probes(limit_bytes, range_probes)
        node = self.node_bytes(min(step, range_probes))
        if step == self.num_probes <= range_probes:
            node = min(node, self.node_bytes_at_once)
        return node + self.edge_bytes(self.max_edge_group(limit_bytes)) <= limit_bytes * 7 // 8

    def edge_bytes(self, group: int) -> int:
        """Returns what the edge pass holds with ``group`` passing graphs per product."""
        return self._edge_fixed_bytes + group * self._bytes_per_ranks

    def max_step_probes(self, limit_bytes: int, range_probes: int) -> int:
        """Returns how many probes the node pass can read at a time; 0 when not even one fits.

        Args:
            limit_bytes: what the tile may allocate.
            range_probes: the longest range that both blocks can read at once. There is no next step
                to read ahead where that is all probes and all fit.
        """
        free = limit_bytes - self._node_fixed_bytes
        if range_probes >= self.num_probes and self.node_bytes_at_once <= limit_bytes:
            return self.num_probes
        return max(0, min(self.num_probes, free // self._bytes_per_probe))

    def max_edge_group(self, limit_bytes: int) -> int:
        """Returns how many passing graphs fit, at most 64; 0 when the edge pass does not fit."""
        free = limit_bytes - self._edge_fixed_bytes
        if self.symmetric:
            return MAX_EDGE_GROUP if free >= 0 else 0
        return max(0, min(MAX_EDGE_GROUP, self.num_passing, free // self._bytes_per_ranks))

    @property
    def num_passing(self) -> int:
        """Graphs that pass by the resident ones in the edge pass: the larger block."""
        return 0 if self.symmetric else max(self.num_sources, self.num_targets)

    @property
    def min_bytes(self) -> int:
        """The least limit under which the tile can be computed: one probe, one passing graph."""
        return max(self.node_bytes(1), self.edge_bytes(0 if self.symmetric else 1))

    @property
    def _scores_bytes(self) -> int:
        return _SCORE_BYTES * self.num_sources * self.num_targets

    @property
    def _node_fixed_bytes(self) -> int:
        return self._scores_bytes + 4 * PANEL_COLUMNS * self.num_graphs

    @property
    def _bytes_per_probe(self) -> int:
        return 2 * (self.num_graphs + READ_GRAPHS) * 2 * self.num_pixels

    @property
    def _bytes_per_ranks(self) -> int:
        return 4 * edge_count(self.num_probes)

    @property
    def _edge_fixed_bytes(self) -> int:
        ranks = (self.num_resident + 2 * (EDGE_READ_AHEAD + 1)) * self._bytes_per_ranks
        sorting = WORKSPACE_BYTES_PER_EDGE * edge_count(self.num_probes)
        return self._scores_bytes + ranks + sorting
