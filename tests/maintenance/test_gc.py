"""Collections: what goes, what stays, and that nothing a scan has come to need is ever deleted."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from depara.errors import StoreError
from depara.maintenance import collect, plan_collection, verify_output
from depara.store.graphs import committed_keys
from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny
from tests.maintenance.outputs import (
    DAY_S,
    age,
    edit_json,
    flip,
    graph_of,
    keys_of,
    truncate,
    upload,
)
from tests.maintenance.plans import kinds, names, start
from tests.store.s3 import mock_s3, select_s3
from tests.store.weed import weed

__all__ = ["weed"]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with mock_s3() as endpoint:
        yield endpoint


@pytest.fixture(params=["moto", "weed"])
def remote(
    request: pytest.FixtureRequest, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    """The sound output in a bucket of its own. Its files are new: collect without grace."""
    bucket = f"gc-{tmp_path.name}".replace("_", "-").lower()[:60].strip("-")
    if request.param == "weed":
        request.getfixturevalue("weed").select(bucket, monkeypatch)
    else:
        select_s3(request.getfixturevalue("s3_endpoint"), bucket, monkeypatch)
    storage = Storage(f"s3://{bucket}/out")
    upload(sound, storage)
    return storage


def test_only_what_no_kept_scan_needs_goes(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=2)
    assert plan.kept == ("two", "three")
    assert names(plan, "graphs") == keys_of(root, "one") - keys_of(root, "two")
    assert kinds(plan) == {"graphs": 3, "known inputs": 1}
    assert plan.losing == ("one",)
    before = verify_output(old).num_bytes
    result = collect(old, plan)
    assert result.spared == []
    assert result.deleted == list(plan.candidates)
    assert committed_keys(old, keys_of(root, "one")) == keys_of(root, "two") & keys_of(root, "one")
    after = verify_output(old)
    assert after.is_sound, "the scan that lost graphs says so"
    note = root / "scans" / "one" / "collected.json"
    graphs = sum(candidate.bytes for candidate in plan.candidates if candidate.kind == "graphs")
    assert before - after.num_bytes + note.stat().st_size == graphs
    assert plan_collection(old, keep_scans=2).candidates == ()


def test_probe_sets_and_canvases_go_with_the_last_scan_of_theirs(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=1)
    assert kinds(plan) == {
        "graphs": 9, "probe sets": 1, "canvases": 1, "known inputs": 3
    }  # fmt: skip
    assert plan.losing == ("one", "two")
    collect(old, plan)
    assert verify_output(old).is_sound
    assert len(list(root.glob("canvases/*.parquet"))) == 1
    assert {path.name for path in root.glob("known/*/*.json")}


def test_the_plan_alone_deletes_nothing(old: Storage, root: Path) -> None:
    before = {path: path.stat().st_mtime for path in root.rglob("*") if path.is_file()}
    plan_collection(old, keep_scans=1, scans=True)
    assert {path: path.stat().st_mtime for path in root.rglob("*") if path.is_file()} == before


def test_all_scans_are_kept_when_there_are_few(old: Storage) -> None:
    assert plan_collection(old).candidates == ()


def test_one_young_file_protects_its_whole_graph(old: Storage, root: Path) -> None:
    young = graph_of(root, "one", "a")
    age(young, -10, "features.parquet")
    plan = plan_collection(old, keep_scans=2)
    assert len(names(plan, "graphs")) == 2
    assert young.name not in names(plan, "graphs")
    assert len(names(plan_collection(old, keep_scans=2, grace_s=0), "graphs")) == 3
    assert not names(plan_collection(old, keep_scans=2, grace_s=11 * DAY_S), "graphs")


def test_the_storage_s_clock_decides_not_this_machine_s(
    old: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert len(names(plan_collection(old, keep_scans=2), "graphs")) == 3

    class Yesteryear(Storage):
        def now_s(self) -> float:
            return super().now_s() - 9 * DAY_S

    assert not names(plan_collection(Yesteryear(old.root), keep_scans=2), "graphs")


def test_tables_of_other_scans_go_only_when_asked(old: Storage, root: Path) -> None:
    plan = plan_collection(old, keep_scans=2, scans=True)
    assert names(plan, "scans") == {"one"}
    assert plan.losing == ()
    collect(old, plan)
    assert not (root / "scans" / "one").exists()
    assert verify_output(old).is_sound


def test_the_scan_that_readers_open_by_default_is_kept(old: Storage, root: Path) -> None:
    (root / "latest.json").write_text(json.dumps({"scan_id": "one", "sequence": 3}))
    plan = plan_collection(old, keep_scans=1, scans=True)
    assert plan.kept == ("one", "three")
    assert names(plan, "scans") == {"two"}


def test_leftovers_of_killed_scans_go_after_the_grace_period(old: Storage, root: Path) -> None:
    leftover = graph_of(root, "one", "a")
    (leftover / "graph.json").unlink()
    old.create("scans/night/models.parquet", b"1")
    start(old, keys_of(root, "one"))
    protected = {"known inputs": 1}
    assert kinds(plan_collection(old, keep_scans=2)) == protected
    assert kinds(plan_collection(old, keep_scans=2, grace_s=0)) == protected, "it lives"
    age(root, 10, "running/**/*")
    age(root, 10, "scans/night/*")
    plan = plan_collection(old, keep_scans=2)
    assert kinds(plan) == {
        "graphs": 2, "uncommitted graphs": 1, "known inputs": 1,
        "unfinished scans": 1, "running records": 1,
    }  # fmt: skip
    collect(old, plan)
    assert not leftover.exists()
    assert not (root / "running" / "night" / "owner.json").exists()
    assert not (root / "scans" / "night").exists()
    assert verify_output(old).is_sound


def test_a_scan_that_was_killed_lately_can_still_be_resumed(old: Storage, root: Path) -> None:
    start(old, keys_of(root, "one"))
    edit_json(root / "running" / "night" / "owner.json", lambda tree: tree.update(ended="SIGTERM"))
    assert not names(plan_collection(old, keep_scans=2), "graphs")
    assert len(names(plan_collection(old, keep_scans=2, grace_s=0), "graphs")) == 3


@pytest.mark.parametrize("spoil", [Path.unlink, flip, truncate])
def test_it_refuses_while_it_cannot_tell_what_a_kept_scan_needs(
    old: Storage, root: Path, spoil: Callable[[Path], None]
) -> None:
    path = root / "scans" / "two" / "layers.parquet"
    spoil(path)
    with pytest.raises(
        StoreError, match=r"nothing is collected: scan two is kept.*layers\.parquet"
    ):
        plan_collection(old, keep_scans=2)
    assert names(plan_collection(old, keep_scans=1), "graphs"), "that of another scan is no matter"
    assert "two" in plan_collection(old, keep_scans=1).losing


def test_it_refuses_while_a_manifest_is_damaged(old: Storage, root: Path) -> None:
    truncate(root / "scans" / "one" / "manifest.json")
    with pytest.raises(StoreError, match=r"nothing is collected: .*one/manifest\.json is damaged"):
        plan_collection(old, keep_scans=1)


def test_it_refuses_a_manifest_of_another_scan(old: Storage, root: Path) -> None:
    source, target = root / "scans" / "two", root / "scans" / "one"
    shutil.copyfile(source / "manifest.json", target / "manifest.json")
    with pytest.raises(StoreError, match=r"scans/one/manifest\.json is of another scan"):
        plan_collection(old, keep_scans=1)


def test_canvases_stay_while_a_needed_probe_set_is_damaged(old: Storage, root: Path) -> None:
    key = json.loads((root / "scans/three/manifest.json").read_text())["probe_set"]
    truncate(root / "canvases" / "sets" / f"{key}.json")
    plan = plan_collection(old, keep_scans=1)
    assert not names(plan, "canvases") | names(plan, "probe sets")
    assert "all canvases are left" in plan.notes[0]


def test_a_young_probe_set_protects_its_canvases(old: Storage, root: Path) -> None:
    key = json.loads((root / "scans/one/manifest.json").read_text())["probe_set"]
    age(root, -10, f"canvases/sets/{key}.json")
    plan = plan_collection(old, keep_scans=1)
    assert names(plan, "graphs")
    assert not names(plan, "canvases") | names(plan, "probe sets")


def test_a_scan_that_loses_its_probes_alone_says_so_too(old: Storage, root: Path) -> None:
    age(root, -10, "graphs/**/*")
    plan = plan_collection(old, keep_scans=1)
    assert kinds(plan) == {"probe sets": 1, "canvases": 1, "known inputs": 3}
    assert plan.losing == ("one", "two")
    collect(old, plan)
    assert verify_output(old).is_sound


def test_a_scan_that_was_killed_before_it_planned_holds_nobody_up(old: Storage, root: Path) -> None:
    start(old, None)
    edit_json(root / "running" / "night" / "owner.json", lambda tree: tree.update(ended="SIGTERM"))
    plan = plan_collection(old, keep_scans=2)
    assert plan.notes == ()
    assert collect(old, plan).spared == []


def test_files_that_are_not_of_this_program_stay(old: Storage, root: Path) -> None:
    for path in ("graphs/README", "graphs/ab/notes.txt", "graphs/ab/cd00/x", "mine/x", "scans/x"):
        old.create(path, b"mine")
    age(root, 10, "**/[xRn]*")
    assert kinds(plan_collection(old, keep_scans=2)) == {"graphs": 3, "known inputs": 1}


def test_no_output_is_a_mistake_and_nothing_is_written_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no graphs and no scans"):
        plan_collection(Storage(str(tmp_path / "nowhere")))
    assert not (tmp_path / "nowhere").exists()


def test_the_next_scan_computes_what_was_collected(old: Storage, root: Path, photos: Path) -> None:
    collect(old, plan_collection(old, keep_scans=1))
    summary = scan_inline(str(root), photos, [tiny("a", 0), tiny("b", 1)], scan_id="again")
    assert summary.failures == ()
    assert keys_of(root, "again") == keys_of(root, "one")
    assert verify_output(old).is_sound


# The same on S3.


def test_on_s3_what_no_kept_scan_needs_goes(remote: Storage, root: Path) -> None:
    assert plan_collection(remote, keep_scans=1).candidates == (), "it is young"
    plan = plan_collection(remote, keep_scans=1, grace_s=0, scans=True)
    assert kinds(plan) == {
        "scans": 2, "graphs": 9, "probe sets": 1, "canvases": 1, "known inputs": 3
    }  # fmt: skip
    result = collect(remote, plan)
    assert result.spared == []
    assert verify_output(remote).is_sound
    assert committed_keys(remote, keys_of(root, "three")) == keys_of(root, "three")
    assert len(remote.walk("graphs")) == 3 * 6


def test_on_s3_what_a_scan_needs_by_now_stays(remote: Storage, root: Path) -> None:
    plan = plan_collection(remote, keep_scans=1, grace_s=0)
    new = graph_of(root, "one", "a").name
    remote.create(f"graphs/{new[:2]}/{new}/nodes-000000-000012.parquet", b"1")
    start(remote, keys_of(root, "two"))
    result = collect(remote, plan)
    reasons = Counter(reason for candidate, reason in result.spared if candidate.kind == "graphs")
    assert reasons == {"a scan needs it by now": 6, "it was written to since": 1}
    assert committed_keys(remote, [*keys_of(root, "two"), new]) == keys_of(root, "two") | {new}
