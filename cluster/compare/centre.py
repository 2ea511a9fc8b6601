"""The centre of the zoo as tasks: the mean map of its output graphs, and how all graphs lie to it.

Two rounds over the maps, in chunks of graphs for each range of probes: sums of the output graphs'
maps, then every graph's products with their mean. The driver passes references alone.

``G`` graphs, ``n`` probes of a range, ``P`` map pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from cluster.compare.pairs import Reduction
from cluster.compare.unusable import failure_of_graphs
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Ref
from cluster.pool.tasks import TaskFailure, follow, merge_failures
from depara.errors import StoreError
from depara.similarity.centre import Centre, map_sums, products_with
from depara.similarity.centre_table import centre_of_table
from depara.similarity.engine.stream import READ_GRAPHS
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef, StoredBlock, check_graph, open_graphs
from depara.store.scans import read_table
from depara.store.storage import Storage
from depara.types import Float32, ProbeRange

_Found = TypeVar("_Found")

_BYTES_PER_VALUE = 8 + 2 * 2 * READ_GRAPHS
"""The mean and one graph's maps in float32, and those that are read together and their decoding."""


@dataclass(frozen=True)
class KnownCentre:
    """The ``centre`` table of an earlier scan of the same output graphs that has all graphs.

    ``rows`` are the graphs' places in it, ``fact`` what that scan's manifest says of it.
    """

    scan_id: str
    fact: dict[str, Any]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """What one task found: products of some graphs, by their places, over some probes."""

    places: tuple[int, ...]
    probes: ProbeRange
    cosines_Gn: Float32
    squares_Gn: Float32


def measure_centre(reduction: Reduction, known: KnownCentre | None, context: ScanContext) -> Ref:
    """Returns a reference to the `Centre` of all sources, or to a `TaskFailure`.

    Raises:
        ScanInterruptedError: a stop was requested.
    """
    launcher, output = context.launcher, context.storage.root
    is_ranked = tuple(graph.is_ranked for graph in reduction.sources)
    if known is not None:
        return launcher.submit(_read_centre, output, known, is_ranked)
    workers = launcher.capacity()
    places = tuple(range(len(reduction.sources)))
    ranked = [place for place in places if is_ranked[place]]
    of_outputs, of_all = _chunks(ranked, workers), _chunks(places, workers)
    ranges = _ranges(reduction)
    num_tasks = len(ranges) * (len(of_outputs) + len(of_all))
    context.reporter.phase("mean map", num_tasks, "tasks")
    refs: list[Ref] = []
    for probes in ranges:
        sums = [
            launcher.submit(sum_maps, output, _refs(reduction, chunk), probes)
            for chunk in of_outputs
        ]
        parts = [
            launcher.submit(
                multiply_maps, output, _refs(reduction, chunk), chunk, probes, len(ranked), *sums
            )
            for chunk in of_all
        ]
        follow([*sums, *parts], context)
        refs += parts
    return launcher.submit(_joined, len(places), reduction.num_probes, is_ranked, *refs)


def sum_maps(output: str, graphs: Sequence[GraphRef], probes: ProbeRange) -> Float32 | TaskFailure:
    """Returns the sum of some graphs' maps ``(n, P)``, or the error as data."""
    return _of_block(output, graphs, lambda block: map_sums(block, probes))


def multiply_maps(
    output: str,
    graphs: Sequence[GraphRef],
    places: tuple[int, ...],
    probes: ProbeRange,
    num_ranked: int,
    *sums: Float32 | TaskFailure,
) -> _Part | TaskFailure:
    """Returns some graphs' products with the mean of the summed maps, or the error as data."""
    failure = merge_failures(sums)
    if failure is not None:
        return failure
    mean_nP = np.sum([one for one in sums if not isinstance(one, TaskFailure)], axis=0)
    mean_nP /= np.float32(num_ranked)

    def products(block: StoredBlock) -> _Part:
        return _Part(places, probes, *products_with(block, probes, mean_nP))

    return _of_block(output, graphs, products)


def _of_block(
    output: str, graphs: Sequence[GraphRef], compute: Callable[[StoredBlock], _Found]
) -> _Found | TaskFailure:
    storage = Storage(output)
    try:
        return compute(StoredBlock(open_graphs(storage, graphs)))
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(error, storage, graphs, lambda graph: check_graph(graph, ()))


def _joined(
    num_graphs: int, num_probes: int, is_ranked: Sequence[bool], *parts: _Part | TaskFailure
) -> Centre | TaskFailure:
    failure = merge_failures(parts)
    if failure is not None:
        return failure
    cosines_GN = np.full((num_graphs, num_probes), np.nan, np.float32)
    squares_GN = np.full_like(cosines_GN, np.nan)
    for part in parts:
        assert isinstance(part, _Part)
        rows, columns = list(part.places), slice(part.probes.start, part.probes.stop)
        cosines_GN[rows, columns] = part.cosines_Gn
        squares_GN[rows, columns] = part.squares_Gn
    assert np.isfinite(cosines_GN).all()
    return Centre.of_zoo(cosines_GN, squares_GN, is_ranked)


def _read_centre(
    output: str, known: KnownCentre, is_ranked: Sequence[bool]
) -> Centre | TaskFailure:
    try:
        table = read_table(Storage(output), known.scan_id, "centre", known.fact)
    except StoreError as error:
        return TaskFailure(str(error), unreadable_scan=known.scan_id)
    return centre_of_table(table.take(list(known.rows)), is_ranked)


def _ranges(reduction: Reduction) -> list[ProbeRange]:
    """The probe ranges of the node files, cut where the maps of one do not fit in memory."""
    compute = reduction.config.compute
    most = int(compute.memory) // (_BYTES_PER_VALUE * reduction.num_pixels)
    step = max(1, min(compute.unit_probes, most))
    starts = range(0, reduction.num_probes, step)
    return [ProbeRange(start, min(start + step, reduction.num_probes)) for start in starts]


def _chunks(places: Sequence[int], count: int) -> list[tuple[int, ...]]:
    count = min(count, len(places))
    cuts = [len(places) * index // count for index in range(count + 1)] if count else [0]
    return [tuple(places[start:stop]) for start, stop in pairwise(cuts)]


def _refs(reduction: Reduction, places: Sequence[int]) -> tuple[GraphRef, ...]:
    return tuple(reduction.sources[place] for place in places)
