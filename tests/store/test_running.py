"""Leases of scan ids: one process at a time, taken over from the dead only."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from depara.errors import StoreError
from depara.store.running import (
    DEAD_AFTER_S,
    RunningScan,
    ScanLease,
    claim_scan,
    remove_record,
    running_scans,
)
from depara.store.storage import Storage
from tests.conftest import ROOT
from tests.store.s3 import mock_s3, select_s3


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
    bucket = f"run-{tmp_path.name}".replace("_", "-").lower()[:60]
    select_s3(request.getfixturevalue("s3_endpoint"), bucket, monkeypatch)
    return Storage(f"s3://{bucket}/out")


def claim(storage: Storage, scan_id: str = "night") -> ScanLease:
    return claim_scan(storage, scan_id, "hash", "2026-01-01T00:00:00+00:00")


def rewrite_owner(storage: Storage, **changes: Any) -> None:
    path = "running/night/owner.json"
    owner = json.loads(storage.read(path))
    storage.replace(path, json.dumps({**owner, **changes}).encode())


def test_a_running_scan_is_seen_with_its_plan_and_gone_after_its_end(storage: Storage) -> None:
    assert running_scans(storage) == []
    lease = claim(storage)
    (seen,) = running_scans(storage)
    assert (seen.scan_id, seen.graph_keys, seen.probe_set) == ("night", frozenset(), None)
    assert not seen.is_dead(storage.now_s())
    lease.publish_plan(["k2", "k1"], "probes")
    (seen,) = running_scans(storage)
    assert (seen.graph_keys, seen.probe_set) == (frozenset({"k1", "k2"}), "probes")
    lease.release()
    assert running_scans(storage) == []


def test_a_scan_that_runs_is_not_taken_over(storage: Storage) -> None:
    claim(storage)
    with pytest.raises(StoreError, match=r"'night' is running already, on .* \(process \d+, last"):
        claim(storage)


@pytest.mark.parametrize(
    "changes",
    [
        {"process_start": "1"},  # the process id is another process' now
        {"pid": 2**22 + 1},
        {"ended": "interrupted"},
    ],
)
def test_a_dead_scan_is_taken_over(storage: Storage, changes: dict[str, Any]) -> None:
    first = claim(storage)
    rewrite_owner(storage, **changes)
    second = claim(storage)
    assert second.taken_over
    assert not first.taken_over
    first.beat()
    with pytest.raises(StoreError, match="was taken over by another process"):
        first.check()
    first.release()
    assert len(running_scans(storage)) == 1, "the loser leaves the winner's record alone"
    second.beat()
    second.check()


def test_a_scan_of_another_machine_is_dead_after_a_long_silence() -> None:
    owner = {"host": "elsewhere", "boot": "x", "pid_namespace": "y", "pid": os.getpid()}
    scan = RunningScan("night", owner, frozenset(), None, modified_s=1000.0)
    assert not scan.is_dead(1000.0 + DEAD_AFTER_S - 1)
    assert scan.is_dead(1000.0 + DEAD_AFTER_S + 1)


def test_where_processes_cannot_be_told_apart_only_silence_counts() -> None:
    owner = {"host": socket.gethostname(), "boot": None, "pid_namespace": None, "pid": 2**22 + 1}
    scan = RunningScan("night", owner, frozenset(), None, modified_s=1000.0)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(
            "depara.store.running._this_place",
            lambda: {"host": socket.gethostname(), "boot": None, "pid_namespace": None},
        )
        assert not scan.is_dead(1001.0)
        assert scan.is_dead(1000.0 + DEAD_AFTER_S + 1)


def test_a_beat_is_a_sign_of_life_by_the_storages_clock(storage: Storage) -> None:
    lease = claim(storage)
    for _ in range(3):
        lease.beat()
    lease.check()
    assert json.loads(storage.read("running/night/owner.json"))["beats"] == 3
    (seen,) = running_scans(storage)
    assert abs(seen.modified_s - storage.now_s()) < 60


def test_an_interrupted_scan_keeps_its_record_for_whoever_goes_on(storage: Storage) -> None:
    lease = claim(storage)
    lease.publish_plan(["k"], "probes")
    lease.interrupt("SIGTERM")
    (seen,) = running_scans(storage)
    assert seen.is_dead(storage.now_s())
    assert seen.graph_keys == {"k"}
    assert claim(storage).taken_over


def test_a_damaged_record_is_seen_and_removed(storage: Storage) -> None:
    storage.create("running/night/owner.json", b'{"tok')
    (seen,) = running_scans(storage)
    assert seen.owner == {}
    assert not seen.is_dead(seen.modified_s + 1)
    assert seen.is_dead(seen.modified_s + DEAD_AFTER_S + 1)
    remove_record(storage, "night")
    assert running_scans(storage) == []


def test_a_killed_process_is_dead_at_once(tmp_path: Path) -> None:
    code = (
        "from depara.store.running import claim_scan; from depara.store.storage import Storage; "
        f"claim_scan(Storage({str(tmp_path)!r}), 'night', 'h', 'now'); "
        "print('claimed', flush=True); import time; time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        storage = Storage(str(tmp_path))
        (seen,) = running_scans(storage)
        assert not seen.is_dead(storage.now_s())
        process.kill()
        process.wait()
        assert seen.is_dead(storage.now_s())
