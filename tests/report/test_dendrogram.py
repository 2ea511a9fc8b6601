"""The tree as drawn: every model in a leaf, in the order of the tree, no more leaves than asked."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from depara.answers.tree import tree_of
from depara.report.dendrogram import dendrogram


def tree(size: int):
    rng = np.random.default_rng(1)
    places = rng.standard_normal((size, 5))
    values = places @ places.T
    names = [f"m{place}" for place in range(size)]
    return tree_of(pd.DataFrame(values, names, names), "similarity")


@pytest.mark.parametrize(("size", "most"), [(2, 80), (3, 2), (30, 80), (30, 7), (200, 80)])
def test_leaves_hold_every_model_once_in_the_order_of_the_tree(size: int, most: int) -> None:
    whole = tree(size)
    drawn = dendrogram(whole, most)
    assert len(drawn.leaves) == min(size, most)
    held = [name for leaf in drawn.leaves for name in leaf.members]
    assert sorted(held) == sorted(whole.models)
    places = [min(whole.order.index(name) for name in leaf.members) for leaf in drawn.leaves]
    assert places == sorted(places)
    assert [leaf.y for leaf in drawn.leaves] == sorted({leaf.y for leaf in drawn.leaves})
    assert drawn.path.count("M") == len(drawn.leaves)  # a line per join, and the root's


def test_joins_stand_at_their_similarity() -> None:
    names = ["a", "b", "c"]
    values = np.array([[np.nan, 1.0, 0.2], [1.0, np.nan, 0.2], [0.2, 0.2, np.nan]])
    drawn = dendrogram(tree_of(pd.DataFrame(values, names, names), "similarity"))
    first = [float(one) for one in re.findall(r"H([\d.]+)V", drawn.path)]
    assert first == [560.0, 0.0]  # the most alike at the right, the least at the left
    ticks = {text: x for x, text in drawn.ticks}
    assert ticks["1"] == pytest.approx(560, abs=0.1)
    assert ticks["0.6"] == pytest.approx(280, abs=0.1)
