"""The best sources of all targets by sketches: those of the estimates of each pair."""

from __future__ import annotations

import numpy as np
import pytest

from depara.nearest import pairs
from depara.nearest.index import estimate
from depara.nearest.making import DIRECTED_SOURCE, DIRECTED_TARGET, EDGE
from depara.nearest.pairs import BestSources, best_sources, block_rows
from depara.similarity.sketches import MAP_CELLS, PAIR_CELLS
from depara.store.sketches import ROW_CELLS, Cells, GraphSketch

NUM_PROBES = 6
TERMS = {"node": 1.0, "edge": 0.5, "directed": 2.0, "gulp": 0.0}


def zoo(count: int, seed: int = 0) -> list[GraphSketch]:
    """Sketches of graphs that have something in common."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((3, NUM_PROBES, MAP_CELLS))

    def vector(norm: float) -> Cells:
        values = rng.standard_normal(PAIR_CELLS)
        return Cells.of((norm * values / np.linalg.norm(values)).reshape(-1, ROW_CELLS))

    found = []
    for graph in range(count):
        maps = shared[graph % 3] + rng.standard_normal((NUM_PROBES, MAP_CELLS))
        maps /= np.linalg.norm(maps, axis=1, keepdims=True)
        norms = {EDGE: 1.0, DIRECTED_SOURCE: 3.0 + graph, DIRECTED_TARGET: 0.2}
        vectors = {name: vector(norm) for name, norm in norms.items()}
        found.append(GraphSketch(Cells.of(maps), vectors, norms, {}))
    return found


def best(sketches: list[GraphSketch], targets: list[int], most: int, memory: int) -> BestSources:
    return best_sources(
        lambda place: sketches[place],
        range(len(sketches)),
        targets,
        most,
        num_probes=NUM_PROBES,
        terms=TERMS,
        memory_bytes=memory,
    )


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_they_are_those_of_every_pair(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_LEAST_ROWS", rows)
    sketches, targets = zoo(11), [7, 0, 3]
    found = best(sketches, targets, 4, 0)
    for row, target in enumerate(targets):
        every = {
            place: estimate(sketches[place], sketches[target], TERMS)
            for place in range(11)
            if place != target
        }
        order = sorted(every, key=lambda place: -every[place].similarity)[:4]
        assert found.places_BK[row].tolist() == order
        for column, place in enumerate(order):
            assert found.estimates_BK[row, column] == pytest.approx(
                every[place].similarity, abs=1e-5
            )
            assert every[place].deviation <= found.deviations_BK[row, column] * (1 + 1e-6)
            assert found.deviations_BK[row, column] < 1.5 * every[place].deviation


def test_there_are_no_more_than_others() -> None:
    sketches = zoo(3)
    found = best(sketches, [0, 2], 9, 1 << 20)
    assert sorted(found.places_BK[0].tolist()) == [-1, 1, 2]
    assert sorted(found.places_BK[1].tolist()) == [-1, 0, 1]
    assert np.isnan(found.estimates_BK[:, 2]).all()
    assert best(sketches[:1], [0], 9, 1 << 20).places_BK.tolist() == [[-1]]


def test_known_and_new_ones_are_the_best_of_all() -> None:
    sketches = zoo(12)
    options = {"num_probes": NUM_PROBES, "terms": TERMS, "memory_bytes": 1 << 20}

    def of(sources: range, most: int) -> BestSources:
        return best_sources(lambda place: sketches[place], sources, [1, 4], most, **options)

    whole = of(range(12), 5)
    both = of(range(8), 5).merged(of(range(8, 12), 5), 5)
    np.testing.assert_array_equal(both.places_BK, whole.places_BK)
    np.testing.assert_allclose(both.estimates_BK, whole.estimates_BK, atol=1e-6)
    assert whole.up_to(np.array([2, 0])).places_BK.tolist()[1] == [-1] * 5
    assert (whole.up_to(np.array([2, 0])).places_BK[0] >= 0).sum() == 2


def test_what_is_missed_is_what_may_be_above_the_last_one() -> None:
    estimates = np.array([[3, 2, 2, -9], [3, 2, 1, 0]], np.float32)
    deviations = np.full((2, 4), 0.1, np.float32)
    found = BestSources(np.zeros((2, 4), np.int32), estimates, deviations)
    np.testing.assert_allclose(found.missed(2), [0.5, 0], atol=1e-9)
    assert found.missed(4).tolist() == [0, 0]


def test_blocks_are_as_large_as_the_memory() -> None:
    one, ten = (block_rows(200, {"node": 1, "edge": 1}, count << 30) for count in (1, 10))
    assert 1000 < one < ten / 3
