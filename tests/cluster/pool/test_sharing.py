"""What each node must have of a scan's local paths, and what is said when it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.pool import sharing
from cluster.pool.sharing import (
    Place,
    check_job_folder,
    check_mark,
    check_places,
    local_places,
    marked_output,
    missing_places,
    this_machine,
)
from depara.config import ScanConfig, parse_scan
from depara.errors import ConfigError
from depara.store.storage import Storage


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the scan below names."""
    monkeypatch.setattr(sharing, "_LOOK_EVERY_S", 0.0)
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "spill", "vit", "out"):
        (tmp_path / name).mkdir()
    for name in ("w.pth", "list.txt"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def scan(folder: Path, **top: str) -> ScanConfig:
    output = top.get("output", f"{folder}/out")
    return parse_scan(f"""
output: {output}
probes: {{source: ["{folder}/photos/*.png", "{folder}/list.txt", "s3://b/p", "{folder}/none"]}}
compute: {{spill_dir: "{folder}/spill"}}
models:
  - {{id: file, source: "python:a:b", weights: "{folder}/w.pth"}}
  - {{id: gone, source: "python:a:b", weights: "{folder}/gone.pth"}}
  - {{id: name, source: "torchvision:resnet18", weights: DEFAULT}}
  - {{id: random, source: "torchvision:resnet18", weights: "random:0"}}
  - {{id: remote, source: "python:a:b", weights: "s3://b/w.pth"}}
  - {{id: folder, source: "hf:vit"}}
  - {{id: hub, source: "hf:google/vit"}}
""").config


def other_node(*lacking: str) -> Callable[..., dict[str, Any]]:
    """Asks two nodes: one like this machine, and one that lacks these paths."""

    def ask(task: Callable[..., Any], places: tuple[Place, ...]) -> dict[str, Any]:
        def is_lacking(place: Place) -> bool:
            return any(name in place.path for name in lacking)

        return {"node A": task(places), "node B": [p for p in places if is_lacking(p)]}

    return ask


def test_only_local_paths_that_exist_here_are_asked_for(here: Path) -> None:
    places = {(p.field, p.path, p.need) for p in local_places(scan(here), f"{here}/out/mark")}
    assert places == {
        ("output", f"{here}/out/mark", "share"),
        ("compute.spill_dir", f"{here}/spill", "write"),
        ("probes.source", f"{here}/photos", "read"),
        ("models.file.weights", f"{here}/w.pth", "read"),
        ("models.folder.source", f"{here}/vit", "read"),
    }


def test_where_all_is_shared_nothing_is_said_and_the_mark_goes_again(here: Path) -> None:
    storage = Storage(f"{here}/out")
    with marked_output(storage) as mark:
        assert mark is not None
        check_places(scan(here), mark, other_node())
        check_places(scan(here), mark, this_machine)
        check_mark(mark, "node A")
        assert Path(mark).exists()
    assert not list((here / "out").rglob("*"))


def test_the_mark_of_a_killed_scan_goes_with_the_next_one_and_a_living_ones_stays(
    here: Path,
) -> None:
    storage = Storage(f"{here}/out")
    with marked_output(storage) as living:
        assert living is not None
        _, pid, started, _ = living.rsplit("-", 3)
        dead = Path(living.replace(f"-{pid}-{started}-", f"-{pid}-1-"))
        elsewhere = dead.with_name(".seen-other-machine-1-1-0")
        dead.touch()
        elsewhere.touch()
        with marked_output(storage):
            assert (dead.exists(), elsewhere.exists(), Path(living).exists()) == (False, True, True)


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("/out/", "output '.*/out' is a local folder that node B does not share.*s3://bucket"),
        ("photos", "probes.source '.*/photos' is here, but not on node B: use s3://"),
        ("w.pth", "models.file.weights '.*w.pth' is here, but not on node B"),
        ("vit", "models.folder.source '.*vit' is here, but not on node B"),
        ("spill", "compute.spill_dir '.*/spill' is no folder on node B that can be written"),
    ],
)
def test_what_a_node_lacks_is_refused_by_field_and_node(
    here: Path, lacking: str, message: str
) -> None:
    with (
        marked_output(Storage(f"{here}/out")) as mark,
        pytest.raises(ConfigError, match=message),
    ):
        check_places(scan(here), mark, other_node(lacking))


def test_a_spill_folder_that_is_not_here_is_refused_without_a_cluster_too(here: Path) -> None:
    (here / "spill").rmdir()
    with pytest.raises(ConfigError, match=r"spill_dir .* is no folder on this machine"):
        check_places(scan(here), None, this_machine)


def test_many_complaints_are_cut_short(here: Path) -> None:
    def ask(task: Callable[..., Any], places: tuple[Place, ...]) -> dict[str, Any]:
        lost = [Place(f"models.m{i}.weights", f"/w{i}", "read") for i in range(9)]
        return {"node B": lost, "node C": lost}

    with pytest.raises(ConfigError) as caught:
        check_places(scan(here), None, ask)
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert "not on node B and 1 more" in lines[0]
    assert lines[-1] == "and 4 more"


def test_a_node_that_joins_later_and_does_not_share_the_output_says_so(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"output '.*/out' .* node C does not share"):
        check_mark(f"{here}/out/running/.seen-1", "node C")
    check_mark(None, "node C")


def test_a_mark_that_takes_its_time_is_waited_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = here / "mark"
    monkeypatch.setattr(sharing.time, "sleep", lambda seconds: mark.touch())
    assert missing_places([Place("output", str(mark), "share")]) == []


def test_a_remote_output_needs_no_mark() -> None:
    with marked_output(Storage("memory://bucket/out")) as mark:
        assert mark is None


def test_an_output_in_a_jobs_own_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "session_1" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    inside.mkdir(parents=True)
    (tmp_path / "link").symlink_to(inside)
    for output in (f"{inside}/out", f"{tmp_path}/link/out"):
        with pytest.raises(ConfigError, match=r"in the job's own folder.*set output to s3://"):
            check_job_folder(scan(tmp_path, output=output))
    check_job_folder(scan(tmp_path))
    check_job_folder(scan(tmp_path, output="s3://bucket/runtime_resources"))
