"""The cosines of a new model's maps with a zoo's, probe by probe: each map is read once.

Their mean over the probes is the node similarity, and any weighting of the probes is one product,
so that the intervals need no map again.

``A`` graphs of the zoo (equal ones once), ``B`` of them output graphs, ``L`` layers of the model,
``N`` probes, ``n`` of a step, ``P`` map pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from depara.query.own import OwnModel
from depara.query.progress import Progress
from depara.query.zoo import Zoo
from depara.similarity.engine.blocks import common_steps
from depara.similarity.engine.panel import PANEL_COLUMNS
from depara.similarity.engine.preflight import check_blocks, check_maps
from depara.similarity.engine.products import node_similarity
from depara.similarity.stored import GraphRef, StoredBlock, read_range
from depara.store.graphs import CommittedGraph
from depara.types import Float16, Float32, Float64, ProbeRange
from depara.uncertainty.node_cosines import check_cosines, node_cosines

Graphs = Mapping[str, CommittedGraph]
"""Open graphs by key."""

_GROUPS = (32, 16, 8, 4, 2, 1)
"""Graphs per product: fewer convert the model's own maps more often, more do not help."""

_KEPT_SHARE = 1 / 4
"""Of the memory, for the outputs' cosines among each other; and for their maps, in a step."""


@dataclass(frozen=True)
class QueryCosines:
    """Cosines probe by probe, float32: zoo with model ``A L N``, and outputs of the zoo ``B B N``.

    Graphs are told apart by their keys, whose places the three mappings give. ``outputs_BBN`` is
    None where memory did not suffice, or nobody asked.
    """

    own_ALN: Float32
    outputs_BBN: Float32 | None
    place_A: Mapping[str, int]
    place_L: Mapping[str, int]
    place_B: Mapping[str, int]

    def node_similarity(self, sources: Sequence[GraphRef], targets: Sequence[GraphRef]) -> Float64:
        """Returns ``s_V`` (Song et al., CVPR 2020, Eq. 5) of graphs of the zoo and of the model."""
        rows = [self.place_A[ref.key] for ref in sources]
        columns = [self.place_L[ref.key] for ref in targets]
        sums_AL = self.own_ALN.sum(axis=2, dtype=np.float64)
        node_AL = node_similarity(sums_AL, self.own_ALN.shape[2])[np.ix_(rows, columns)]
        return np.clip(node_AL, -1.0, 1.0)  # float16 maps may be longer than 1

    def of_pairs(self, sources: Sequence[GraphRef], targets: Sequence[GraphRef]) -> Float32 | None:
        """Returns the cosines of all pairs, ``(sources, targets, N)``; None where one is unknown.

        Args:
            sources: graphs of the zoo or of the model.
            targets: likewise.
        """
        found = [[self._of_pair(row.key, column.key) for column in targets] for row in sources]
        cosines = np.empty((len(sources), len(targets), self.own_ALN.shape[2]), dtype=np.float32)
        for place, row in enumerate(found):
            for other, cosine_N in enumerate(row):
                if cosine_N is None:
                    return None
                cosines[place, other] = cosine_N
        return cosines

    def _of_pair(self, source: str, target: str) -> Float32 | None:
        for one, other in ((source, target), (target, source)):
            if one in self.place_A and other in self.place_L:
                cosine_N: Float32 = self.own_ALN[self.place_A[one], self.place_L[other]]
                return cosine_N
        if self.outputs_BBN is None or not {source, target} <= self.place_B.keys():
            return None
        between_N: Float32 = self.outputs_BBN[self.place_B[source], self.place_B[target]]
        return between_N


