"""Chosen pairs: every one is covered, and what is known is left out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.compare.chosen import ChosenModels, graphs_of_models, known_models
from depara.similarity.stored import GraphRef


def drawn(num_models: int, per_target: int, layers: int = 3, seed: int = 0) -> ChosenModels:
    """Each model with itself and others, the last with one less."""
    rng = np.random.default_rng(seed)
    rows = []
    for target in range(num_models):
        others = [model for model in rng.permutation(num_models) if model != target]
        rows.append([target, *others[:per_target]])
    models_BK = np.array(rows, np.int32)
    models_BK[-1, -1] = -1
    starts = range(0, num_models * layers, layers)
    return ChosenModels(models_BK, tuple(np.arange(s, s + layers) for s in starts))


def pairs(chosen: ChosenModels) -> set[tuple[int, int]]:
    targets = range(len(chosen.models_BK))
    sources, columns = chosen.pairs_of(targets)
    found = list(zip(sources.tolist(), columns.tolist(), strict=True))
    assert found == sorted(found, key=lambda pair: (pair[1], pair[0]))
    assert len(set(found)) == len(found) == chosen.num_pairs
    return set(found)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 9))
def test_blocks_hold_every_pair_and_each_target_once(count: int, most: int, seed: int) -> None:
    chosen = drawn(count, min(most, count - 1), seed=seed)
    blocks = chosen.blocks()
    covered = {pair for some, targets in blocks for pair in product(some, targets)}
    assert pairs(chosen) <= covered
    assert sorted(target for _, targets in blocks for target in targets) == list(range(count))


def test_targets_that_share_models_stand_together() -> None:
    """Two zoos that have nothing to do with each other, in turns: no block needs both."""
    count = 4000
    target_B = np.arange(count, dtype=np.int32)
    models_BK = np.stack([(target_B + 2 * step) % count for step in range(12)], axis=1)
    chosen = ChosenModels(models_BK.astype(np.int32), tuple(np.array([m]) for m in range(count)))
    blocks = chosen.blocks()
    assert len(blocks) > 3
    assert sum(len({source % 2 for source in some}) == 1 for some, _ in blocks) >= len(blocks) - 1
    assert sum(len(some) * len(targets) for some, targets in blocks) < count**2 / 3


def test_what_is_known_is_left_out() -> None:
    chosen = drawn(9, 3)
    is_same = np.ones(9, np.bool_)
    is_same[4] = False
    known = known_models(chosen, is_same, None)
    assert not any(4 in (source // 3, target) for source, target in pairs(known))
    assert pairs(known) | pairs(chosen.without(known)) == pairs(chosen)
    assert not pairs(known) & pairs(chosen.without(known))
    assert pairs(chosen.without(chosen)) == set()
    assert chosen.without(chosen).blocks() == []
    assert chosen.without(None) is chosen


def test_of_a_scan_of_chosen_pairs_those_are_known() -> None:
    chosen = drawn(6, 2)
    compared = np.array([0 * 6 + int(chosen.models_BK[0, 1]), 5])
    known = known_models(chosen, np.ones(6, np.bool_), compared)
    own = {(3 * model + layer, model) for model in range(6) for layer in range(3)}
    first = {(3 * int(chosen.models_BK[0, 1]) + layer, 0) for layer in range(3)}
    assert own | first <= pairs(known)
    assert pairs(known) - own - first <= {(source, 0) for source in range(15, 18)}


def test_twins_go_with_their_model() -> None:
    sources = [
        GraphRef("a", "l0", 0, "a0", is_output=False),
        GraphRef("a-null0", "l1", 1, "x", is_output=True, null_of="a"),
        GraphRef("b", "l1", 1, "b1", is_output=True),
        GraphRef("a", "l1", 1, "a1", is_output=True),
        GraphRef("gone-null0", "l1", 1, "y", is_output=True, null_of="gone"),
    ]
    found = graphs_of_models(sources, [sources[3], sources[2]])
    assert [one.tolist() for one in found] == [[0, 1, 3], [2]]


@pytest.mark.parametrize("layers", [1, 4])
def test_counts_are_of_graphs(layers: int) -> None:
    chosen = drawn(5, 2, layers)
    assert chosen.counts_B.tolist() == [3 * layers] * 4 + [2 * layers]
    assert chosen.sources_of([4]).tolist() == sorted(
        place
        for model in chosen.models_BK[4, :2].tolist()
        for place in range(layers * model, layers * (model + 1))
    )
