"""Credentials: in no error text, no log line, no pickle, whatever goes wrong."""

from __future__ import annotations

import logging
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator

import pytest

from benchmarks.lab.faults import FaultProxy
from benchmarks.lab.s3 import select_endpoint
from benchmarks.lab.weed import Weed
from depara import retries
from depara.errors import DeparaError, ProbeError, StorageUnavailableError, StoreError, WeightsError
from depara.locations import read_bytes
from depara.models.checkpoint import weights_file
from depara.probes import decode_probe
from depara.store.storage import Storage
from depara.types import ProbeRef
from tests.probes.pictures import list_probes
from tests.store.weed import weed

__all__ = ["weed"]

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
PASSWORD = "pass-of-a-proxy"


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = retries.RetryPolicy(0.3, 0.01, 0.05, warn_after_s=0)
    monkeypatch.setattr(retries, "POLICY", policy)


def operations(root: str) -> list[Callable[[], object]]:
    storage = Storage(root)

    def weights() -> None:
        with weights_file(f"{root}/w.pth"):
            pass

    return [
        lambda: storage.create("a", b"1"),
        lambda: storage.replace("a", b"1"),
        lambda: storage.swap("a", b"1", '"version"'),
        lambda: storage.read("a"),
        lambda: storage.files("a"),
        lambda: storage.walk(""),
        lambda: storage.remove(["a"]),
        lambda: storage.now_s(),
        lambda: storage.check_writable(),
        lambda: decode_probe(ProbeRef(f"{root}/a.png"), 16),
        lambda: list_probes(root),
        lambda: list_probes(f"{root}/*.png"),
        weights,
    ]


def texts_of_failures(root: str, caplog: pytest.LogCaptureFixture) -> tuple[str, list[type]]:
    """Everything that a user, a log or another process may get to see of failing operations."""
    caplog.set_level(logging.DEBUG, logger="depara")
    texts, types = [repr(Storage(root)), repr(pickle.dumps(Storage(root)))], []
    for operation in operations(root):
        with pytest.raises(DeparaError) as caught:
            operation()
        types.append(type(caught.value))
        texts += [
            "".join(traceback.format_exception(caught.value)),
            repr(pickle.dumps(caught.value)),
        ]
    texts += [r.getMessage() for r in caplog.records if r.name.startswith("depara")]
    return "\n".join(texts), types


def test_a_wrong_key(
    weed: Weed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weed.select("secrets", monkeypatch)
    for key, code in ((KEY, "InvalidAccessKeyId"), (Weed.access_key, "SignatureDoesNotMatch")):
        select_endpoint(weed.endpoint, key, SECRET, monkeypatch)
        text, types = texts_of_failures("s3://secrets/out", caplog)
        assert code in text
        assert set(types) == {StoreError, ProbeError, WeightsError}
        assert SECRET not in text
        assert key not in text


def test_no_such_bucket(
    weed: Weed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    weed.select("secrets", monkeypatch)
    text, types = texts_of_failures("s3://no-such-bucket/out", caplog)
    assert set(types) == {StoreError, ProbeError, WeightsError}
    assert Weed.secret_key not in text
    assert Weed.access_key not in text


@pytest.fixture
def closed_address() -> Iterator[str]:
    """An address that is taken, and where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{closed.getsockname()[1]}"


def test_an_endpoint_that_nobody_answers_at(
    closed_address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    select_endpoint(f"http://{closed_address}", KEY, SECRET, monkeypatch)
    text, types = texts_of_failures("s3://bucket/out", caplog)
    assert set(types) == {StorageUnavailableError}
    assert closed_address in text
    assert KEY not in text
    assert SECRET not in text


def test_an_endpoint_with_a_password(
    closed_address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Which aiohttp refuses, beside the signature."""
    select_endpoint(f"http://user:{PASSWORD}@{closed_address}", KEY, SECRET, monkeypatch)
    text, types = texts_of_failures("s3://bucket/out", caplog)
    assert set(types) == {StoreError, ProbeError, WeightsError}
    assert PASSWORD not in text


def test_connections_that_break(
    weed: Weed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultProxy(weed.endpoint, 0, ("reset", "internal_error"), first=10_000) as proxy:
        weed.select("secrets", monkeypatch, proxy.endpoint)
        text, types = texts_of_failures("s3://secrets/out", caplog)
    assert set(types) == {StorageUnavailableError}
    assert "storage does not answer" in text
    assert Weed.secret_key not in text
    assert Weed.access_key not in text


def test_a_password_in_a_location(closed_address: str) -> None:
    root = f"http://user:{PASSWORD}@{closed_address}"
    assert PASSWORD not in repr(Storage(root))
    actions = [
        lambda: Storage(root).read("a"),
        lambda: Storage(root).create("a", b"1"),
        lambda: read_bytes(f"{root}/a"),
        lambda: decode_probe(ProbeRef(f"{root}/a.png"), 16),
    ]
    for action in actions:
        with pytest.raises(DeparaError, match=closed_address) as caught:
            action()
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))
