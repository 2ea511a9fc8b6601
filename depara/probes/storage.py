"""Reading probe files wherever they are, with one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from depara.errors import DeparaError, ProbeError
from depara.locations import open_binary

MAX_FILE_BYTES = 1024**3
"""Largest encoded image that is read: the limit on pixels at 8 bytes a pixel, uncompressed."""


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Turns whatever a storage raises inside the block into a ProbeError that names the URI.

    Errors of this package pass unchanged.
    """
    try:
        yield
    except DeparaError:
        raise
    except FileNotFoundError as error:
        raise ProbeError(
            f"{uri}: does not exist: check the path, and that this machine can see it"
        ) from error
    # Each fsspec back end raises types of its own (botocore, aiohttp, ...) beside OSError.
    except Exception as error:
        raise ProbeError(
            f"{uri}: cannot be read ({type(error).__name__}: {error}): check the path, its "
            "permissions, the credentials and the network"
        ) from error


def read_bytes(uri: str) -> bytes:
    """Returns the whole content of a file anywhere.

    Raises:
        ProbeError: missing, unreadable, or larger than `MAX_FILE_BYTES`.
        ConfigError: unknown scheme or package.
    """
    with storage_errors(uri), open_binary(uri) as file:
        data: bytes = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ProbeError(
            f"{uri}: is larger than {MAX_FILE_BYTES / 1024**3:.0f} GiB, which no probe image is: "
            "take it out of the source"
        )
    return data
