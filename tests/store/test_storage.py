"""Storage: create-only, atomic, the same on local disk and on S3."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from depara.errors import StoreError
from depara.store.storage import Storage
from tests.store.s3 import SECRET, mock_s3, select_s3


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with mock_s3() as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "s3"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "out"))
    bucket = f"zoo-{tmp_path.name}".replace("_", "-").lower()[:60]
    select_s3(request.getfixturevalue("s3_endpoint"), bucket, monkeypatch)
    return Storage(f"s3://{bucket}/out")


def test_a_file_is_created_once_and_never_changed(storage: Storage) -> None:
    assert storage.create("a/b.bin", b"first")
    assert not storage.create("a/b.bin", b"second")
    assert storage.read("a/b.bin") == b"first"


def test_replace_replaces(storage: Storage) -> None:
    storage.replace("latest.json", b"1")
    storage.replace("latest.json", b"2")
    assert storage.read("latest.json") == b"2"


def test_missing_files_and_folders_are_said_to_be_missing(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.bin"):
        storage.read("nothing.bin")
    assert storage.read_or_none("nothing.bin") is None
    assert storage.files("nowhere") == {}
    assert storage.folders("nowhere") == []


def test_listing_sees_what_another_process_wrote_meanwhile(storage: Storage) -> None:
    storage.create("a/one", b"1")
    assert storage.files("a") == {"one": 1}
    other = pickle.loads(pickle.dumps(storage))
    other.create("a/two", b"22")
    other.create("a/deep/three", b"333")
    assert storage.files("a") == {"one": 1, "two": 2}
    assert storage.folders("a") == ["deep"]


def test_pickling_carries_the_location_only(storage: Storage) -> None:
    data = pickle.dumps(storage)
    assert SECRET.encode() not in data
    assert len(data) < 300


def test_a_writable_output_is_left_as_it_was(storage: Storage) -> None:
    storage.create("keep", b"1")
    storage.check_writable()
    assert storage.files("") == {"keep": 1}


def test_an_unwritable_output_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot write .*file/out.*Not a directory"):
        Storage(str(tmp_path / "file" / "out")).check_writable()


def test_a_bucket_that_does_not_exist_is_named(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    select_s3(s3_endpoint, "another", monkeypatch)
    with pytest.raises(StoreError, match="cannot write s3://no-such-bucket/out") as caught:
        Storage("s3://no-such-bucket/out").check_writable()
    assert SECRET not in str(caught.value)


def test_of_many_local_writers_one_wins_and_readers_see_it_whole(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    wins: list[int] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        if storage.create("x", bytes([number]) * 100_000):
            wins.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert storage.read("x") == bytes(wins) * 100_000
    assert os.listdir(tmp_path) == ["x"]
