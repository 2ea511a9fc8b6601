"""Passing faults of storages: which ones pass, and trying again under a bound of time."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from depara.errors import ConfigError, DeparaError, StorageUnavailableError
from depara.redaction import redact
from depara.traffic import count_retry

T = TypeVar("T")

TOTAL_VARIABLE = "DEPARA_STORAGE_RETRY_S"
"""Environment variable with another `RetryPolicy.total_s`, for all processes of a run."""

_log = logging.getLogger("depara.storage")

_PASSING_ERRNOS = {
    errno.EAGAIN,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
}
_PASSING_STATUSES = {408, 429, 500, 502, 503, 504}
_PASSING_CODES = {
    "BadDigest",  # the body was damaged on its way
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",  # S3: another write was under way, ask again
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeTooSkewed",  # this machine's clock jumped; it is set right again, or not
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "XAmzContentSHA256Mismatch",
}
_LASTING_TYPES = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
# Matched by name, so that no client library is imported for it. Their subclasses count too.
_PASSING_TYPES = {
    "aiohttp.ClientConnectionError",
    "aiohttp.ClientPayloadError",
    "botocore.ConnectionClosedError",
    "botocore.ConnectionError",
    "botocore.FlexibleChecksumError",
    "botocore.IncompleteReadError",
    "botocore.MetadataRetrievalError",
    "botocore.ReadTimeoutError",
    "botocore.ResponseParserError",
    "botocore.ResponseStreamingError",
    "http.IncompleteRead",
    "requests.ChunkedEncodingError",
    "requests.ConnectionError",
    "requests.Timeout",
    "urllib3.HTTPError",
}
_LASTING_TEXT = "CERTIFICATE_VERIFY_FAILED"


@dataclass(frozen=True)
class RetryPolicy:
    """How long and how often a storage is asked again after a fault that passes."""

    total_s: float = 180.0
    """No new attempt starts later than this after the first: a storage that is gone for a minute,
    and all clients that come back at once, are outlasted."""
    first_wait_s: float = 0.2
    """Waits are uniformly random below a bound (full jitter); the bound starts with this and
    doubles..."""
    longest_wait_s: float = 10.0
    """...up to this."""
    warn_after_s: float = 10.0
    """The log says so when an operation has been tried for longer than this."""


POLICY = RetryPolicy()

_hurry = threading.Event()
_last_moment = float("inf")


def persist(operation: str, location: str, action: Callable[[], T]) -> T:
    """Returns what the action returns, trying again after faults that pass.

    Args:
        operation: what is done, as in "cannot OPERATION LOCATION".
        location: the file or folder that it is about.
        action: repeatable: a failed attempt may have had its effect.

    Raises:
        StorageUnavailableError: such faults lasted longer than the policy's bound.
        Exception: any other error of the action, as it is.
    """
    policy = _policy()
    started = time.monotonic()
    try:
        return action()  # nearly always: setting up more takes longer than a small read
    except Exception as error:
        if not is_passing(error):
            raise
        first = error
    warned = False

    def is_over(state: RetryCallState) -> bool:
        next_s = time.monotonic() + state.upcoming_sleep
        return next_s > min(started + policy.total_s, _last_moment)

    def warn(state: RetryCallState) -> None:
        nonlocal warned
        count_retry()
        waited_s = time.monotonic() - started + state.upcoming_sleep
        if warned or waited_s < policy.warn_after_s or state.outcome is None:
            return
        warned = True
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + policy.total_s - waited_s))
        _log.warning(
            "storage does not answer: cannot %s %s (%s); it is tried again until %s",
            operation,
            location,
            reason(state.outcome.exception()),
            until,
        )

    attempts = Retrying(
        retry=retry_if_exception(is_passing),
        wait=wait_random_exponential(policy.first_wait_s, policy.longest_wait_s),
        stop=is_over,
        sleep=_wait,
        before_sleep=warn,
        reraise=True,
    )
    try:
        return attempts(_after(first, action))
    except DeparaError:
        raise
    except Exception as error:
        if not is_passing(error):
            raise
        tried_s = time.monotonic() - started
        message = (
            f"cannot {operation} {location}: the storage did not answer well in "
            f"{attempts.statistics['attempt_number']} attempts over {tried_s:.0f} s; last: "
            f"{reason(error)}. What is stored stays valid: run the same again when it answers "
            f"({TOTAL_VARIABLE} sets another patience)"
        )
    raise StorageUnavailableError(message)


def _after(first: Exception, action: Callable[[], T]) -> Callable[[], T]:
    """Returns the action whose first attempt, made already, has ended in an error."""
    made = [first]

    def attempt() -> T:
        if made:
            raise made.pop()
        return action()

    return attempt


def patience_s() -> float:
    """Returns how long a storage that does not answer is asked again, s.

    Raises:
        ConfigError: the environment variable is no number.
    """
    return _policy().total_s


def give_up_within(seconds: float) -> None:
    """Lets all retries of this process end soon, because it has to end itself.

    Waits between attempts end now, and no new attempt starts after that time. A request that is
    under way still takes up to its own timeout.
    """
    global _last_moment
    _last_moment = time.monotonic() + seconds
    _hurry.set()


def is_passing(error: BaseException) -> bool:
    """Whether an error of a storage is one that passes when the same is tried again.

    Looked for in the error and in what it came from: an HTTP status, an S3 error code, an errno, or
    the types that clients raise for lost, refused and cut connections.
    """
    if not isinstance(error, Exception) or isinstance(error, DeparaError):
        return False  # an end of the program, or what has been tried already
    if isinstance(error, _LASTING_TYPES):
        # fsspec's HTTP client says that a file is missing when its server is.
        return error.__cause__ is not None and is_passing(error.__cause__)
    links = list(_chain(error))
    for link in links:
        response = getattr(link, "response", None)
        if isinstance(response, dict):  # a botocore ClientError: what the server itself says
            return _is_passing_answer(response)
    return any(_is_passing_link(link) for link in links)


def error_code(error: BaseException) -> str | None:
    """Returns the code of an S3 server's answer behind an error, such as ``NoSuchKey``, or None."""
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return None


