"""Storage: whole files, created once or swapped by version, the same everywhere."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.lab.faults import FaultProxy
from benchmarks.lab.weed import Weed
from depara.errors import StoreError
from depara.store.storage import Storage
from tests.store.s3 import SECRET, mock_s3, select_s3
from tests.store.weed import weed

__all__ = ["weed"]

THREADS = 6


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with mock_s3() as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "moto", "weed", "memory"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "out"))
    if request.param == "memory":
        return Storage(f"memory://{tmp_path.name}/out")
    if request.param == "moto":
        select_s3(request.getfixturevalue("s3_endpoint"), "storage", monkeypatch)
    else:
        request.getfixturevalue("weed").select("storage", monkeypatch)
    return Storage(f"s3://storage/{tmp_path.name}/out")


def at_once(work: Callable[[int], None]) -> None:
    """Runs the work in `THREADS` threads that start together, and raises what one raises."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        start.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, range(THREADS)))


def test_a_file_is_created_once_and_never_changed(storage: Storage) -> None:
    assert storage.create("a/b.bin", b"first")
    assert not storage.create("a/b.bin", b"second")
    assert storage.read("a/b.bin") == b"first"
    assert storage.create("a/empty", memoryview(b""))
    assert storage.read("a/empty") == b""


def test_a_file_is_ensured_when_it_holds_the_same_bytes(storage: Storage) -> None:
    storage.ensure("a", b"same")
    storage.ensure("a", memoryview(b"same"))
    with pytest.raises(StoreError, match=r"out/a exists with other content .* expected 5"):
        storage.ensure("a", b"other")
    assert storage.read("a") == b"same"


def test_replace_replaces(storage: Storage) -> None:
    storage.replace("latest.json", b"1")
    storage.replace("latest.json", b"2")
    assert storage.read("latest.json") == b"2"


def test_a_swap_needs_the_present_version(storage: Storage) -> None:
    assert storage.read_versioned("a/latest") is None
    assert storage.swap("a/latest", b"one", None)
    assert not storage.swap("a/latest", b"eins", None)
    content, version = storage.read_versioned("a/latest") or (b"", "")
    assert content == b"one"
    assert not storage.swap("a/absent", b"two", version)
    assert storage.swap("a/latest", b"two", version)
    assert not storage.swap("a/latest", b"three", version)
    assert storage.read("a/latest") == b"two"
    assert storage.files("a") == {"latest": 3}


