"""A local disk and network file systems: what passes is tried again, what they lack is replaced."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from depara import retries
from depara.errors import StorageUnavailableError, StoreError
from depara.store.storage import Storage
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "POLICY", retries.RetryPolicy(0.5, 0.01, 0.02))


def stumble(
    module: Any, name: str, number: int, times: float, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Lets a function of the system fail so often; returns the list of its calls."""
    real, calls = getattr(module, name), []

    def stumbling(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, stumbling)
    return calls


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN])
def test_what_passes_is_tried_again(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    for name in ("fsync", "link"):
        stumble(os, name, number, 2, monkeypatch)
        assert storage.create(name, b"1")
    stumble(os, "replace", number, 2, monkeypatch)
    storage.replace("x", b"1")
    stumble(os, "scandir", number, 2, monkeypatch)
    assert storage.files("") == {"fsync": 1, "link": 1, "x": 1}
    assert sorted(os.listdir(tmp_path)) == ["fsync", "link", "x"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_what_lasts_is_said_at_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    calls = stumble(os, "fsync", number, 1000, monkeypatch)
    with pytest.raises(StoreError, match=rf"cannot write .*/x: {os.strerror(number)}; .*room"):
        storage.create("x", b"1")
    assert len(calls) == 1
    assert os.listdir(tmp_path) == []


def test_a_disk_that_stays_away_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path))
    stumble(os, "fsync", errno.EIO, float("inf"), monkeypatch)
    with pytest.raises(StorageUnavailableError, match=r"cannot write .*/x: .*Input/output error"):
        storage.create("x", b"1")


def test_a_link_whose_answer_got_lost_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def lost(source: str, target: Path) -> None:
        real(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", lost)
    monkeypatch.setattr(
        "depara.store.backends.local._HAS_NAMELESS", False
    )  # as on network file systems
    storage = Storage(str(tmp_path))
    assert storage.create("x", b"1")
    assert not storage.create("x", b"2")
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stumble(os, "link", errno.EOPNOTSUPP, float("inf"), monkeypatch)
    storage = Storage(str(tmp_path))
    assert storage.create("x", b"1")
    assert not storage.create("x", b"2")
    assert storage.read("x") == b"1"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("name", ["fsync", "link", "replace"])
def test_a_killed_writer_leaves_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The process dies at each step of a write: then no cleaning up runs either."""
    code = (
        "import os, sys; from depara.store.storage import Storage; "
        "storage = Storage(sys.argv[1]); storage.create('old', b'1'); "
        f"os.{name} = lambda *a, **k: os._exit(9); "
        "storage.create('new', b'2') if sys.argv[2] == 'create' else storage.replace('old', b'2')"
    )
    for operation in ("create", "replace"):
        command = [sys.executable, "-c", code, str(tmp_path / operation), operation]
        killed = subprocess.run(command, cwd=ROOT, check=False).returncode == 9
        assert killed == (operation == "replace" or name != "replace")
        storage = Storage(str(tmp_path / operation))
        assert storage.read("old") == b"1"
        assert set(storage.files("")) <= {"old", "new"}
        storage.replace("old", b"3")
        visible = {"old"} if killed else {"old", "new"}
        assert set(os.listdir(tmp_path / operation)) == visible


def test_a_file_system_without_nameless_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("depara.store.backends.local._HAS_NAMELESS", False)
    storage = Storage(str(tmp_path))
    assert storage.create("x", b"1")
    assert not storage.create("x", b"2")
    storage.replace("x", b"3")
    assert storage.read("x") == b"3"
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_system_without_locks_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stumble(fcntl, "flock", errno.ENOLCK, float("inf"), monkeypatch)
    storage = Storage(str(tmp_path))
    caplog.set_level(logging.WARNING, logger="depara.storage")
    storage.replace("x", b"0")
    for number in (b"1", b"2"):
        _, version = storage.read_versioned("x") or (b"", "")
        assert storage.swap("x", number, version)
    assert storage.read("x") == b"2"
    [record] = caplog.records
    assert "has no file locks" in record.getMessage()
