"""The memory and cost model of resampling: what its passes hold, what fits, what is affordable.

``A`` source graphs, ``B`` target graphs, ``N`` probes, ``P`` map pixels, ``E = N(N-1)/2`` edges,
``R`` resamples in all, ``r`` of a batch, ``S`` sources of a group, ``V`` edges of positive weight.

======================  ====================================================================
all passes              ``2 A B R * 4``: node and edge similarity of every resample
node pass               ``(A + B) * 8192 * 4``: float32 panels
                        ``2 (A + B + 1) n P * 2``: maps of this step and of the next, and decoding
                        ``A B (4 n + 12) + (A + n) R * 4``: cosines of the step, and their sum
edge pass               ``(B + chunk) E * 8``: orders of the targets and of a chunk of sources
                        ``E * 168``: reading and sorting ahead, one graph's places and ties
                        ``r E * 3 * 4``: weights, running sums and ranks of a batch
                        ``r V * (28 + (B + S) * 4)``: places and weights; ranks to multiply
summary                 ``A R * 40 + A B * 200``: one target's resamples, centred, sorted and
                        ranked; intervals and ranks
                        ``B R * 16``: the targets' products with the zoo's mean map
                        ``A B R * 4``: what ranks layers, where that is another sum
directed, gulp          ``A B N * 4`` each: errors; ``M / 4``, or one Gram: those of some targets
                        ``N N * 64``: one source's Grams and the work on them
======================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from depara.graph.edges import edge_count
from depara.similarity.engine.panel import PANEL_COLUMNS
from depara.similarity.engine.stream import EDGE_READ_AHEAD
from depara.uncertainty.edge_batch import rank_dtype
from depara.uncertainty.edge_order import BYTES_PER_EDGE, WORKSPACE_BYTES_PER_EDGE

_BATCH_VALUES = 640_000
"""Edges times resamples of a batch: running sums of one graph fit in a 4 MB share of cache."""

_MIN_BATCH, _MAX_BATCH = 32, 128
"""Resamples of a batch, where memory allows: a row of 128 bytes at least makes gathers cheap."""

_GROUPS = (32, 8, 2, 1)
"""Sources per product: more would not make the product faster."""

_SETUP_GRAPHS = 6
"""Setting up a batch takes about as long as ranking so many graphs."""

_RANKING_BYTES_PER_EDGE = 80
"""One graph's places, and its ties at worst."""

_SUMMARY_BYTES, _RESULT_BYTES, _CENTRED_BYTES = 40, 200, 16
_GRAMS_BYTES = 64

_RANK_S = 1.4e-9
"""Nominal seconds per ranked edge on one core, while a batch fits in cache."""

_CACHED_EDGES = 300_000
_MAX_SLOWDOWN = 1.5
"""Ranking takes twice as long at so many edges, and up to 2.5 times as long."""

_PRODUCT_S = 4e-11
"""Nominal seconds per multiplication on one core."""


@dataclass(frozen=True)
class EdgeSteps:
    """How the edge pass is cut: resamples of a batch, sources of a group and of a chunk."""

    resamples: int
    group: int
    chunk: int


@dataclass(frozen=True)
class FurtherTerms:
    """What is resampled beside nodes and edges: terms, and another sum that ranks layers."""

    directed: bool = False
    gulp: bool = False
    layer_sum: bool = False

    @classmethod
    def of(
        cls, terms: Mapping[str, float], layer_terms: Mapping[str, float] | None
    ) -> FurtherTerms:
        """Returns what weights ask for; ``layer_terms`` is None where the similarity ranks."""
        weights = (*terms.items(), *(layer_terms or {}).items())
        weighted = {name for name, weight in weights if weight}
        return cls("directed" in weighted, "gulp" in weighted, layer_terms is not None)

    def seconds(self, num_sources: int, num_targets: int, *, num_probes: int) -> float:
        """Returns the nominal time of the terms' errors on one core, s, for any resamples."""
        pairs, probes = num_sources * num_targets, float(num_probes)
        multiplications = pairs * probes**3 if self.directed else 0.0
        if self.gulp:
            multiplications += pairs * probes**2 + (num_sources + num_targets) * probes**3
        return _PRODUCT_S * multiplications


