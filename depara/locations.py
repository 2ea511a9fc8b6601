"""Where things are: local paths, ``package://NAME/path`` and fsspec URIs such as ``s3://``.

Filesystems are built where they are used and never travel: one that holds keys must not be
pickled. Faults that pass are outlasted here (`depara.retries`), and nowhere below: the clients' own
retries are off, so that the time adds up once.
"""

from __future__ import annotations

import glob as local_glob
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from depara.errors import ConfigError, DeparaError
from depara.redaction import redact as redact
from depara.retries import is_storage_error, persist
from depara.traffic import count_read

_GLOB_SIGNS = ("*", "?", "[")
_S3_SCHEMES = ("s3", "s3a")
_COPY_BYTES = 16 * 1024**2
_BUFFER_BYTES = 1024**2


def has_glob(uri: str) -> bool:
    """Whether the text holds a glob sign (``* ? [``)."""
    return any(sign in uri for sign in _GLOB_SIGNS)


def is_glob(uri: str) -> bool:
    """Whether the text is a glob: it holds a glob sign, and nothing bears that very name.

    The query of an ``http`` address (``?download=true``) is none. To match a name with signs among
    others, put a sign into brackets: ``run[[]1]/*.pth`` are the files of ``run[1]``.

    Raises:
        ConfigError: no filesystem is known for the scheme.
        StorageUnavailableError: a remote storage did not answer for too long.
    """
    if not has_glob(uri):
        return False
    if uri.startswith(("http://", "https://")):
        return "*" in uri
    return not _exists(uri)


def _exists(uri: str) -> bool:
    """Whether something bears this name; of a place that cannot be asked, listing it will tell."""
    if not is_remote(uri):
        return os.path.lexists(local_path(uri))
    filesystem = remote_filesystem(uri)
    try:
        return bool(persist("list", redact(uri), lambda: filesystem.exists(uri)))
    except Exception as error:
        if isinstance(error, DeparaError) or not is_storage_error(error):
            raise
        return False


def is_remote(uri: str) -> bool:
    """Whether the URI has a scheme that is neither ``file://`` nor ``package://``."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and scheme not in ("file", "package")


def local_path(uri: str) -> Path:
    """Returns the local path of a path, ``file://`` or ``package://NAME/path``.

    ``package://`` finds files that ship inside an installed Python package, without importing it.

    Raises:
        ConfigError: the package is not installed.
    """
    assert not is_remote(uri)
    if uri.startswith("package://"):
        package, _, inside = uri.removeprefix("package://").partition("/")
        try:
            spec = find_spec(package)
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                f"{uri}: the Python package {package!r} is not installed: "
                f"pip install {package.replace('_', '-')}"
            )
        return Path(next(iter(spec.submodule_search_locations)), inside)
    return Path(os.path.expanduser(uri.removeprefix("file://")))


def remote_filesystem(uri: str) -> Any:
    """Returns the fsspec filesystem of this process for a remote URI, which threads may share.

    Credentials, endpoint and options come from the environment and fsspec's own configuration; the
    defaults of an S3 client are 10 s to connect, 60 s to answer, and no retries of its own.

    Raises:
        ConfigError: no filesystem is known for the scheme, or its settings are not usable.
    """
    scheme = uri.partition("://")[0]
    return _filesystem(scheme, environment_key(scheme), os.getpid())


def environment_key(scheme: str) -> str:
    """Returns a digest of all settings that a filesystem of the scheme is built from."""
    from fsspec.config import conf

    variables = sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))
    settings = [repr(sorted(conf.get(s, {}).items())) for s in (scheme, *_S3_SCHEMES)]
    return hashlib.sha256(repr([variables, settings]).encode()).hexdigest()


# Not a cache that forgets: s3fs closes a filesystem that is collected from whatever event loop runs
# just then, and in another one than its own that fails.
@cache
def _filesystem(scheme: str, environment: str, process: int) -> Any:
    """A new filesystem; fsspec's own cache of them ignores the environment and splits by thread."""
    import fsspec

    options: dict[str, Any] = {"skip_instance_cache": True}
    if scheme in _S3_SCHEMES:
        options |= {"use_listings_cache": False, "config_kwargs": _s3_config()}
    try:
        filesystem = fsspec.filesystem(scheme, **options)
    except (ValueError, TypeError, ImportError) as error:
        reason = redact(str(error))
    else:
        if scheme in _S3_SCHEMES:
            filesystem.retries = 1
        return filesystem
    raise ConfigError(f"{redact(scheme)}://: no storage known for {scheme!r}: {reason}")


