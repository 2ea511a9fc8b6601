"""`verify_output`: a sound output is sound, and every kind of damage is found, named and mended."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from depara.errors import StorageUnavailableError, StoreError
from depara.maintenance import verify_output
from depara.store.graphs import committed_keys
from depara.store.storage import FileStat, Storage
from tests.jobs.inline import scan_inline, tiny
from tests.maintenance.damages import DAMAGES, Damage, chunk, nodes, probe_set
from tests.maintenance.outputs import flip, graph_of, keys_of


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_every_damage_is_found_and_named(root: Path, damage: Damage) -> None:
    spoiled = damage.spoil(root)
    storage = Storage(str(root))
    found = [p for p in verify_output(storage).problems if p.location == str(spoiled)]
    assert found, verify_output(storage).problems
    assert any(re.search(damage.message, str(problem)) for problem in found), found
    assert all(problem.remedy for problem in found)
    assert verify_output(storage, fast=True).is_sound != damage.quick
    assert verify_output(storage, scan_id="two").problems
    assert verify_output(storage, scan_id="three").is_sound


@pytest.mark.parametrize("fast", [False, True])
def test_a_sound_output_is_sound_and_counted(storage: Storage, root: Path, fast: bool) -> None:
    seen: list[tuple[int, int]] = []
    report = verify_output(
        storage, fast=fast, on_progress=lambda done, total: seen.append((done, total))
    )
    files = [p for p in root.glob("graphs/**/*") if p.is_file()]
    files += [p for p in root.glob("scans/**/*") if p.is_file()]
    assert report.problems == ()
    assert (report.num_graphs, report.num_scans) == (12, 3)
    assert report.num_files == len(files)
    assert report.num_bytes == sum(path.stat().st_size for path in files)
    assert (report.uncommitted_graphs, report.unfinished_scans, report.running_scans) == (0, 0, 0)
    assert seen == [(done, 12 + 3 + 2) for done in range(1, 18)]


def test_one_scan_is_looked_at_alone(storage: Storage) -> None:
    report = verify_output(storage, scan_id="three")
    assert (report.num_graphs, report.num_scans) == (3, 1)
    with pytest.raises(StoreError, match="no finished scan 'tree'; did you mean 'three'"):
        verify_output(storage, scan_id="tree")


def test_work_under_way_is_counted_and_is_no_error(storage: Storage, root: Path) -> None:
    (graph_of(root, "three", "c") / "graph.json").unlink()
    shutil.rmtree(root / "scans" / "three")
    (root / "latest.json").write_text(json.dumps({"scan_id": "two", "sequence": 3}))
    storage.create("scans/half/models.parquet", b"")
    storage.create("running/half/owner.json", b"{}")
    report = verify_output(storage)
    assert report.is_sound
    assert (report.uncommitted_graphs, report.unfinished_scans, report.running_scans) == (1, 1, 1)


def test_a_graph_that_a_scan_needs_must_be_committed(storage: Storage, root: Path) -> None:
    folder = graph_of(root, "one", "a")
    (folder / "graph.json").unlink()
    problem = verify_output(storage).problems[0]
    assert problem.location == str(folder)
    assert problem.what == "is not committed, but scan one refers to it"
    assert not verify_output(storage, fast=True).problems
    storage.create("scans/one/collected.json", b"{}")
    assert verify_output(storage).is_sound


def test_canvases_of_a_collected_scan_may_be_gone(storage: Storage, root: Path) -> None:
    shutil.rmtree(root / "canvases")
    assert len(verify_output(storage).problems) == 2
    for scan_id in ("one", "two"):
        storage.create(f"scans/{scan_id}/collected.json", b"{}")
    assert [p for p in verify_output(storage).problems if "three" in p.what] == []
    assert len(verify_output(storage).problems) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing, with 3 finished scans"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"scan_id": "four"}', "names a scan that is not finished: got four"),
    ],
)
def test_the_pointer_must_name_a_finished_scan(
    storage: Storage, root: Path, text: str | None, message: str
) -> None:
    path = root / "latest.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    for fast in (False, True):
        (problem,) = verify_output(storage, fast=fast).problems
        assert problem.location == str(path)
        assert message in str(problem)


def test_nothing_to_verify_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no graphs and no scans: check the path"):
        verify_output(Storage(str(tmp_path / "nowhere")))
    assert not (tmp_path / "nowhere").exists()


def test_what_is_discarded_is_computed_anew_by_the_next_scan(root: Path, photos: Path) -> None:
    storage = Storage(str(root))
    path = nodes(flip)(root)
    damaged = chunk(flip)(root)
    key = path.parent.name
    before = path.read_bytes()
    report = verify_output(storage, discard=True)
    sets = str(damaged.relative_to(root)), f"canvases/sets/{probe_set(lambda p: p)(root).name}"
    assert set(report.discarded) == {key, *sets}
    assert not report.is_sound, "what was found is still reported"
    assert committed_keys(storage, [key]) == set()
    assert not path.parent.exists()
    assert not damaged.exists()
    scan_inline(str(root), photos, [tiny("b", 1), tiny("c", 2)], scan_id="again")
    assert verify_output(storage).is_sound
    assert path.read_bytes() != before


def test_what_changes_while_it_is_verified_is_looked_at_again(root: Path) -> None:
    class Collected(Storage):
        """A collection deletes a graph after the listing, marker first."""

        def walk(self, path: str) -> dict[str, FileStat]:
            found = super().walk(path)
            if path == "graphs":
                shutil.rmtree(graph_of(root, "one", "a"))
                self.create("scans/one/collected.json", b"{}")
            return found

    assert verify_output(Collected(str(root))).is_sound

    class Rewritten(Storage):
        """A scan heals a graph between the listing and the reading."""

        def walk(self, path: str) -> dict[str, FileStat]:
            found = super().walk(path)
            if path == "graphs":
                healed = {p: FileStat(s.bytes + 1, s.modified_s) for p, s in found.items()}
                return {p: s for p, s in healed.items() if not p.endswith("edges.parquet")}
            return found

    assert verify_output(Rewritten(str(root))).is_sound


def test_what_is_listed_but_cannot_be_read_is_missing(root: Path) -> None:
    class Holed(Storage):
        def read(self, path: str) -> bytes:
            if path.endswith(("edges.parquet", "models.parquet")):
                raise FileNotFoundError(path)
            return super().read(path)

    missing = [p.location for p in verify_output(Holed(str(root))).problems]
    assert len([path for path in missing if path.endswith("edges.parquet")]) == 12
    assert len([path for path in missing if path.endswith("models.parquet")]) == 3


def test_a_storage_that_does_not_answer_is_no_damage(root: Path) -> None:
    class Away(Storage):
        def read(self, path: str) -> bytes:
            if path.endswith("edges.parquet"):
                raise StorageUnavailableError("the storage is away")
            return super().read(path)

    with pytest.raises(StorageUnavailableError, match="away"):
        verify_output(Away(str(root)))


def test_keys_are_those_of_the_scans(root: Path) -> None:
    """What the other tests build on: b is shared by the first two scans."""
    assert len(keys_of(root, "one") & keys_of(root, "two")) == 3
    assert not keys_of(root, "three") & keys_of(root, "two")
