"""The sketch of a committed graph: read from beside it, or made of its files and left there.

``N`` probes, ``n`` of a range, ``P`` map pixels, ``V`` values of a vector of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from depara.errors import StorageUnavailableError, StoreError
from depara.graph import rank_vector
from depara.similarity.scores import defined_scores, score_vectors
from depara.similarity.sketches import (
    MAP_CELLS,
    Places,
    map_places,
    pair_places,
    probe_groups,
    probe_seeds,
    sketch_maps,
    sketch_vector,
)
from depara.store.graphs import CommittedGraph
from depara.store.sketches import ROW_CELLS, Cells, GraphSketch, read_sketch, write_sketch
from depara.types import Float32, Float64

EDGE, DIRECTED_SOURCE, DIRECTED_TARGET = "edge", "directed_source", "directed_target"
"""The vectors of pairs of a sketch."""

_STEP_VALUES = 2**22
_LONGEST_MAP = 1.01
"""float16 leaves the norm of a map off 1 by up to 1e-3."""


@dataclass(frozen=True)
class ProbeCells:
    """Cells and signs of a probe set: the same for all graphs on it, as large as one of them."""

    probe_ids: tuple[str, ...]
    num_pixels: int

    def prepare(self) -> None:
        """Computes all of them, before threads would, each for itself."""
        _ = self.groups_N, self.maps_NP, self.edges_V, self.matrices_V

    @cached_property
    def groups_N(self) -> NDArray[np.int64]:
        """Which part of the first cut each probe is added to."""
        return probe_groups(self.probe_ids)

    @cached_property
    def maps_NP(self) -> Places:
        """Of the pixels of each probe's map."""
        return map_places(probe_seeds(self.probe_ids), self.num_pixels)

    @cached_property
    def edges_V(self) -> Places:
        """Of the edges."""
        return pair_places(probe_seeds(self.probe_ids), with_diagonal=False)

    @cached_property
    def matrices_V(self) -> Places:
        """Of condensed matrices, whose places are pairs of probes."""
        return pair_places(probe_seeds(self.probe_ids), with_diagonal=True)


@dataclass(frozen=True)
class Found:
    """A sketch, whether it was made now, and why it could not be kept, if so."""

    sketch: GraphSketch
    is_new: bool = False
    not_kept: str = ""


def sketch_of(graph: CommittedGraph, cells: ProbeCells) -> Found:
    """Returns the sketch of a graph; one that is not there is made, and left there.

    Who may only read the output gets it all the same.

    Raises:
        DamagedGraphError: a file of the graph is missing or not what was committed.
        ValueError, ArithmeticError: its numbers cannot be compared.
        StorageUnavailableError: the storage does not answer.
    """
    found = read_sketch(graph.storage, graph.marker)
    if found is not None:
        return Found(found)
    made = make_sketch(graph, cells)
    try:
        write_sketch(graph.storage, graph.marker, made)
    except StorageUnavailableError:
        raise
    except StoreError as error:
        return Found(made, True, str(error))
    return Found(made, True)


def make_sketch(graph: CommittedGraph, cells: ProbeCells) -> GraphSketch:
    """Returns the sketch of a graph, made of its maps, edges and Grams.

    Raises:
        DamagedGraphError: a file of the graph is missing or not what was committed.
        ValueError, ArithmeticError: its numbers cannot be compared.
    """
    maps_NK, squares_N = _sketched_maps(graph, cells)
    vectors = {EDGE: rank_vector(graph.read_edges())}
    if defined_scores(["directed"], graph.marker.num_probes):
        grams = graph.read_grams()
        vectors[DIRECTED_SOURCE] = score_vectors("directed", grams, "source")
        vectors[DIRECTED_TARGET] = score_vectors("directed", grams, "target")
    sketched = {
        name: Cells.of(
            sketch_vector(vector_V, cells.edges_V if name == EDGE else cells.matrices_V).reshape(
                -1, ROW_CELLS
            )
        )
        for name, vector_V in vectors.items()
    }
    norms = {name: float(np.linalg.norm(vector_V)) for name, vector_V in vectors.items()}
    sketch = GraphSketch(Cells.of(maps_NK), sketched, norms, {})
    errors = {"node": float((sketch.maps.floats() ** 2).sum(axis=1).mean() - squares_N.mean())}
    pairs = {"edge": (EDGE, EDGE), "directed": (DIRECTED_SOURCE, DIRECTED_TARGET)}
    for term, (source, target) in pairs.items():
        if source in vectors:
            exact = _product(vectors[source], vectors[target])
            errors[term] = _product(sketch.vector(source), sketch.vector(target)) - exact
    return GraphSketch(sketch.maps, sketched, norms, errors)


def _sketched_maps(graph: CommittedGraph, cells: ProbeCells) -> tuple[Float64, Float64]:
    """The cells ``(N, K)`` of all maps, and the squares of their norms ``(N,)``."""
    marker = graph.marker
    maps_NK, squares_N = np.empty((marker.num_probes, MAP_CELLS)), np.empty(marker.num_probes)
    step = max(1, _STEP_VALUES // marker.num_pixels)
    for probes in marker.ranges:
        maps_nP = graph.read_maps(probes)
        for start in range(0, len(probes), step):
            some = maps_nP[start : start + step].astype(np.float32)
            rows = slice(probes.start + start, probes.start + start + len(some))
            squares_N[rows] = np.einsum("np,np->n", some, some)
            if not (squares_N[rows] <= _LONGEST_MAP**2).all():
                raise ValueError(f"maps of probes {probes} are not of unit norm, or not finite")
            maps_NK[rows] = sketch_maps(some, cells.maps_NP[rows])
    return maps_NK, squares_N


def _product(one: Float32, other: Float32) -> float:
    return float(one.astype(np.float64) @ other.astype(np.float64))


def check_probes(graph: CommittedGraph, probe_ids: Sequence[str], num_pixels: int) -> None:
    """Raises ValueError where a graph is of other probes or maps than the scan."""
    marker = graph.marker
    if (marker.num_probes, marker.num_pixels) != (len(probe_ids), num_pixels):
        raise ValueError("is of other probes or maps")
