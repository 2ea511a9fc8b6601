"""Storage under faults: each kind is outlasted, its answers stay true, and patience has a bound."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from benchmarks.lab.faults import KINDS, FaultProxy
from benchmarks.lab.s3 import select_endpoint
from benchmarks.lab.weed import Weed
from depara import retries
from depara.errors import StorageUnavailableError, StoreError
from depara.store.backends import remote
from depara.store.storage import Storage
from tests.store.s3 import mock_s3, select_s3
from tests.store.weed import weed

__all__ = ["weed"]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with mock_s3() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.config

    policy = retries.RetryPolicy(total_s=60, first_wait_s=0.01, longest_wait_s=0.1)
    monkeypatch.setattr(retries, "POLICY", policy)
    timeouts = {"config_kwargs": {"read_timeout": 0.3}}
    monkeypatch.setitem(fsspec.config.conf, "s3", timeouts)


def be_patient_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "POLICY", replace(retries.POLICY, total_s=seconds))


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "depara.storage"]


def is_about(name: str, *methods: str) -> Callable[[str, str], bool]:
    def is_meant(method: str, path: str) -> bool:
        kind = "LIST" if "list-type" in path else method
        return kind in methods and path.partition("?")[0].endswith(name)

    return is_meant


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_is_outlasted_and_the_answer_is_true(
    kind: str, weed: Weed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first requests of each operation fail for certain."""
    count = 1 if kind == "timeout" else 2
    with FaultProxy(weed.endpoint, 0, [kind], hold_s=0.5) as proxy:
        weed.select("faults", monkeypatch, proxy.endpoint)
        storage = Storage(f"s3://faults/{kind}")
        storage.create("a/y", b"")

        def try_out(method: str, action: Callable[[], object]) -> object:
            proxy.aim(count, is_about({"PUT": "a/x", "GET": "a/x"}.get(method, ""), method))
            proxy.counts.faults.clear()
            result = action()
            assert proxy.counts.faults == {kind: count}
            return result

        assert try_out("PUT", lambda: storage.create("a/x", b"1")) is True
        assert try_out("PUT", lambda: storage.create("a/x", b"1")) is False
        content, version = try_out("GET", lambda: storage.read_versioned("a/x"))  # type: ignore[misc]
        assert content == b"1"
        assert try_out("PUT", lambda: storage.swap("a/x", b"2", version)) is True
        assert try_out("PUT", lambda: storage.swap("a/x", b"2", version)) is False
        assert try_out("PUT", lambda: storage.replace("a/x", b"333")) is None
        assert try_out("GET", lambda: storage.read("a/x")) == b"333"
        assert try_out("LIST", lambda: storage.files("a")) == {"x": 3, "y": 0}
        assert try_out("LIST", lambda: list(storage.walk(""))) == ["a/x", "a/y"]
        assert try_out("HEAD", lambda: storage.now_s() > 0) is True
        assert try_out("POST", lambda: storage.remove(["a/x", "a/y"])) is None
        assert try_out("LIST", lambda: storage.walk("")) == {}


