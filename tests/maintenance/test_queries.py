"""Queries in an output: checked with the rest, and deleted with the scan that they asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from depara import open_scan
from depara.maintenance import collect, plan_collection, verify_output
from depara.store.storage import Storage
from tests.jobs.inline import tiny
from tests.maintenance.outputs import age, flip, truncate
from tests.maintenance.plans import names


@pytest.fixture
def asked(root: Path) -> dict[str, Path]:
    """The folders of one query of each of two scans, ten days old as all of the output."""
    new = tiny("new", 7, layers="output")
    answers = {scan: open_scan(str(root), scan).query(new) for scan in ("one", "three")}
    age(root, 10)
    return {scan: Path(answer.location) for scan, answer in answers.items()}


def test_a_query_goes_with_its_scan(asked: dict[str, Path], storage: Storage) -> None:
    assert not names(plan_collection(storage, keep_scans=1), "queries")
    plan = plan_collection(storage, keep_scans=1, scans=True)
    assert names(plan, "queries") == {asked["one"].name}
    result = collect(storage, plan)
    assert not result.spared
    assert not list(asked["one"].rglob("*.*"))
    assert not verify_output(storage).problems
    assert open_scan(storage.root).query(tiny("new", 7, layers="output")).is_reused


def test_a_query_whose_scan_is_not_there_goes(asked: dict[str, Path], storage: Storage) -> None:
    shutil.rmtree(Path(storage.root) / "scans" / "one")
    assert names(plan_collection(storage), "queries") == {asked["one"].name}


def test_an_unfinished_query_goes_when_it_is_old(asked: dict[str, Path], storage: Storage) -> None:
    (asked["three"] / "query.json").unlink()
    plan = plan_collection(storage)
    assert names(plan, "unfinished queries") == {asked["three"].name}
    (asked["three"] / "models.parquet").touch()
    assert not names(plan_collection(storage), "unfinished queries")


def test_a_damaged_manifest_is_left_with_a_note(asked: dict[str, Path], storage: Storage) -> None:
    truncate(asked["three"] / "query.json")
    age(asked["three"], 10)
    plan = plan_collection(storage)
    assert not names(plan, "queries")
    assert any(asked["three"].name in note for note in plan.notes)


@pytest.mark.parametrize("fast", [False, True])
def test_verify_looks_at_queries(asked: dict[str, Path], storage: Storage, fast: bool) -> None:
    assert verify_output(storage, fast=fast).is_sound
    damage = truncate if fast else flip
    damage(asked["three"] / "similarity.parquet")
    truncate(asked["one"] / "query.json")
    problems = verify_output(storage, fast=fast).problems
    assert len(problems) == 2
    for folder in asked.values():
        assert any(str(folder) in problem.location for problem in problems)
    assert all("depara query --fresh" in str(problem) for problem in problems)
    assert verify_output(storage, scan_id="three", fast=fast).is_sound
