"""Reading probe files wherever they are, with one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from depara import locations
from depara.errors import DeparaError, FailureKind, ProbeError
from depara.locations import redact

MAX_FILE_BYTES = 1024**3
"""Largest encoded image that is read: the limit on pixels at 8 bytes a pixel, uncompressed."""


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Turns whatever a storage raises inside the block into a ProbeError that names the URI.

    Errors of this package pass unchanged, StorageUnavailableError among them: a storage that does
    not answer says nothing about a probe.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ProbeError(
            f"{redact(uri)}: does not exist: check the path, and that this machine can see it"
        ) from error
    # Each fsspec back end raises types of its own (botocore, aiohttp, ...) beside OSError. They are
    # not chained to the message: they may hold credentials.
    except Exception as error:
        if isinstance(error, DeparaError):
            raise
        unreadable = ProbeError(
            f"{redact(uri)}: cannot be read ({type(error).__name__}: {redact(str(error))}): check "
            "the path, its permissions, the credentials and the network"
        )
        unreadable.kind = FailureKind.PASSING
        raise unreadable from None


def read_bytes(uri: str) -> bytes:
    """Returns the whole content of a file anywhere.

    Raises:
        ProbeError: missing, unreadable, or larger than `MAX_FILE_BYTES`.
        ConfigError: unknown scheme or package.
        StorageUnavailableError: the storage did not answer for too long.
    """
    with storage_errors(uri):
        data = locations.read_bytes(uri, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ProbeError(
            f"{uri}: is larger than {MAX_FILE_BYTES / 1024**3:.0f} GiB, which no probe image is: "
            "take it out of the source"
        )
    return data