def test_missing_files_and_folders_are_said_to_be_missing(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.bin"):
        storage.read("nothing.bin")
    assert storage.read_or_none("nothing.bin") is None
    assert storage.files("nowhere") == {}
    assert storage.folders("nowhere") == []
    assert storage.walk("nowhere") == {}
    storage.remove(["nothing.bin", "nowhere/at/all"])


def test_listing_sees_what_another_process_wrote_meanwhile(storage: Storage) -> None:
    storage.create("a/one", b"1")
    assert storage.files("a") == {"one": 1}
    other = pickle.loads(pickle.dumps(storage))
    other.create("a/two", b"22")
    other.create("a/deep/three", b"333")
    assert storage.files("a") == {"one": 1, "two": 2}
    assert storage.folders("a") == ["deep"]


def test_a_walk_goes_below_one_folder_and_leaves_hidden_files_out(storage: Storage) -> None:
    for path in ("a/one", "a/b/two", "a/b/.hidden", "ab/three", "four"):
        storage.create(path, path.encode())
    found = storage.walk("a")
    assert {path: stat.bytes for path, stat in found.items()} == {"a/b/two": 7, "a/one": 5}
    assert set(storage.walk("")) == {"a/one", "a/b/two", "ab/three", "four"}
    now_s = storage.now_s()
    assert all(abs(now_s - stat.modified_s) < 120 for stat in found.values())
    assert set(storage.walk("")) == {"a/one", "a/b/two", "ab/three", "four"}


def test_removed_files_are_gone_and_their_neighbours_are_not(storage: Storage) -> None:
    for path in ("a/b/one", "a/b/two", "a/c/one"):
        storage.create(path, b"1")
    storage.remove(path for path in ("a/b/one", "a/missing", "a/b/two"))
    assert set(storage.walk("")) == {"a/c/one"}
    assert storage.create("a/b/one", b"again")


def test_a_folder_without_files_does_not_stay_on_a_local_disk(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    storage.create("a/b/one", b"1")
    storage.create("a/two", b"1")
    storage.remove(["a/b/one"])
    assert storage.folders("a") == []
    storage.remove(["a/two"])
    assert os.listdir(tmp_path / "out") == []


def test_the_storage_tells_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    real = os.stat

    def an_hour_fast(path: str, **options: bool) -> os.stat_result:
        found = real(path, **options)  # type: ignore[call-overload]
        fields = list(found)
        fields[8] += 3600
        return os.stat_result(fields)

    monkeypatch.setattr(os, "stat", an_hour_fast)
    assert 3000 < storage.now_s() - time.time() < 4200


def test_pickling_carries_the_location_only(storage: Storage) -> None:
    storage.create("a", b"1")
    data = pickle.dumps(storage)
    assert SECRET.encode() not in data
    assert Weed.secret_key.encode() not in data
    assert len(data) < 300


def test_a_writable_output_is_left_as_it_was(storage: Storage) -> None:
    storage.create("keep", b"1")
    storage.check_writable()
    assert set(storage.walk("")) == {"keep"}


def test_an_unwritable_output_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot write .*file/out.*Not a directory"):
        Storage(str(tmp_path / "file" / "out")).check_writable()


def test_a_bucket_that_does_not_exist_is_named_and_is_not_an_empty_one(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    select_s3(s3_endpoint, "another", monkeypatch)
    storage = Storage("s3://no-such-bucket/out")
    with pytest.raises(StoreError, match=r"cannot write s3://no-such-bucket/out.*bucket"):
        storage.check_writable()
    for ask in (storage.read_or_none, storage.files, storage.folders, storage.walk):
        with pytest.raises(StoreError, match="s3://no-such-bucket/out/x: NoSuchBucket"):
            ask("x")


@pytest.mark.parametrize("storage", ["local", "weed"], indirect=True)
def test_of_many_writers_one_wins_and_readers_see_it_whole(storage: Storage) -> None:
    wins: list[int] = []

    def write(number: int) -> None:
        if storage.create("x", bytes([number]) * 100_000):
            wins.append(number)

    at_once(write)
    assert len(wins) == 1
    assert storage.read("x") == bytes(wins) * 100_000
    assert set(storage.walk("")) == {"x"}


@pytest.mark.parametrize("storage", ["local", "weed"], indirect=True)
def test_swaps_of_many_writers_lose_no_update(storage: Storage) -> None:
    storage.create("counter", b"0")

    def count(_: int) -> None:
        done = 0
        while done < 10:
            content, version = storage.read_versioned("counter") or (b"", "")
            done += storage.swap("counter", str(int(content) + 1).encode(), version)

    at_once(count)
    assert storage.read("counter") == str(THREADS * 10).encode()


def test_of_equal_swaps_one_wins(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.create("x", b"old")
    _, version = storage.read_versioned("x") or (b"", "")
    wins: list[bool] = []
    at_once(lambda number: wins.append(storage.swap("x", b"new", version)))
    assert sorted(wins) == [False] * (THREADS - 1) + [True]


def test_folders_that_vanish_under_a_writer_are_made_again(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))

    def make_and_remove(number: int) -> None:
        for _ in range(50):
            assert storage.create(f"a/b/{number}", b"1")
            storage.remove([f"a/b/{number}"])

    at_once(make_and_remove)
    assert storage.walk("") == {}


def test_more_than_a_thousand_objects_take_one_request_per_thousand(
    weed: Weed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(weed.endpoint, rate=0) as proxy:
        weed.select("storage", monkeypatch, proxy.endpoint)
        storage = Storage("s3://storage/many")
        names = [f"graphs/{number:04d}" for number in range(1003)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: storage.replace(name, b"1"), names))
        proxy.counts.paths.clear()
        assert list(storage.walk("graphs")) == names
        assert list(storage.files("graphs")) == [name.partition("/")[2] for name in names]
        storage.remove(names)
        assert storage.walk("graphs") == {}
        assert proxy.counts.paths == {("GET", "list"): 5, ("POST", "delete"): 2}


def test_a_second_name_has_the_bytes_and_outlives_the_first(storage: Storage) -> None:
    storage.create("old/a", b"12345")
    for _ in range(2):  # a task may be repeated
        storage.link("new/deep/a", "old/a", b"12345")
    storage.remove(["old/a"])
    assert storage.read("new/deep/a") == b"12345"
    storage.create("old/b", b"54321")
    with pytest.raises(StoreError, match="exists with other content"):
        storage.link("new/deep/a", "old/b", b"54321")
    assert storage.read("new/deep/a") == b"12345"


def test_a_second_name_is_the_same_file_where_there_are_such(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.create("a", b"12345")
    storage.link("b", "a", b"12345")
    assert (tmp_path / "b").samefile(tmp_path / "a")
    storage.replace("b", b"new")
    assert storage.read("a") == b"12345"