def _s3_config() -> dict[str, Any]:
    from fsspec.config import conf

    merged: dict[str, Any] = {
        "connect_timeout": 10,
        "read_timeout": 60,
        "retries": {"total_max_attempts": 1},
    }
    for scheme in _S3_SCHEMES:
        theirs = conf.get(scheme, {}).get("config_kwargs")
        merged |= theirs if isinstance(theirs, dict) else {}
    return merged


@contextmanager
def open_binary(uri: str) -> Iterator[IO[bytes]]:
    """Opens a file anywhere for reading bytes; remote reads outlast faults that pass.

    Raises:
        FileNotFoundError, OSError: as the storage reports.
        ConfigError: unknown scheme or package.
        StorageUnavailableError: a remote storage did not answer for too long.
    """
    if is_remote(uri):
        with io.BufferedReader(_PatientFile(uri), _BUFFER_BYTES) as file:
            yield file
    else:
        with local_path(uri).open("rb") as file:
            yield file


def read_bytes(uri: str, limit_bytes: int | None = None) -> bytes:
    """Returns the content of a file anywhere; reading outlasts faults that pass.

    Args:
        uri: path or URI.
        limit_bytes: no more than this is read.

    Raises:
        as `open_binary`; StorageUnavailableError for a local (network) disk, too.
    """

    def read() -> bytes:
        parts: list[bytes] = []
        left = sys.maxsize if limit_bytes is None else limit_bytes
        with open_binary(uri) as file:
            while left and (part := file.read(min(left, _COPY_BYTES))):
                parts.append(part)
                left -= len(part)
        return b"".join(parts)

    data = persist("read", redact(uri), read)
    if not is_remote(uri):  # else counted as it came
        count_read(len(data))
    return data


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Gives a local path of the file: itself when local, else a temporary copy.

    Raises:
        as `open_binary`.
    """
    if not is_remote(uri):
        path = local_path(uri)
        with suppress(OSError):  # the caller tells what is wrong
            count_read(path.stat().st_size)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="depara-") as folder:
        target = Path(folder, Path(uri).name)
        with open_binary(uri) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, _COPY_BYTES)
        yield target


def expand_glob(pattern: str) -> list[str]:
    """Returns the sorted files that a local, package or remote glob matches (``**`` recurses).

    A folder on the way that bears a name with glob signs is taken by that name.

    Raises:
        StorageUnavailableError: a remote storage did not answer for too long.
    """
    pattern = _with_existing_folders(pattern)
    if is_remote(pattern):
        scheme = pattern.partition("://")[0]
        filesystem = remote_filesystem(pattern)
        found = persist("list", redact(pattern), lambda: filesystem.glob(pattern))
        return sorted(f"{scheme}://{path}" for path in found)
    matches = local_glob.glob(str(local_path(pattern)), recursive=True)
    return sorted(match for match in matches if os.path.isfile(match))


def _with_existing_folders(pattern: str) -> str:
    """Returns the glob with the signs in names of existing folders, from the first on, escaped."""
    scheme, separator, path = pattern.rpartition("://")
    parts = path.split("/")
    for place, part in enumerate(parts[:-1]):
        if not has_glob(part):
            continue
        literal = scheme + separator + "/".join([*path.split("/")[:place], part])
        if not _exists(literal):
            break
        parts[place] = local_glob.escape(part)
    return scheme + separator + "/".join(parts)


class _PatientFile(io.RawIOBase):
    """A remote file, read from where it stands again after a fault that passes, and to its end."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._filesystem = remote_filesystem(uri)
        self._place = 0
        self._file: Any = None
        self._size: int | None = persist("read", redact(uri), self._open)

    def readinto(self, buffer: Any) -> int:
        data = persist("read", redact(self._uri), lambda: self._read(len(buffer)))
        buffer[: len(data)] = data
        self._place += len(data)
        count_read(len(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self._size is None:
            raise io.UnsupportedOperation(f"{redact(self._uri)}: its size is not known")
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size or 0}[whence]
        if start + offset < 0:
            raise ValueError(f"negative place {start + offset} in a file")
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._size is not None

    def close(self) -> None:
        if not self.closed and self._file is not None:
            self._file.close()
        super().close()

    def _open(self) -> int | None:
        self._file = self._filesystem.open(self._uri, "rb")
        size = getattr(self._file, "size", None)
        return None if size is None else int(size)

    def _read(self, count: int) -> bytes:
        if self._size is not None:
            count = min(count, self._size - self._place)
            if count <= 0:
                return b""
        if self._file.tell() != self._place:
            self._file.seek(self._place)
        try:
            data = bytes(self._file.read(count))
        except Exception:
            if self._size is None:  # a stream, which only starts anew
                self._open()
            raise
        if not data and self._size is not None:
            raise ConnectionError(f"ends at byte {self._place} of {self._size}")
        return data
