"""Which pairs are compared: with what is known, every pair is covered once, and nothing twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cluster.compare.pairs import KnownPairs, Reduction, missing_regions, tile_jobs
from depara.config import parse_scan
from depara.similarity.stored import GraphRef

CONFIG = parse_scan("probes: {source: x}\nmodels: [{id: a, source: 'torchvision:x'}]").config


def reduction(num_sources: int, num_targets: int | None = None) -> Reduction:
    graphs = tuple(
        GraphRef(f"m{number}", "layer", 0, f"key{number}", is_output=True)
        for number in range(num_sources)
    )
    targets = graphs if num_targets is None else graphs[:num_targets]
    return Reduction(graphs, targets, 10, 16, CONFIG)


def known(sources: list[bool], targets: list[bool]) -> KnownPairs:
    def places(flags: list[bool]) -> tuple[int | None, ...]:
        return tuple(place if flag else None for place, flag in enumerate(flags))

    models = tuple(f"m{number}" for number in range(len(targets)))
    facts: dict[str, Any] = {"similarity": {}}
    return KnownPairs("night1", facts, len(sources), models, places(sources), places(targets))


def cover(whole: Reduction, pairs: KnownPairs | None, workers: int) -> np.ndarray:
    """How often each pair is known or computed."""
    counts = np.zeros((len(whole.sources), len(whole.targets)), dtype=int)
    if pairs is not None:
        rows = [i for i, place in enumerate(pairs.sources) if place is not None]
        columns = [i for i, place in enumerate(pairs.targets) if place is not None]
        counts[np.ix_(rows, columns)] += 1
    for job in tile_jobs(whole, missing_regions(whole, pairs), workers):
        assert [whole.sources[row] for row in job.rows] == list(job.sources)
        assert [whole.targets[column] for column in job.columns] == list(job.targets)
        counts[np.ix_(job.rows, job.columns)] += 1
        if job.mirrored:
            counts[np.ix_(job.columns, job.rows)] += 1
    return counts


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(1, 4))
def test_a_square_is_covered_once(flags: list[bool], workers: int) -> None:
    whole = reduction(len(flags))
    assert whole.is_square
    pairs = known(flags, flags) if any(flags) else None
    assert (cover(whole, pairs, workers) == 1).all()


@given(
    st.lists(st.booleans(), min_size=3, max_size=9),
    st.lists(st.booleans(), min_size=1, max_size=2),
    st.integers(1, 4),
)
def test_a_rectangle_is_covered_once(
    sources: list[bool], targets: list[bool], workers: int
) -> None:
    whole = reduction(len(sources), len(targets))
    assert not whole.is_square
    assert (cover(whole, known(sources, targets), workers) == 1).all()


def test_nothing_is_left_when_all_is_known() -> None:
    pairs = known([True] * 4, [True] * 4)
    assert missing_regions(reduction(4), pairs) == []
    assert pairs.count == 16


def test_one_new_graph_costs_its_row_and_column() -> None:
    whole = reduction(20)
    pairs = known([True] * 19 + [False], [True] * 19 + [False])
    jobs = tile_jobs(whole, missing_regions(whole, pairs), 1)
    assert sum(len(job.rows) * len(job.columns) for job in jobs) == 20
    assert pairs.count == 19 * 19
