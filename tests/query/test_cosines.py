"""The cosines of a query against plain float64 products, in any memory, each map read once."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depara.errors import ConfigError, StoreError
from depara.query.cosines import CosineFootprint, QueryCosines, read_cosines
from depara.query.progress import silent
from depara.similarity.stored import GraphRef
from depara.types import Float16, ProbeRange
from tests.oracle.similarity import unit_maps

NUM_PROBES, NUM_PIXELS, NUM_MODELS, NUM_LAYERS = 12, 400, 5, 3
PLENTY_BYTES = 1 << 28


class ArrayGraph:
    """A committed graph whose maps are in memory; counts what is read."""

    def __init__(self, maps_NP: Float16, cuts: tuple[int, ...]) -> None:
        bounds = pairwise([0, *cuts, len(maps_NP)])
        ranges = tuple(ProbeRange(*bound) for bound in bounds)
        self.maps_NP, self.reads = maps_NP, Counter[ProbeRange]()
        self.marker = SimpleNamespace(ranges=ranges, num_pixels=maps_NP.shape[1])

    def read_maps(self, probes: ProbeRange) -> Float16:
        assert probes in self.marker.ranges
        self.reads[probes] += 1
        return self.maps_NP[probes.start : probes.stop].copy()


class Query:
    """A made-up model and zoo; two graphs of the zoo are the same one, under two names."""

    def __init__(self, *cuts: int) -> None:
        rng = np.random.default_rng(0)
        shared = rng.standard_normal((NUM_PROBES, NUM_PIXELS))

        def graph() -> ArrayGraph:
            return ArrayGraph(unit_maps(shared + rng.standard_normal(shared.shape)), cuts)

        def refs(model: str) -> list[GraphRef]:
            last = NUM_LAYERS - 1
            return [
                GraphRef(model, f"l{depth}", depth, f"{model}.{depth}", depth == last)
                for depth in range(NUM_LAYERS)
            ]

        zoo = [ref for model in range(NUM_MODELS) for ref in refs(f"m{model}")]
        zoo.append(GraphRef("twin", "l0", 0, "m0.0", True))
        own = refs("new")
        self.graphs: Any = {ref.key: graph() for ref in (*zoo, *own)}
        outputs = tuple(ref for ref in zoo if ref.is_output)
        self.own: Any = SimpleNamespace(refs=tuple(own), output=own[-1])
        self.zoo: Any = SimpleNamespace(
            graphs=tuple(zoo), outputs=outputs, num_probes=NUM_PROBES, num_pixels=NUM_PIXELS
        )

    def read(
        self, memory_bytes: int = PLENTY_BYTES, *, with_outputs: bool = True, workers: int = 2
    ) -> QueryCosines:
        arguments = (self.own, self.zoo, self.graphs, memory_bytes, workers, silent)
        return read_cosines(*arguments, with_outputs=with_outputs)

    def due(self, row: GraphRef, column: GraphRef) -> Any:
        one, other = (self.graphs[ref.key].maps_NP.astype(np.float64) for ref in (row, column))
        return (one * other).sum(axis=1)

    def assert_due(self, found: QueryCosines, rows: Any, columns: Any) -> None:
        cosines_ABN = found.of_pairs(rows, columns)
        assert cosines_ABN is not None
        due = [[self.due(row, column) for column in columns] for row in rows]
        np.testing.assert_allclose(cosines_ABN, due, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("cuts", [(), (5,), (3, 7)])
def test_cosines_of_all_pairs_are_the_products_of_maps_each_read_once(
    cuts: tuple[int, ...], workers: int
) -> None:
    query = Query(*cuts)
    found = query.read(workers=workers)
    own, zoo = query.own, query.zoo
    query.assert_due(found, zoo.graphs, own.refs)
    query.assert_due(found, own.refs, zoo.outputs)
    query.assert_due(found, (*zoo.outputs, own.output), zoo.outputs)
    node_AL = found.node_similarity(zoo.graphs, own.refs)
    due = [[query.due(row, column).mean() for column in own.refs] for row in zoo.graphs]
    np.testing.assert_allclose(node_AL, due, atol=1e-6)
    for graph in query.graphs.values():
        assert graph.reads == dict.fromkeys(graph.marker.ranges, 1)


def footprint(workers: int = 2) -> CosineFootprint:
    graphs = NUM_MODELS * NUM_LAYERS
    return CosineFootprint(graphs, NUM_LAYERS, NUM_MODELS + 1, NUM_PROBES, NUM_PIXELS, workers)


@pytest.mark.parametrize("share", [1.0, 1.3, 2.0, 6.0])
def test_memory_changes_the_steps_but_not_the_cosines(share: float) -> None:
    query = Query()
    query.read(1 << 20)
    limit_bytes = int(footprint().min_bytes * share)
    tracemalloc.start()
    found = query.read(limit_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= limit_bytes + 200_000  # threads and objects of Python
    query.assert_due(found, query.zoo.graphs, query.own.refs)


def test_groups_and_then_steps_shrink_with_the_memory() -> None:
    shape = footprint()
    plenty = shape.steps(PLENTY_BYTES, NUM_PROBES, with_outputs=False)
    assert plenty == (32, NUM_PROBES)
    whole = shape.step_bytes(4, NUM_PROBES, with_outputs=False)
    assert shape.steps(whole, NUM_PROBES, with_outputs=False) == (4, NUM_PROBES)
    assert shape.steps(whole - 1, NUM_PROBES, with_outputs=False) == (2, NUM_PROBES)
    assert shape.steps(shape.min_bytes, NUM_PROBES, with_outputs=False) == (1, 1)


def test_outputs_among_each_other_are_known_only_where_asked_for_and_held() -> None:
    query = Query()
    outputs = query.zoo.outputs
    for found in (query.read(with_outputs=False), query.read(footprint().min_bytes)):
        assert found.of_pairs(outputs, outputs) is None
        assert found.of_pairs(outputs, query.own.refs) is not None


def test_what_cannot_fit_is_refused() -> None:
    least = footprint().min_bytes
    with pytest.raises(ConfigError, match=rf"3 layers among 15 graphs needs {least:,} bytes"):
        Query().read(least - 1)


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_maps_that_are_not_of_unit_norm_are_refused(value: float) -> None:
    query = Query()
    query.graphs["m3.1"].maps_NP[7] = value
    with pytest.raises(StoreError, match="at probe 7"):
        query.read()
