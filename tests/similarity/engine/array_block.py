"""Graphs held in arrays, read like files: every read copies, and is written down."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from depara.grams import GraphGrams
from depara.graph import edges_from_gram
from depara.types import Float16, Float32, Float64, ProbeRange
from tests.oracle.grams import grams_of
from tests.oracle.similarity import unit_maps


class ArrayBlock:
    """A `GraphBlock` over ``maps_GNP`` float16 and ``edges_GE`` float32."""

    def __init__(
        self,
        maps_GNP: Float16,
        edges_GE: Float32,
        *,
        cuts: Sequence[int] | None = None,
        features_GND: Float64 | None = None,
    ) -> None:
        self.maps_GNP, self.edges_GE, self.features_GND = maps_GNP, edges_GE, features_GND
        bounds = [0, *(cuts or ()), maps_GNP.shape[1]]
        self._ranges = [ProbeRange(a, b) for a, b in pairwise(bounds)]
        self.maps_read: list[tuple[ProbeRange, int]] = []
        self.edges_read: list[int] = []

    @property
    def num_graphs(self) -> int:
        return len(self.maps_GNP)

    @property
    def num_pixels(self) -> int:
        return self.maps_GNP.shape[2]

    def ranges(self) -> list[ProbeRange]:
        return self._ranges

    def read_maps(self, probes: ProbeRange, graphs: slice) -> list[Float16]:
        self.maps_read += [(probes, graph) for graph in range(*graphs.indices(self.num_graphs))]
        return [maps[probes.start : probes.stop].copy() for maps in self.maps_GNP[graphs]]

    def read_edges(self, graph: int) -> Float32:
        self.edges_read.append(graph)
        return self.edges_GE[graph].copy()

    def read_grams(self, graph: int) -> GraphGrams:
        assert self.features_GND is not None
        return grams_of(self.features_GND[graph])

    def part(self, graphs: slice | Sequence[int], cuts: Sequence[int] | None = None) -> ArrayBlock:
        features_GND = None if self.features_GND is None else self.features_GND[graphs]
        maps_GNP, edges_GE = self.maps_GNP[graphs], self.edges_GE[graphs]
        return ArrayBlock(maps_GNP, edges_GE, cuts=cuts, features_GND=features_GND)


def random_block(num_graphs: int, num_probes: int, num_pixels: int, seed: int = 0) -> ArrayBlock:
    """Graphs that resemble each other to different degrees, some with zero maps and features."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((num_probes, num_pixels))
    shared_features = rng.standard_normal((num_probes, 8))
    maps, edges, every = [], [], []
    for _ in range(num_graphs):
        weight = rng.random()
        raw = weight * shared + rng.standard_normal(shared.shape)
        raw[rng.random(num_probes) < 0.1] = 0.0
        maps.append(unit_maps(raw))
        features = weight * shared_features + rng.standard_normal(shared_features.shape)
        features[rng.random(num_probes) < 0.05] = 0.0  # several edges of 0: ties
        edges.append(edges_from_gram(features @ features.T))
        every.append(features)
    return ArrayBlock(np.stack(maps), np.stack(edges), features_GND=np.stack(every))
