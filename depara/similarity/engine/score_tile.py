"""The neighbour scores of one tile: every pair of two blocks of graphs, in bounded memory.

``A`` source graphs, ``B`` target graphs, ``V`` values of a score's vector, ``N`` probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from depara.catalog import SCORES
from depara.grams import GraphGrams
from depara.similarity.scores import Role, find_vectors, score_block, score_vectors
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
) -> dict[str, Float64]:
    """Returns every named score of every (source, target) pair: float64 ``(A, B)`` by name.

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
    scores = {name: np.full(shape, np.nan) for name in names}
    defined = [name for name in names if num_probes >= SCORES[name].min_probes]
    if not defined:
        return scores
    group = _group_size(defined, num_probes, memory_bytes)
    for targets, target_vectors in _groups(defined, read_targets, num_targets, group, "target"):
        for sources, source_vectors in _groups(defined, read_sources, num_sources, group, "source"):
            for name in defined:
                scores[name][sources, targets] = score_block(
                    name, source_vectors[name], target_vectors[name]
                )
    return scores


def _group_size(names: Sequence[str], num_probes: int, memory_bytes: int) -> int:
    """Graphs of one group: two groups of vectors beside the work on one graph."""
    vectors_bytes = 4 * sum(find_vectors(name).length(num_probes) for name in names)
    work_bytes = _WORK_MATRICES * num_probes**2 * 8
    return max(1, (memory_bytes - work_bytes) // (2 * vectors_bytes))


def _groups(
    names: Sequence[str], read: GramsReader, count: int, size: int, role: Role
) -> Iterator[tuple[slice, dict[str, Float32]]]:
    """Yields which graphs, and their vectors of each score: one row per graph."""
    for start in range(0, count, size):
        graphs = range(start, min(start + size, count))
        rows: dict[str, Float32] = {}
        for place, graph in enumerate(graphs):
            grams = read(graph)
            for name in names:
                vector = score_vectors(name, grams, role)
                if name not in rows:
                    rows[name] = np.empty((len(graphs), vector.size), dtype=np.float32)
                rows[name][place] = vector
        yield slice(graphs.start, graphs.stop), rows
