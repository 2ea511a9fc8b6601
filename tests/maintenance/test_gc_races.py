"""What happens between the plan of a collection and the deletion: nothing needed is deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from depara.maintenance import collect, plan_collection, verify_output
from depara.store.graphs import committed_keys
from depara.store.storage import Storage
from tests.maintenance.outputs import age, edit_json, graph_of, keys_of
from tests.maintenance.plans import kinds, names, start


def test_what_was_written_to_since_stays(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=2)
    again, new = graph_of(root, "one", "a"), graph_of(root, "one", "a", "block1")
    age(again, -10, "graph.json")  # committed again
    old.create(f"graphs/{new.name[:2]}/{new.name}/nodes-000000-000012.parquet", b"1")
    result = collect(old, plan)
    assert {candidate.name for candidate, _ in result.spared} == {again.name, new.name}
    assert {reason for _, reason in result.spared} == {"it was written to since"}
    assert committed_keys(old, [again.name, new.name]) == {again.name, new.name}


def test_what_a_scan_claimed_since_stays(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=1)
    probe_set = json.loads((root / "scans/one/manifest.json").read_text())["probe_set"]
    start(old, keys_of(root, "one"), probe_set)
    result = collect(old, plan)
    assert committed_keys(old, keys_of(root, "one")) == keys_of(root, "one")
    assert {c.kind for c, _ in result.spared} == {"graphs", "probe sets", "canvases"}
    assert {reason for _, reason in result.spared} == {"a scan needs it by now"}
    assert verify_output(old).is_sound


def test_what_a_scan_finished_with_since_stays(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=2)
    tree = root / "scans" / "late"
    shutil.copytree(root / "scans" / "one", tree)
    edit_json(tree / "manifest.json", lambda manifest: manifest.update(scan_id="late"))
    result = collect(old, plan)
    assert len([c for c, _ in result.spared if c.kind == "graphs"]) == 3
    assert committed_keys(old, keys_of(root, "late")) == keys_of(root, "late")


def test_a_scan_about_to_plan_is_waited_for(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=1)
    start(old, None)
    result = collect(old, plan)
    assert {c.kind for c in result.deleted} == {"known inputs"}
    assert {reason for _, reason in result.spared} == {
        "scan night is about to plan its work: try again later"
    }
    assert verify_output(old).is_sound
    note = plan_collection(old, keep_scans=1).notes[0]
    assert note == "scan night is about to plan its work: try again later"


@pytest.mark.parametrize("planned", [True, False])
def test_what_is_claimed_while_it_is_being_deleted_is_given_back(
    old: Storage, root: Path, planned: bool
) -> None:
    wanted = keys_of(root, "one")

    class Raced(Storage):
        """A scan begins after the first look, when the markers have just gone."""

        def remove(self, paths: Iterable[str]) -> None:
            paths = list(paths)
            super().remove(paths)
            if paths and paths[0].endswith("graph.json"):
                assert committed_keys(old, wanted) < wanted
                start(self, wanted if planned else None)

    plan = plan_collection(old, keep_scans=2)
    result = collect(Raced(old.root), plan)
    assert len([c for c, _ in result.spared if c.kind == "graphs"]) == 3
    assert committed_keys(old, wanted) == wanted
    assert verify_output(old).is_sound


def test_a_graph_that_is_half_deleted_is_not_committed(old: Storage, root: Path) -> None:
    class Killed(Storage):
        """The collection is killed with the first of the other files."""

        def remove(self, paths: Iterable[str]) -> None:
            for path in paths:
                super().remove([path])
                if not path.endswith("graph.json"):
                    raise KeyboardInterrupt

    going = keys_of(root, "one") - keys_of(root, "two")
    with pytest.raises(KeyboardInterrupt):
        collect(Killed(old.root), plan_collection(old, keep_scans=2))
    assert committed_keys(old, going) == set()
    assert verify_output(old).is_sound
    assert verify_output(old).uncommitted_graphs == 3
    collect(old, plan_collection(old, keep_scans=2))
    assert verify_output(old).uncommitted_graphs == 0


def test_a_scan_that_goes_on_keeps_its_tables_and_its_record(old: Storage, root: Path) -> None:
    old.create("scans/night/models.parquet", b"1")
    start(old, [])
    age(root, 10, "running/**/*")
    age(root, 10, "scans/night/*")
    plan = plan_collection(old)
    assert kinds(plan) == {"unfinished scans": 1, "running records": 1}
    age(root, -10, "running/**/*")
    result = collect(old, plan)
    assert result.deleted == []
    assert {reason for _, reason in result.spared} == {"its scan is under way again"}


def test_an_unfinished_scan_that_finished_since_stays(old: Storage, root: Path) -> None:
    shutil.copytree(root / "scans" / "one", root / "scans" / "late")
    (root / "scans" / "late" / "manifest.json").rename(root / "manifest")
    plan = plan_collection(old)
    assert names(plan, "unfinished scans") == {"late"}
    edit_json(root / "manifest", lambda manifest: manifest.update(scan_id="late"))
    (root / "manifest").rename(root / "scans" / "late" / "manifest.json")
    result = collect(old, plan)
    assert [reason for _, reason in result.spared] == ["its scan is finished"]
    assert verify_output(old).num_scans == 4


def test_a_scan_that_became_the_latest_since_stays(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=1, scans=True)
    (root / "latest.json").write_text(json.dumps({"scan_id": "two", "sequence": 4}))
    result = collect(old, plan)
    assert [c.name for c, why in result.spared if why == "it is the latest scan"] == ["two"]
    assert (root / "scans" / "two" / "manifest.json").exists()
