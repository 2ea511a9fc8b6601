"""The tree of a zoo against SciPy, in Newick, for a terminal, and for names of any kind."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import cophenet

from depara.answers import model_tree
from depara.answers.tree import tree_of
from depara.errors import ConfigError
from tests.answers.scans import scan_of

NAMES = ["a", "b", "c", "d"]
MATRIX = np.array(
    [
        [3.0, 2.0, 0.4, 0.2],
        [2.0, 3.0, 0.6, 0.4],
        [0.4, 0.6, 3.0, 1.0],
        [0.2, 0.4, 1.0, 3.0],
    ]
)


def frame(values: np.ndarray, names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, index=names, columns=names)


def test_joins_are_by_mean_similarity() -> None:
    tree = model_tree(scan_of(MATRIX, NAMES))
    joins = tree.frame()
    assert [{*row} for row in joins[["left", "right"]].to_numpy()] == [
        {"a", "b"},
        {"c", "d"},
        {"#1", "#2"},
    ]
    np.testing.assert_allclose(joins["similarity"], [2.0, 1.0, 0.4])
    assert joins["models"].tolist() == [2, 2, 4]
    assert abs(tree.order.index("a") - tree.order.index("b")) == 1


def test_the_mean_of_both_directions_counts() -> None:
    directed = MATRIX.copy()
    directed[0, 1], directed[1, 0] = 1.5, 2.5
    np.testing.assert_allclose(
        model_tree(scan_of(directed, NAMES)).linkage_M4,
        model_tree(scan_of(MATRIX, NAMES)).linkage_M4,
    )


def test_newick_has_the_distances_of_the_joins() -> None:
    tree = model_tree(scan_of(MATRIX, NAMES))
    text = tree.newick()
    assert text.endswith(";")
    assert text.count("(") == text.count(")") == 3
    depth: dict[str, float] = {}

    def walk(part: str, above: float) -> None:
        inner, _, length = part.rpartition(":") if not part.endswith(")") else (part, "", "0")
        below = above + float(length)
        if not inner.startswith("("):
            depth[inner] = below
            return
        level, start = 0, 1
        for place, sign in enumerate(inner[1:-1], start=1):
            level += (sign == "(") - (sign == ")")
            if sign == "," and level == 0:
                walk(inner[start:place], below)
                start = place + 1
        walk(inner[start:-1], below)

    walk(text[:-1], 0.0)
    assert set(depth) == set(NAMES)
    # All leaves are as far from the root: half of the largest distance.
    np.testing.assert_allclose(list(depth.values()), cophenet(tree.linkage_M4).max() / 2)


def test_names_that_newick_would_take_for_syntax_are_quoted() -> None:
    names = ["it's", "a(b,c):1;", "plain", "two words\n"]
    text = tree_of(frame(MATRIX, names), "similarity").newick()
    for quoted in ("'it''s'", "'a(b,c):1;'", r"'two words\n'"):
        assert quoted in text
    assert re.search(r"[(,]plain:", text)


def test_lines_draw_every_model_once_and_every_join() -> None:
    tree = tree_of(frame(MATRIX, ["a", "b", "c", "\x1b[31md"]), "similarity")
    lines = tree.lines()
    assert len(lines) == 7
    assert sum("┐" in line for line in lines) == 3
    assert lines[0].endswith("0.400")
    assert not any("\x1b" in line for line in lines)
    for name in ("a", "b", "c"):
        assert sum(line.endswith(f"── {name}") for line in lines) == 1


def test_a_tree_needs_two_models_and_all_pairs() -> None:
    with pytest.raises(ConfigError, match="needs two models"):
        tree_of(frame(MATRIX[:1, :1], ["a"]), "similarity")
    holes = MATRIX.copy()
    holes[0, 2] = holes[2, 0] = np.nan
    with pytest.raises(ConfigError, match="'a' and 'c' were not compared"):
        tree_of(frame(holes, NAMES), "similarity")