def test_hundreds_of_operations_at_five_percent_of_each_fault(
    weed: Weed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that do the same work over a sound and over a faulty way leave the same files."""
    results = []
    for name, rate in (("sound", 0.0), ("faulty", 0.05)):
        with FaultProxy(weed.endpoint, rate, KINDS, seed=1, hold_s=0.5) as proxy:
            weed.select("faults", monkeypatch, proxy.endpoint)
            storage = Storage(f"s3://faults/five-percent/{name}")
            with ThreadPoolExecutor(8) as pool:
                sizes = list(pool.map(lambda number, s=storage: work_of_one(s, number), range(8)))
            added = sorted((storage.read("log")).split())
            files = {path: storage.read(path) for path in storage.walk("") if path != "log"}
            results.append((sizes, set(added), files))
            if rate:
                assert proxy.counts.total > 300
                assert set(proxy.counts.faults) == set(KINDS)
            else:
                assert len(added) == len(set(added)) == 8 * 3
    assert results[0] == results[1]
    assert len(results[0][2]) == 8 * 6


def work_of_one(storage: Storage, number: int) -> list[dict[str, int]]:
    """One of 8 writers: immutable files, one pointer, entries of a common log, some removals."""
    draw = random.Random(number)
    listings = []
    for step in range(6):
        folder = f"graphs/{number}/{step}"
        storage.ensure(f"{folder}/nodes", draw.randbytes(50_000))
        storage.ensure(f"{folder}/edges", draw.randbytes(100))
        assert storage.create(f"{folder}/graph.json", b"{}")
        assert not storage.create(f"{folder}/graph.json", b"{}")
        storage.replace(f"latest/{number}", str(step).encode())
        listings.append(storage.files(folder))
        if step % 2:
            storage.remove(f"{folder}/{name}" for name in ("graph.json", "nodes", "edges"))
            while not append(storage, f"{number}-{step}"):
                pass
        else:
            storage.remove([f"{folder}/edges", f"{folder}/graph.json"])
            storage.create(f"{folder}/kept", str(step).encode())
            storage.remove([f"{folder}/nodes"] * (step == 4))
    return listings


def append(storage: Storage, entry: str) -> bool:
    found = storage.read_versioned("log")
    content, version = found or (b"", None)
    return storage.swap("log", content + f"{entry}\n".encode(), version)


def test_a_storage_that_is_gone_for_a_while_is_waited_for(
    weed: Weed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retries, "POLICY", replace(retries.POLICY, warn_after_s=0))
    with FaultProxy(weed.endpoint, 0) as proxy:
        weed.select("faults", monkeypatch, proxy.endpoint)
        storage = Storage("s3://faults/gone-a-while/out")
        storage.create("a", b"1")
        proxy.down()
        threading.Timer(1, proxy.up).start()
        with caplog.at_level(logging.WARNING, logger="depara.storage"):
            assert storage.read("a") == b"1"
    [warning] = warnings_in(caplog)
    assert warning.startswith(
        "storage does not answer: cannot read s3://faults/gone-a-while/out/a ("
    )
    assert "until" in warning


def test_patience_has_a_bound_that_is_told(weed: Weed, monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient_for(0.5, monkeypatch)
    with FaultProxy(weed.endpoint, 0, ["slow_down"], first=1000) as proxy:
        weed.select("faults", monkeypatch, proxy.endpoint)
        storage = Storage("s3://faults/bounded/out")
        operations = {
            "read s3://faults/bounded/out/a": lambda: storage.read("a"),
            "list s3://faults/bounded/out/b": lambda: storage.files("b"),
            "write s3://faults/bounded/out/c": lambda: storage.replace("c", b""),
            "remove s3://faults/bounded/out/d": lambda: storage.remove(["d"]),
        }
        for operation, action in operations.items():
            expected = rf"^cannot {operation}: .* [0-9]+ attempts over [0-9] s; last: SlowDown: .*"
            with pytest.raises(StorageUnavailableError, match=expected) as caught:
                action()
            assert caught.value.__cause__ is None


def test_errors_that_do_not_pass_are_not_retried(
    weed: Weed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(weed.endpoint, 0) as proxy:
        weed.select("faults", monkeypatch, proxy.endpoint)
        with pytest.raises(StoreError, match="no-such-bucket/out/a: NoSuchBucket"):
            Storage("s3://no-such-bucket/out").read("a")
        with pytest.raises(FileNotFoundError):
            Storage("s3://faults/lasting/out").read("a")
        select_endpoint(proxy.endpoint, Weed.access_key, "another-secret", monkeypatch)
        with pytest.raises(StoreError, match="SignatureDoesNotMatch"):
            Storage("s3://faults/lasting/out").read("a")
        select_endpoint(proxy.endpoint, "another-key", "another-secret", monkeypatch)
        with pytest.raises(StoreError, match="InvalidAccessKeyId"):
            Storage("s3://faults/lasting/out").replace("a", b"1")
        assert proxy.counts.requests == {"GET": 3, "PUT": 1}


@pytest.mark.parametrize("conditions", ["strip", "refuse"])
def test_without_conditional_writes_files_are_verified_and_it_is_said_once(
    conditions: str,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bucket = f"conditions-{conditions}"
    with FaultProxy(s3_endpoint, 0, conditions=conditions) as proxy:  # type: ignore[arg-type]
        select_s3(s3_endpoint, bucket, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        with caplog.at_level(logging.WARNING, logger="depara.storage"):
            for _ in range(2):
                storage = Storage(f"s3://{bucket}/out")
                storage.remove(["a/x"])
                assert storage.create("a/x", b"1")
                assert not storage.create("a/x", b"2")
                content, version = storage.read_versioned("a/x") or (b"", "")
                assert content == b"1"
                assert storage.swap("a/x", b"2", version)
                assert not storage.swap("a/x", b"3", version)
                assert storage.read("a/x") == b"2"
                storage.ensure("a/x", b"2")
        assert set(storage.walk("")) == {"a/x"}
    [warning] = warnings_in(caplog)
    assert f"s3://{bucket} has no conditional writes (create, swap)" in warning


@pytest.mark.parametrize("root", ["s3://faults/with-conditions/out", "memory://faults/out"])
def test_conditional_writes_are_used_where_they_hold(
    root: str, weed: Weed, monkeypatch: pytest.MonkeyPatch
) -> None:
    weed.select("faults", monkeypatch)
    storage = Storage(root)
    storage.create("a", b"1")
    backend = storage._backend
    assert isinstance(backend, remote.RemoteBackend)
    expected = {"create", "swap"} if root.startswith("s3") else {"create"}
    assert backend._kept_promises() == expected


def test_a_writer_without_conditional_writes_sees_that_another_one_won(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote.RemoteBackend, "_kept_promises", lambda self: frozenset())
    storage = Storage("memory://verified/out")
    real = remote.RemoteBackend.replace

    def overtaken(self: remote.RemoteBackend, path: str, data: bytes) -> None:
        real(self, path, data)
        real(self, path, b"of another writer")

    storage.replace("b", b"old")
    _, version = storage.read_versioned("b") or (b"", "")
    monkeypatch.setattr(remote.RemoteBackend, "replace", overtaken)
    assert not storage.create("a", b"mine")
    assert not storage.swap("b", b"mine", version)
    with pytest.raises(StoreError, match="other content"):
        storage.ensure("a", b"mine")
