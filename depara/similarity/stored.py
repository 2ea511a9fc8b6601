"""Committed graphs as the blocks that tiles read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from depara.errors import DeparaError
from depara.grams import GraphGrams
from depara.graph import rank_vector
from depara.similarity.scores import defined_scores, score_vectors
from depara.store.graphs import CommittedGraph, open_graph
from depara.store.storage import Storage
from depara.types import Float16, Float32, ProbeRange

NUMERIC_ERRORS = (DeparaError, ValueError, ArithmeticError)
"""What numbers that cannot be compared raise; `numpy.linalg.LinAlgError` is a ValueError."""

_LONGEST_MAP = 1.01
"""float16 leaves the norm of a map off 1 by up to 1e-3."""

_READS_AT_ONCE = 4
"""Hides the latency of an object store; decoding itself is bound by the CPU."""

_OPENED_TOGETHER = 16
"""Markers that a thread reads before it says so."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class GraphRef:
    """One graph as the reducer knows it."""

    model_id: str
    layer: str
    depth: int
    key: str
    is_output: bool
    null_of: str | None = None

    @property
    def is_ranked(self) -> bool:
        """Whether it stands for its model in the rankings: an output graph of no random twin."""
        return self.is_output and not self.null_of


def graph_refs(
    layers: Iterable[Mapping[str, Any]], models: Iterable[Mapping[str, Any]]
) -> tuple[GraphRef, ...]:
    """Returns the graphs of a scan, in the order of its ``layers`` table.

    Args:
        layers: rows of that table.
        models: rows of the ``models`` table.

    Raises:
        KeyError: a layer is of no model.
    """
    null_of = {row["model_id"]: row["null_of"] for row in models}
    return tuple(
        GraphRef(
            row["model_id"],
            row["layer"],
            row["depth"],
            row["graph_key"],
            row["is_output"],
            null_of[row["model_id"]],
        )
        for row in layers
    )


class StoredBlock:
    """Some committed graphs, read range by range for `similarity_tile`."""

    def __init__(self, graphs: Sequence[CommittedGraph]) -> None:
        self._graphs = list(graphs)

    @property
    def num_graphs(self) -> int:
        """Number of graphs in the block."""
        return len(self._graphs)

    @property
    def num_pixels(self) -> int:
        """Pixels of one map."""
        return self._graphs[0].marker.num_pixels

    def ranges(self) -> Sequence[ProbeRange]:
        """Probe ranges of the node files, those of the graph with the fewest files."""
        return min((graph.marker.ranges for graph in self._graphs), key=len)

    def read_maps(self, probes: ProbeRange, graphs: slice) -> list[Float16]:
        """Returns one (n, P) float16 array per graph of the slice, read side by side."""

        def read(some: Sequence[CommittedGraph]) -> list[Float16]:
            return [read_range(graph, probes) for graph in some]

        wanted = self._graphs[graphs]
        stretches = _stretches(wanted, -(-len(wanted) // _READS_AT_ONCE))
        return list(chain.from_iterable(self._readers.map(read, stretches)))

    @cached_property
    def _readers(self) -> ThreadPoolExecutor:
        """Threads that end with the block: to start some for each call costs as much as a read."""
        return ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="depara-read")

    def read_edges(self, graph: int) -> Float32:
        """Returns the cosines (E,) of one graph."""
        return self._graphs[graph].read_edges()

    def read_grams(self, graph: int) -> GraphGrams:
        """Returns the Grams of one graph."""
        return self._graphs[graph].read_grams()


def read_range(graph: CommittedGraph, probes: ProbeRange) -> Float16:
    """Returns the maps of any probe range, whatever ranges the graph's files have."""
    if probes in graph.marker.ranges:
        return graph.read_maps(probes)
    parts = []  # copies, so that a slice does not keep the whole range alive
    for stored in graph.marker.ranges:
        start, stop = max(stored.start, probes.start), min(stored.stop, probes.stop)
        if start < stop:
            parts.append(graph.read_maps(stored)[start - stored.start : stop - stored.start])
    return np.concatenate(parts)


def open_graphs(storage: Storage, graphs: Sequence[GraphRef]) -> list[CommittedGraph]:
    """Returns committed graphs, their markers read side by side."""

    def read(some: Sequence[GraphRef]) -> list[CommittedGraph]:
        return [open_graph(storage, graph.key) for graph in some]

    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        opened = pool.map(read, _stretches(graphs, _OPENED_TOGETHER))
        return list(chain.from_iterable(opened))


def _stretches(values: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """Cuts some values at every ``size``: handing one over costs a thread as much as a marker."""
    return [values[start : start + size] for start in range(0, len(values), max(size, 1))]


def check_graph(graph: CommittedGraph, scores: Sequence[str]) -> None:
    """Does with one graph alone what a comparison does with it.

    Scores that need more probes than it has are left out, as there.

    Raises:
        DeparaError, ValueError, ArithmeticError: it cannot be compared.
    """
    for probes in graph.marker.ranges:
        norms_n = np.linalg.norm(graph.read_maps(probes).astype(np.float64), axis=1)
        if not (norms_n <= _LONGEST_MAP).all():
            raise ValueError(f"maps of probes {probes} are not of unit norm, or not finite")
    rank_vector(graph.read_edges())
    if scores:
        grams = graph.read_grams()
        for name in defined_scores(scores, grams.num_probes):
            for role in ("source", "target"):
                score_vectors(name, grams, role)
