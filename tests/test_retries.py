"""Which faults pass, and trying again under a bound of time."""

from __future__ import annotations

import errno
import http.client
import logging
import threading
from collections.abc import Callable

import aiohttp
import botocore.exceptions
import pytest
from fsspec.exceptions import FSTimeoutError
from s3fs.errors import translate_boto_error

from depara import retries
from depara.errors import ConfigError, StorageUnavailableError, StoreError
from depara.retries import RetryPolicy, is_passing, is_storage_error, persist, reason

URL = "http://127.0.0.1:1/bucket"


def answer(code: str, status: int) -> botocore.exceptions.ClientError:
    response = {
        "Error": {"Code": code, "Message": "as the server says"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return botocore.exceptions.ClientError(response, "PutObject")  # type: ignore[arg-type]


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


PASSING = [
    *(answer(code, 503) for code in ("SlowDown", "ServiceUnavailable", "")),
    answer("InternalError", 500),
    answer("RequestTimeout", 400),
    answer("BadDigest", 400),
    answer("TooManyRequests", 429),
    answer("Whatever", 502),
    answer("504", 504),
    answer("ConditionalRequestConflict", 409),
    answer("RequestTimeTooSkewed", 403),
    botocore.exceptions.EndpointConnectionError(endpoint_url=URL, error="refused"),
    botocore.exceptions.ConnectTimeoutError(endpoint_url=URL),
    botocore.exceptions.ReadTimeoutError(endpoint_url=URL),
    botocore.exceptions.ConnectionClosedError(endpoint_url=URL),
    botocore.exceptions.ResponseStreamingError(error="cut"),
    botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    botocore.exceptions.FlexibleChecksumError(error_msg="other"),
    aiohttp.ClientPayloadError("not all bytes"),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientOSError(errno.ECONNRESET, "reset"),
    http.client.IncompleteRead(b"1", 2),
    ConnectionRefusedError(),
    BrokenPipeError(),
    TimeoutError(),
    FSTimeoutError(),
    TimeoutError(),
    caused_by(FileNotFoundError("http://h/x"), aiohttp.ClientOSError(errno.ECONNREFUSED, "x")),
    *(OSError(number, "x") for number in (errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ENOTCONN)),
    *(OSError(number, "x") for number in (errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT)),
]


def while_handling(error: BaseException, first: Exception) -> BaseException:
    error.__context__ = first
    return error


LASTING = [
    answer("AccessDenied", 403),
    answer("NoSuchBucket", 404),
    answer("SignatureDoesNotMatch", 403),
    answer("InvalidAccessKeyId", 403),
    answer("PreconditionFailed", 412),
    answer("NotImplemented", 501),
    caused_by(OSError(errno.EIO, "unknown to s3fs"), answer("InvalidRequest", 400)),
    botocore.exceptions.NoCredentialsError(),
    botocore.exceptions.SSLError(endpoint_url=URL, error="CERTIFICATE_VERIFY_FAILED"),
    botocore.exceptions.HTTPClientError(error=ValueError("of its settings")),
    caused_by(FileNotFoundError("key"), answer("NoSuchKey", 404)),
    FileNotFoundError(errno.ENOENT, "x"),
    FileExistsError(errno.EEXIST, "x"),
    PermissionError(errno.EACCES, "x"),
    OSError(errno.ENOSPC, "x"),
    OSError(errno.EROFS, "x"),
    StorageUnavailableError("tried already"),
    caused_by(StoreError("ours"), ConnectionResetError()),
    ValueError("a bug"),
    while_handling(TypeError("a bug"), ConnectionResetError()),
    while_handling(KeyboardInterrupt(), ConnectionResetError()),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_faults_that_pass(error: Exception) -> None:
    assert is_passing(error)
    assert is_storage_error(error)
    if isinstance(error, botocore.exceptions.ClientError):
        assert is_passing(translate_boto_error(error))
    assert is_passing(caused_by(RuntimeError("of a client"), error))


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_errors_that_do_not_pass(error: BaseException) -> None:
    assert not is_passing(error)
    if isinstance(error, botocore.exceptions.ClientError):
        assert not is_passing(translate_boto_error(error))


def test_a_reason_is_one_line_with_the_servers_code() -> None:
    assert reason(translate_boto_error(answer("SlowDown", 503))) == "SlowDown: as the server says"
    assert reason(OSError(errno.ENOSPC, "No space left\non device")) == "No space left on device"
    assert reason(TimeoutError()) == "TimeoutError"
    assert reason(aiohttp.ClientPayloadError("cut\n short")) == "ClientPayloadError: cut short"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = RetryPolicy(total_s=0.2, first_wait_s=0.001, longest_wait_s=0.01, warn_after_s=0.05)
    monkeypatch.setattr(retries, "POLICY", policy)
    monkeypatch.delenv(retries.TOTAL_VARIABLE, raising=False)


def failing(error: Exception, times: float = float("inf")) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []

    def action() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return action, calls


@pytest.mark.usefixtures("quick")
def test_what_passes_is_tried_again_until_it_is_done() -> None:
    action, calls = failing(ConnectionResetError(), times=4)
    assert persist("read", "s3://b/x", action) == "done"
    assert len(calls) == 5


@pytest.mark.usefixtures("quick")
def test_what_lasts_is_tried_once_and_passed_on() -> None:
    error = PermissionError(errno.EACCES, "Permission denied")
    action, calls = failing(error)
    with pytest.raises(PermissionError) as caught:
        persist("read", "s3://b/x", action)
    assert caught.value is error
    assert len(calls) == 1


@pytest.mark.usefixtures("quick")
def test_after_the_bound_it_is_unavailable_and_the_log_said_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    action, calls = failing(OSError(errno.ESTALE, "Stale file handle"))
    caplog.set_level(logging.WARNING, logger="depara.storage")
    with pytest.raises(StorageUnavailableError, match=r"read /nfs/x.*Stale file handle") as caught:
        persist("read", "/nfs/x", action)
    assert f"in {len(calls)} attempts" in str(caught.value)
    assert len(calls) > 3
    [record] = caplog.records
    assert "cannot read /nfs/x (Stale file handle); it is tried again until" in record.getMessage()


@pytest.mark.usefixtures("quick")
def test_a_fault_that_passes_soon_is_not_worth_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="depara.storage"):
        persist("read", "x", failing(TimeoutError(), times=1)[0])
    assert caplog.records == []


@pytest.mark.usefixtures("quick")
def test_nested_operations_do_not_multiply_their_patience() -> None:
    action, calls = failing(TimeoutError())
    with pytest.raises(StorageUnavailableError, match="cannot read inner"):
        persist("read", "outer", lambda: persist("read", "inner", action))
    alone, calls_alone = failing(TimeoutError())
    with pytest.raises(StorageUnavailableError):
        persist("read", "inner", alone)
    assert len(calls) < 5 * len(calls_alone)


@pytest.mark.usefixtures("quick")
def test_the_bound_can_be_set_for_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retries.TOTAL_VARIABLE, "0")
    action, calls = failing(TimeoutError())
    with pytest.raises(StorageUnavailableError):
        persist("read", "x", action)
    assert len(calls) <= 2
    monkeypatch.setenv(retries.TOTAL_VARIABLE, "long")
    with pytest.raises(ConfigError, match="DEPARA_STORAGE_RETRY_S='long': expected seconds"):
        persist("read", "x", action)


def test_a_process_that_has_to_end_does_not_wait_for_a_storage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would wait for an hour between two attempts, and the suite's limit would end this test."""
    policy = RetryPolicy(total_s=1e6, first_wait_s=3600, longest_wait_s=3600)
    monkeypatch.setattr(retries, "POLICY", policy)
    monkeypatch.setattr(retries, "_hurry", threading.Event())
    monkeypatch.setattr(retries, "_last_moment", float("inf"))
    asleep = threading.Event()

    def action() -> None:
        asleep.set()
        raise TimeoutError

    def stop() -> None:
        asleep.wait()
        retries.give_up_within(0.5)

    threading.Thread(target=stop).start()
    with pytest.raises(StorageUnavailableError):
        persist("write", "x", action)
