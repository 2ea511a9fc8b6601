"""How sources stand: who cannot be told from the first, and who is out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from depara.answers.standings import standings


def standing(
    p_first: list[float | None], rank_low: list[int | None], target: str = "t"
) -> pd.DataFrame:
    ranks = range(1, len(p_first) + 1)
    columns = {"target_model": target, "rank": ranks, "p_first": p_first, "rank_low": rank_low}
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("p_first", "expected"),
    [
        ([0.97, 0.03, 0.0], ["first", "behind", "behind"]),
        ([0.6, 0.38, 0.02], ["first", "as good", "behind"]),
        ([0.3, 0.3, 0.4], ["first", "as good", "as good"]),
        ([0.0, 1.0, 0.0], ["first", "as good", "behind"]),
        ([None, None, None], ["first", "behind", "behind"]),
    ],
)
def test_as_good_are_the_fewest_that_hold_the_first_place(
    p_first: list[float | None], expected: list[str]
) -> None:
    table = standing(p_first, [1, 1, 2])
    assert standings(table).tolist() == expected
    shuffled = table.iloc[[2, 0, 1]]
    assert standings(shuffled).tolist() == [expected[i] for i in (2, 0, 1)]


def test_out_are_those_that_are_not_among_the_first_three() -> None:
    table = standing([0.99, 0.01, 0, 0, 0], [1, 2, 3, 3, 4])
    assert standings(table).tolist() == ["first", "behind", "behind", "behind", "out"]


def test_targets_do_not_see_each_other() -> None:
    one, other = standing([0.6, 0.4], [1, 1], "a"), standing([1.0, 0.0], [1, 2], "b")
    both = pd.concat([one, other], ignore_index=True).iloc[[3, 0, 2, 1]]
    expected = {"a": ["first", "as good"], "b": ["first", "behind"]}
    found = standings(both)
    for target, names in expected.items():
        kept = both["target_model"] == target
        order = np.argsort(both[kept]["rank"])
        assert found[kept].iloc[order].tolist() == names
