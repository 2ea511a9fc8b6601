"""The neighbour scores of one tile: every pair of two blocks of graphs, in bounded memory.

``A`` source graphs, ``B`` target graphs, ``V`` values of a score's vector, ``N`` probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from depara.catalog import z_column
from depara.grams import GraphGrams
from depara.similarity.mantel import Moments, moments, z_scores
from depara.similarity.scores import (
    Role,
    defined_scores,
    find_vectors,
    score_and_product,
    score_vectors,
)
from depara.types import Float32, Float64

GramsReader = Callable[[int], GraphGrams]
"""Reads the Grams of one graph of a block, by its place in the block."""

_WORK_MATRICES = 8
"""Float64 ``N x N`` matrices that one graph's Grams and the work on them take."""


def score_tile(
    names: Sequence[str],
    read_sources: GramsReader,
    num_sources: int,
    read_targets: GramsReader,
    num_targets: int,
    *,
    num_probes: int,
    memory_bytes: int,
) -> dict[str, Float64 | Float32]:
    """Returns every named score of every (source, target) pair, and how far it is from chance.

    Scores are float64 ``(A, B)`` by name, their z float32 ``(A, B)`` by `z_column` of it.

    Blocks are cut into groups whose vectors of all scores fit the memory. The targets' groups are
    outside: their vectors are made once, the sources' once for each group of targets. A score
    that needs more probes than there are is NaN throughout.

    Args:
        names: keys of `depara.catalog.SCORES`.
        read_sources: Grams of one source.
        num_sources: ``A``.
        read_targets: Grams of one target.
        num_targets: ``B``.
        num_probes: ``N``.
        memory_bytes: limit of what this call allocates, as far as one graph at a time allows.
    """
    shape = (num_sources, num_targets)
    scores: dict[str, Float64 | Float32] = {name: np.full(shape, np.nan) for name in names}
    scores |= {z_column(name): np.full(shape, np.nan, np.float32) for name in names}
    defined = defined_scores(names, num_probes)
    if not defined:
        return scores
    size = _group_size(defined, num_probes, memory_bytes)
    made = partial(_groups, defined, num_probes, size)
    for columns, targets in made(read_targets, num_targets, "target"):
        for rows, sources in made(read_sources, num_sources, "source"):
            for name in defined:
                source, target = sources[name], targets[name]
                values, products = score_and_product(name, source.vectors, target.vectors)
                scores[name][rows, columns] = values
                if source.moments and target.moments:
                    z = z_scores(products, source.moments, target.moments)
                    scores[z_column(name)][rows, columns] = z
    return scores


@dataclass
class _Rows:
    """A group's vectors of one score, one row per graph, and their moments, where they have any."""

    vectors: Float32
    moments: list[Moments]


def _group_size(names: Sequence[str], num_probes: int, memory_bytes: int) -> int:
    """Graphs of one group: two groups of vectors beside the work on one graph."""
    vectors_bytes = 4 * sum(find_vectors(name).layout.length(num_probes) for name in names)
    work_bytes = _WORK_MATRICES * num_probes**2 * 8
    return max(1, (memory_bytes - work_bytes) // (2 * vectors_bytes))


def _groups(
    names: Sequence[str], num_probes: int, size: int, read: GramsReader, count: int, role: Role
) -> Iterator[tuple[slice, dict[str, _Rows]]]:
    """Yields which graphs, and what they have of each score."""
    for start in range(0, count, size):
        graphs = range(start, min(start + size, count))
        rows: dict[str, _Rows] = {}
        for place, graph in enumerate(graphs):
            grams = read(graph)
            for name in names:
                vector = score_vectors(name, grams, role)
                if name not in rows:
                    empty = np.empty((len(graphs), vector.size), dtype=np.float32)
                    rows[name] = _Rows(empty, [])
                rows[name].vectors[place] = vector
        for name, of_score in rows.items():
            of_score.moments = moments(of_score.vectors, find_vectors(name).layout, num_probes)
        yield slice(graphs.start, graphs.stop), rows