def is_storage_error(error: BaseException) -> bool:
    """Whether it is an error of the operating system or of a client, not one in this program.

    Clients raise types of their own (botocore, aiohttp, gcsfs, ...) beside OSError, and
    NotImplementedError for what they cannot do.
    """
    known = isinstance(error, OSError | NotImplementedError)
    return known or type(error).__module__ != "builtins"


def reason(error: BaseException | None) -> str:
    """Returns an error's text on one line, with the server's code where it has one."""
    if error is None:
        return "unknown"
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    code = error_code(error)
    if code and code not in text:
        text = f"{code}: {text}" if text else code
    elif not isinstance(error, OSError) or not text:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return redact(text[:500])


def _wait(seconds: float) -> None:
    if _hurry.is_set():
        time.sleep(min(seconds, 0.5))
    else:
        _hurry.wait(seconds)


def _policy() -> RetryPolicy:
    text = os.environ.get(TOTAL_VARIABLE)
    if not text:
        return POLICY
    try:
        return replace(POLICY, total_s=float(text))
    except ValueError:
        raise ConfigError(f"{TOTAL_VARIABLE}={text!r}: expected seconds") from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(20):
        if link is None:
            return
        yield link
        # What a client raises while it handles an error is about that error; a bug is not.
        is_about_context = is_storage_error(link) and not link.__suppress_context__
        link = link.__cause__ or (link.__context__ if is_about_context else None)


def _is_passing_answer(response: dict[str, dict[str, object]]) -> bool:
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    texts = {str(number) for number in _PASSING_STATUSES}
    return code in _PASSING_CODES or code in texts or status in _PASSING_STATUSES


def _is_passing_link(link: BaseException) -> bool:
    if _LASTING_TEXT in str(link) or isinstance(link, PermissionError):
        return False
    if isinstance(link, ConnectionError | TimeoutError):
        return True
    if isinstance(link, OSError) and link.errno in _PASSING_ERRNOS:
        return True
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(link).mro()}
    if names & _PASSING_TYPES:
        return True
    # gcsfs, adlfs, aiohttp and requests, by their own names for it.
    statuses = (getattr(link, name, None) for name in ("status", "status_code", "code"))
    return any(isinstance(status, int) and status in _PASSING_STATUSES for status in statuses)
