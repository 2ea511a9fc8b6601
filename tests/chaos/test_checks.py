"""The chaos tests themselves can fail: what they look for is found, and what did not happen too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.lab.attempt import units_twice
from depara.store.layout import MARKER_FILE
from tests.chaos.checks import differences, unsound
from tests.chaos.damage import DAMAGES, damage, file_of, find_graph
from tests.chaos.lab import Lab
from tests.chaos.ledger import Ledger

TABLE = pd.DataFrame({"model_id": ["a", "b"], "score": [0.5, np.nan], "rank": [1, 2]})


def table(**columns: list[object]) -> dict[str, pd.DataFrame]:
    return {"ranking": TABLE.assign(**columns)}


@pytest.mark.parametrize(
    ("got", "found"),
    [
        (table(), ""),
        (table(score=[0.5 + 2e-6, np.nan]), ""),
        (table(score=[0.5 + 1e-5, np.nan]), "ranking.score: 1 values"),
        (table(score=[0.5, 0.5]), "ranking.score: 1 values"),
        (table(model_id=["b", "a"]), "ranking.model_id: 2 values"),
        (table(rank=[1, 3]), "ranking.rank: 1 values"),
        (table(more=[1, 2]), "ranking: (2, 4) instead of (2, 3)"),
        ({"ranking": TABLE.iloc[:1]}, "ranking: (1, 3) instead of (2, 3)"),
    ],
)
def test_tables_that_differ_are_seen(got: dict[str, pd.DataFrame], found: str) -> None:
    [*texts] = differences(got, table())
    assert len(texts) == bool(found)
    assert all(text.startswith(found) for text in texts)


def hide(folder: Path) -> None:
    (folder / ".edges.parquet.xyz").write_bytes(b"half")


def orphan(folder: Path) -> None:
    (folder / MARKER_FILE).unlink()


def stray(folder: Path) -> None:
    (folder / "nodes-000000-000003.parquet").write_bytes(b"half")


def forget(folder: Path) -> None:
    output = folder.parent.parent.parent
    (output / "running" / "night").mkdir(parents=True)
    (output / "running" / "night" / "owner.json").write_text("{}")


def cut(folder: Path) -> None:
    [path] = (folder.parent.parent.parent / "scans").glob("*/similarity.parquet")
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.ray
@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (hide, "temporary file"),
        (orphan, "orphan: graphs/"),
        (stray, "no Parquet: graphs/"),
        (forget, "left over: running/night/owner.json"),
        (cut, "finished but not whole: scans/"),
    ],
)
def test_what_a_scan_must_not_leave_is_seen(
    lab: Lab, harm: Callable[[Path], None], found: str
) -> None:
    output = lab.copy_of_baseline()
    assert not unsound(output)
    folder, _ = find_graph(output, "m0", "code")
    harm(folder)
    assert any(text.startswith(found) for text in unsound(output)), unsound(output)


@pytest.mark.ray
def test_every_damage_is_one(lab: Lab, tmp_path: Path) -> None:
    folder, marker = find_graph(lab.baseline.output, "m0", "block1")
    for how in DAMAGES:
        for kind in ("node", "edge"):
            copy = tmp_path / f"{kind}-{how}"
            shutil.copytree(folder, copy)
            before = (copy / file_of(kind, marker)).read_bytes()
            assert damage(copy, file_of(kind, marker), how, marker) != before


def test_units_that_were_started_again_are_counted() -> None:
    first = "unit started: m0 extract 000000-000006\nunit started: m0 commit\nunit done: m0 commit"
    again = "unit started: m0 extract 000000-000006\nunit started: probes 0 decode"
    assert units_twice([first]) == 0
    assert units_twice([first, again]) == 1


def try_once(ledger: Ledger, **proof: int) -> None:
    with ledger.trial("some fault") as trial:
        trial.injected, trial.recovered, trial.equal = 2, True, True
        vars(trial).update(proof)


@pytest.mark.parametrize("forgotten", ["injected", "recovered", "equal"])
def test_a_trial_without_proof_is_none(forgotten: str) -> None:
    ledger = Ledger()
    with pytest.raises(AssertionError, match="some fault"):
        try_once(ledger, **{forgotten: 0})
    assert not ledger.is_good
    assert "NO" in ledger.table()


def test_a_broken_trial_is_not_made_good_by_another() -> None:
    def break_down() -> None:
        with ledger.trial("some fault"):
            raise RuntimeError("the scenario broke")

    ledger = Ledger()
    assert not ledger.is_good
    try_once(ledger)
    assert ledger.is_good
    assert "| some fault | 2 " in ledger.table()
    with pytest.raises(RuntimeError):
        break_down()
    try_once(ledger)
    assert not ledger.is_good