@dataclass(frozen=True)
class ResamplingFootprint:
    """Bytes that resampling one block of pairs needs, by its shape and by the weights.

    ``active_edges`` are the numbers of edges of positive weight of each resample, falling;
    ``further`` says what is resampled beside nodes and edges.
    """

    num_sources: int
    num_targets: int
    num_probes: int
    num_pixels: int
    active_edges: tuple[int, ...]
    further: FurtherTerms = FurtherTerms()

    def __post_init__(self) -> None:
        assert min(self.num_sources, self.num_targets, self.num_pixels) >= 1
        assert self.num_probes >= 2
        assert self.active_edges

    @property
    def num_resamples(self) -> int:
        """``R``, the rows of the weights."""
        return len(self.active_edges)

    @property
    def min_bytes(self) -> int:
        """The least limit under which the block can be resampled."""
        smallest = EdgeSteps(resamples=1, group=1, chunk=1)
        return max(self.node_bytes(1), self.edge_bytes(smallest), self._summary_bytes)

    def node_bytes(self, step_probes: int) -> int:
        """Returns what the node pass holds when it reads ``step_probes`` probes at a time."""
        return self._node_fixed_bytes + step_probes * self._bytes_per_probe

    def max_step_probes(self, limit_bytes: int) -> int:
        """Returns how many probes the node pass can read at a time; 0 when not even one fits."""
        free = limit_bytes - self._node_fixed_bytes
        return max(0, min(self.num_probes, free // self._bytes_per_probe))

    def edge_bytes(self, steps: EdgeSteps) -> int:
        """Returns what the edge pass holds when it is cut into ``steps``."""
        edges = edge_count(self.num_probes)
        itemsize = np.dtype(rank_dtype(edges)).itemsize
        ahead = 2 * (EDGE_READ_AHEAD + 1) * 4
        fixed = edges * (ahead + WORKSPACE_BYTES_PER_EDGE + _RANKING_BYTES_PER_EDGE)
        orders = (self.num_targets + steps.chunk) * BYTES_PER_EDGE * edges
        rows = self.num_targets + steps.group
        values = sum(self.active_edges[: steps.resamples]) * (16 + (3 + rows) * itemsize)
        products = 2 * 8 * steps.group * self.num_targets
        batch = steps.resamples * (3 * itemsize * edges + products)
        return self._scores_bytes + fixed + orders + batch + values

    def edge_steps(self, limit_bytes: int) -> EdgeSteps:
        """Returns the cheapest steps that fit; the smallest ones when none do."""
        edges = edge_count(self.num_probes)
        preferred = min(max(_BATCH_VALUES // edges, _MIN_BATCH), _MAX_BATCH, self.num_resamples)
        best, best_cost = EdgeSteps(1, 1, 1), float("inf")
        for halvings in range(preferred.bit_length()):
            for group in _GROUPS:
                resamples = preferred >> halvings
                free = limit_bytes - self.edge_bytes(EdgeSteps(resamples, group, 0))
                chunk = min(self.num_sources, free // (BYTES_PER_EDGE * edges))
                if chunk < 1:
                    continue
                steps = EdgeSteps(resamples, min(group, chunk), chunk)
                cost = self.edge_cost(steps)
                if cost < best_cost:
                    best, best_cost = steps, cost
        return best

    def edge_cost(self, steps: EdgeSteps) -> float:
        """Returns the time of the edge pass in graphs ranked, small steps costing more."""
        chunks = -(-self.num_sources // steps.chunk)
        ranked = self.num_sources + chunks * (self.num_targets + _SETUP_GRAPHS)
        return ranked * (1 + 4 / steps.resamples) * (1 + 0.5 / steps.group)

    @property
    def _scores_bytes(self) -> int:
        return 2 * 4 * self.num_sources * self.num_targets * self.num_resamples

    @property
    def _summary_bytes(self) -> int:
        per_target = _SUMMARY_BYTES * self.num_resamples + _RESULT_BYTES * self.num_targets
        centred = _CENTRED_BYTES * self.num_resamples * self.num_targets
        summary = self.num_sources * per_target + centred
        if self.further.layer_sum:
            summary += self._scores_bytes // 2
        num_errors = self.further.directed + self.further.gulp
        if not num_errors:
            return self._scores_bytes + summary
        errors = num_errors * 4 * self.num_sources * self.num_targets * self.num_probes
        grams = (4 + _GRAMS_BYTES) * self.num_probes**2
        # The Grams of a group of targets take a quarter of the limit at most.
        return (self._scores_bytes + errors + max(summary, grams)) * 4 // 3

    @property
    def _node_fixed_bytes(self) -> int:
        panels = 4 * min(PANEL_COLUMNS, self.num_pixels) * (self.num_sources + self.num_targets)
        sums = 12 * self.num_sources * self.num_targets + 4 * self.num_sources * self.num_resamples
        return self._scores_bytes + panels + sums

    @property
    def _bytes_per_probe(self) -> int:
        maps = 2 * (self.num_sources + self.num_targets + 1) * 2 * self.num_pixels
        return maps + 4 * self.num_sources * self.num_targets + 4 * self.num_resamples


def resampling_seconds(
    num_sources: int, num_targets: int, *, num_probes: int, num_resamples: int
) -> float:
    """Returns the nominal time of resampling a block on one core, s; reading and maps left out.

    A model of the cost on a current core, not a measurement: the same on every machine, so that
    what depends on it is the same too.
    """
    edges = edge_count(num_probes)
    rank_s = _RANK_S * (1 + min(edges / _CACHED_EDGES, _MAX_SLOWDOWN))
    ranks = (num_sources + num_targets) * edges
    # 40 % of the edges have both probes in a bootstrap resample: (1 - 1/e)^2.
    products = num_sources * num_targets * (0.4 * edges + num_probes)
    return num_resamples * (rank_s * ranks + _PRODUCT_S * products)


def affordable_resamples(
    num_sources: int,
    num_targets: int,
    *,
    num_probes: int,
    budget_s: float,
    most: int = 1000,
    least: int = 100,
) -> int:
    """Returns how many bootstrap resamples fit in a time budget: ``least <= count <= most``.

    Rounded down to two significant digits. By the nominal `resampling_seconds`, hence the same on
    every machine.

    Args:
        num_sources: ``A``.
        num_targets: ``B``.
        num_probes: ``N``.
        budget_s: nominal seconds on one core.
        most: as many as are worth having: 1,000.
        least: fewer make 5 % and 95 % quantiles too rough; it may exceed the budget.
    """
    assert 1 <= least <= most
    one_s = resampling_seconds(num_sources, num_targets, num_probes=num_probes, num_resamples=1)
    count = int(min(budget_s / one_s, most)) if budget_s > 0 else 0
    scale = 10 ** max(0, len(str(count)) - 2)
    return max(least, count // scale * scale if count < most else most)
