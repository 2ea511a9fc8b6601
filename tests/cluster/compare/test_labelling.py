"""How many half samples a scan takes, and in how many tasks."""

from __future__ import annotations

import pytest

from cluster.compare.labelling import half_calls, known_label_rows, score_calls, score_halves
from cluster.pool.launcher import InlineLauncher
from depara.labelled import ScoreValue, label_score_table
from depara.similarity.stored import GraphRef

LABELS = ["x", "y"] * 100


def graphs(count: int) -> list[GraphRef]:
    return [GraphRef(f"m{i}", "out", 0, f"{i:032x}", is_output=True) for i in range(count)]


@pytest.fixture
def launcher() -> InlineLauncher:
    return InlineLauncher(lambda: pytest.fail("no worker is needed"))


@pytest.mark.parametrize(("budget_s", "expected"), [(0.0, 10), (1000.0, 40), (16e-3 * 11 * 20, 20)])
def test_half_samples_keep_to_the_budget(
    launcher: InlineLauncher, budget_s: float, expected: int
) -> None:
    calls = half_calls(graphs(11), LABELS, [], 0, budget_s, "out", 1, launcher)
    halves = launcher.collect(calls[0][1][3])
    assert len(halves) == expected
    assert [len(arguments[2]) for _, arguments in calls] == [11]
    assert all(task is score_halves for task, _ in calls)


def test_many_graphs_are_many_tasks(launcher: InlineLauncher) -> None:
    calls = score_calls(graphs(130), LABELS, [25], "out", 1, launcher)
    assert [len(arguments[2]) for _, arguments in calls] == [64, 64, 2]
    assert all(arguments[4] == (25,) for _, arguments in calls)


def test_hard_probes_take_their_share_of_the_budget(launcher: InlineLauncher) -> None:
    calls = half_calls(graphs(11), LABELS, [100], 0, 16e-3 * 11 * 40, "out", 1, launcher)
    assert len(launcher.collect(calls[0][1][3])) == 20


def test_known_scores_come_back_under_their_present_names() -> None:
    table = label_score_table(
        [("old", "l", {"knn": ScoreValue(0.5), "gbc": ScoreValue(float("nan"), "why")})]
    )
    rows = known_label_rows(table, {"k1": ("old", "l")}, [("new", "l", "k1"), ("other", "l", "k2")])
    ((model, layer, scores),) = rows
    assert (model, layer) == ("new", "l")
    assert scores["knn"] == ScoreValue(0.5)
    assert scores["gbc"].reason == "why"