@dataclass(frozen=True)
class CosineFootprint:
    """Bytes that reading the cosines takes.

    ======================  ==================================================================
    all along               ``A L N * 4``, and ``B B N * 4`` where outputs are held
    a step                  ``resident n P * 2``: maps of the model, and of outputs where held
    each worker             ``2 group n P * 2``: maps of a group, and decoding them
                            ``(group + resident) (16384 + n) * 4``: float32 panels, cosines
    ======================  ==================================================================
    """

    num_graphs: int
    num_layers: int
    num_outputs: int
    num_probes: int
    num_pixels: int
    workers: int

    @property
    def min_bytes(self) -> int:
        """The least limit: one probe, one graph at a time, no outputs held."""
        return self.step_bytes(1, 1, with_outputs=False)

    def step_bytes(self, group: int, step_probes: int, *, with_outputs: bool) -> int:
        """Returns what is held with groups and steps of these sizes."""
        outputs = self.num_outputs if with_outputs else 0
        resident = self.num_layers + outputs
        kept = self.num_graphs * self.num_layers + outputs**2
        maps = (resident + self.workers * 2 * group) * step_probes * self.num_pixels * 2
        columns = min(PANEL_COLUMNS, self.num_pixels) + step_probes
        panels = self.workers * (group + resident) * columns * 4 + outputs**2 * step_probes * 4
        return kept * self.num_probes * 4 + maps + panels

    def holds_outputs(self, limit_bytes: int, range_probes: int) -> bool:
        """Whether outputs' maps of a whole range, and all their cosines, take but a small part."""
        maps = self.num_outputs * range_probes * self.num_pixels * 2
        cosines = self.num_outputs**2 * self.num_probes * 4
        return max(maps, cosines) <= _KEPT_SHARE * limit_bytes

    def steps(self, limit_bytes: int, range_probes: int, *, with_outputs: bool) -> tuple[int, int]:
        """Returns graphs of a group and probes of a step: whole ranges if possible."""
        for group in _GROUPS:
            if self.step_bytes(group, range_probes, with_outputs=with_outputs) <= limit_bytes:
                return group, range_probes
        step = range_probes
        while step > 1 and self.step_bytes(1, step, with_outputs=with_outputs) > limit_bytes:
            step = -(-step // 2)
        return 1, step


def read_cosines(
    own: OwnModel,
    zoo: Zoo,
    graphs: Graphs,
    memory_bytes: int,
    workers: int,
    on_progress: Progress,
    *,
    with_outputs: bool,
) -> QueryCosines:
    """Returns the cosines of every graph of the zoo with every layer of the model.

    Args:
        own: the model.
        zoo: the zoo.
        graphs: the graphs of both.
        memory_bytes: limit of what this allocates.
        workers: threads side by side. BLAS threads are the caller's to set: one is best.
        on_progress: told of the graphs read.
        with_outputs: also those of the output graphs of the zoo with each other, if they fit.

    Raises:
        ConfigError: it does not fit in ``memory_bytes``.
        StoreError: ranges do not cover the probes, or maps are not of unit norm.
    """
    place_L = _places(own.refs)
    place_B = _places(zoo.outputs)
    rest = [key for key in _places(zoo.graphs) if key not in place_B]
    place_A = {key: place for place, key in enumerate((*place_B, *rest))}
    blocks = [StoredBlock([graphs[key] for key in keys]) for keys in (place_A, place_L)]
    footprint = CosineFootprint(
        len(place_A), len(place_L), len(place_B), zoo.num_probes, zoo.num_pixels, workers
    )
    what = f"a query of {len(place_L)} layers among {len(place_A)} graphs"
    check_blocks(blocks[0], blocks[1], footprint, memory_bytes, what, "name fewer `layers`")
    range_probes = max(map(len, blocks[0].ranges()))
    with_outputs = with_outputs and footprint.holds_outputs(memory_bytes, range_probes)
    group, step = footprint.steps(memory_bytes, range_probes, with_outputs=with_outputs)
    found = QueryCosines(
        np.empty((len(place_A), len(place_L), zoo.num_probes), dtype=np.float32),
        np.empty((len(place_B),) * 2 + (zoo.num_probes,), np.float32) if with_outputs else None,
        place_A,
        place_L,
        place_B,
    )
    steps = common_steps(
        *(block.ranges() for block in blocks), num_probes=zoo.num_probes, max_probes=step
    )
    with ThreadPoolExecutor(workers) as pool:
        for probes in steps:
            reader = _Reader(graphs, probes, zoo.num_pixels)
            counts = _fill(found, reader, group, pool)
            for done in accumulate(counts, initial=0):
                share = (probes.start + len(probes) * done / len(place_A)) / zoo.num_probes
                on_progress("comparing", int(share * len(place_A)), len(place_A))
    return found


def _places(refs: Sequence[GraphRef]) -> dict[str, int]:
    return {key: place for place, key in enumerate(dict.fromkeys(ref.key for ref in refs))}


@dataclass(frozen=True)
class _Reader:
    """Reads one probe range of any graph, checked."""

    graphs: Graphs
    probes: ProbeRange
    num_pixels: int

    def __call__(self, item: tuple[str, int]) -> Float16:
        """Returns the maps ``(n, P)`` of a graph, by its key and its place for messages."""
        key, place = item
        maps_nP = read_range(self.graphs[key], self.probes)
        check_maps(maps_nP, place, self.probes, self.num_pixels)
        return maps_nP


def _fill(
    found: QueryCosines, read: _Reader, group: int, pool: ThreadPoolExecutor
) -> Iterator[int]:
    """Writes the cosines of one probe range; yields how many graphs each of the groups had."""
    own = list(pool.map(read, found.place_L.items()))
    held = [] if found.outputs_BBN is None else list(pool.map(read, found.place_B.items()))
    items = list(found.place_A.items())  # outputs first
    cuts = [*range(0, len(held), group), *range(len(held), len(items), group), len(items)]
    columns = slice(read.probes.start, read.probes.stop)

    def product(cut: tuple[int, int]) -> int:
        rows = slice(*cut)
        if cut[0] >= len(held):
            cosines = node_cosines([read(item) for item in items[rows]], own)
        else:
            cosines = node_cosines(held[rows], [*own, *held])
            assert found.outputs_BBN is not None
            found.outputs_BBN[rows, :, columns] = cosines[:, len(own) :]
        check_cosines(cosines, read.probes)
        found.own_ALN[rows, :, columns] = cosines[:, : len(own)]
        return cut[1] - cut[0]

    return pool.map(product, pairwise(cuts))
