"""One output location, local or remote: whole files, created once, never appended or renamed."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Iterator

from depara.errors import DeparaError, StorageUnavailableError, StoreError
from depara.locations import is_remote, local_path, redact
from depara.retries import error_code, is_storage_error, reason
from depara.store.backends.backend import Backend, FileStat
from depara.store.backends.local import LocalBackend
from depara.store.layout import RUNNING
from depara.traffic import count_read, count_request, count_written

__all__ = ["FileStat", "Storage", "sha256_hex"]


def sha256_hex(data: bytes | memoryview) -> str:
    """Returns the sha256 of the bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


class Storage:
    """Files below one root, addressed by relative paths with forward slashes.

    A file appears whole or not at all. Faults that pass are outlasted within each operation
    (`depara.retries`); then it is a StorageUnavailableError, and all other trouble is a StoreError.
    Neither holds a credential. Open one in each process: pickling sends the root only, so that no
    credential ever travels.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"
        self._backend: Backend = _backend(self.root)

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.root,)

    def __repr__(self) -> str:
        return redact(f"Storage({self.root!r})")

    def location(self, path: str = "") -> str:
        """Returns the full local path or URI of a relative path, for people and other programs."""
        return self._backend.location(path)

    def create(self, path: str, data: bytes | memoryview) -> bool:
        """Writes a new file with all of `data`; returns False when it exists and stays as it is.

        On a storage without conditional writes, where an answer got lost, False can mean this very
        call's own file: `ensure` is for callers that need to know.

        Raises:
            StoreError: the location cannot be written.
        """
        with self._write_errors(path):
            return _written(self._backend.create(path, data), data)

    def ensure(self, path: str, data: bytes | memoryview) -> None:
        """Creates a file, or finds one there with the very same bytes.

        Raises:
            StoreError: other bytes stand there, or the location cannot be written.
        """
        for _ in range(10):
            if self.create(path, data):
                return
            found = self.read_or_none(path)
            if found == data:
                return
            if found is not None:
                raise StoreError(
                    f"{self._shown(path)} exists with other content than what belongs there "
                    f"({len(found)} bytes, expected {len(data)}): remove it, or write elsewhere"
                )
        raise StoreError(f"cannot write {self._shown(path)}: another program keeps removing it")

    def link(self, path: str, source: str, data: bytes | memoryview) -> None:
        """Ensures a file that has the bytes of another one: as its second name where there are any.

        Args:
            path: the file to be.
            source: the file that is.
            data: what both hold.

        Raises:
            StoreError: other bytes stand there, or the location cannot be written.
        """
        with self._write_errors(path):
            if self._backend.link(path, source):
                return
        self.ensure(path, data)

    def replace(self, path: str, data: bytes | memoryview) -> None:
        """Writes a file, replacing the one that may stand there, atomically for readers."""
        with self._write_errors(path):
            self._backend.replace(path, data)
        _written(True, data)

    def swap(self, path: str, data: bytes | memoryview, version: str | None) -> bool:
        """Compare-and-swap: writes a file only while its version is `version` (None: absent).

        Returns:
            False when somebody else was faster. True also when the answer to the write got lost and
            its repetition was refused because of itself.

        Raises:
            StoreError: the location cannot be written.
        """
        with self._write_errors(path):
            if version is None:
                return _written(self._backend.create(path, data), data)
            return _written(self._backend.swap(path, data, version), data)

    def read(self, path: str) -> bytes:
        """Returns a file's bytes.

        Raises:
            FileNotFoundError: no such file.
            StoreError: it cannot be read.
        """
        with self._read_errors("read", path):
            data = self._backend.read(path)
        count_read(len(data))
        return data

    def read_or_none(self, path: str) -> bytes | None:
        """Returns a file's bytes, or None when there is no such file."""
        with contextlib.suppress(FileNotFoundError):
            return self.read(path)
        return None

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """Returns a file's bytes and version tag for `swap`; None when there is no such file."""
        with contextlib.suppress(FileNotFoundError), self._read_errors("read", path):
            data, version = self._backend.read_versioned(path)
            count_read(len(data))
            return data, version
        return None

    def files(self, path: str) -> dict[str, int]:
        """Returns names and sizes (bytes) of the files directly in a folder; {} when absent.

        Hidden files (leading ``.``) are left out.
        """
        found = {name: size for name, size in self._entries(path) if size is not None}
        return {name: size for name, size in sorted(found.items()) if not _is_hidden(name)}

    def folders(self, path: str) -> list[str]:
        """Returns the sorted names of the folders directly in a folder; [] when absent."""
        return sorted(name for name, size in self._entries(path) if size is None)

    def walk(self, path: str) -> dict[str, FileStat]:
        """Returns all files below a folder, by path relative to the root; {} when absent.

        One request per 1,000 files on S3. Hidden files (leading ``.``) are left out.
        """
        with contextlib.suppress(FileNotFoundError), self._read_errors("list", path):
            found = sorted(self._backend.walk(path), key=lambda item: item[0])
            return {file: stat for file, stat in found if not _is_hidden(file)}
        return {}

    def remove(self, paths: Iterable[str]) -> None:
        """Removes files; missing ones are fine.

        In the order given, from one batch of 1,000 to the next on S3, one by one elsewhere.

        Raises:
            StoreError: one cannot be removed, and those after its batch stand.
        """
        with self._write_errors("", "remove files in"):
            self._backend.remove(paths)

    def now_s(self) -> float:
        """Returns the time by the storage's own clock, POSIX seconds, by writing a small file."""
        path = f"{RUNNING}/.clock-{uuid.uuid4().hex}"
        self.create(path, b"depara")
        with self._read_errors("read", path):
            seconds = self._backend.stat(path).modified_s
        self.remove([path])
        return seconds

    def check_writable(self) -> None:
        """Writes and removes a small file, so that an unusable output is found before any work.

        Raises:
            StoreError: it cannot be written, with the reason.
        """
        path = f"{RUNNING}/.write-test-{uuid.uuid4().hex}"
        self.create(path, b"depara")
        with contextlib.suppress(StoreError, StorageUnavailableError):  # only scans remove
            self.remove([path])

    def _entries(self, path: str) -> list[tuple[str, int | None]]:
        with contextlib.suppress(FileNotFoundError), self._read_errors("list", path):
            return list(self._backend.entries(path))
        return []

    def _shown(self, path: str) -> str:
        return redact(self.location(path))

    # What clients raise is not chained to these errors: it may hold signed requests.

    @contextlib.contextmanager
    def _read_errors(self, operation: str, path: str) -> Iterator[None]:
        count_request()
        try:
            yield
        except Exception as error:
            if isinstance(error, DeparaError) or not is_storage_error(error):
                raise
            is_absent = isinstance(error, FileNotFoundError | NotADirectoryError)
            if is_absent and error_code(error) != "NoSuchBucket":
                raise FileNotFoundError(self._shown(path)) from None
            text = f"cannot {operation} {self._shown(path)}: {reason(error)}"
            raise StoreError(text) from None

    @contextlib.contextmanager
    def _write_errors(self, path: str, operation: str = "write") -> Iterator[None]:
        count_request()
        try:
            yield
        except Exception as error:
            if isinstance(error, DeparaError) or not is_storage_error(error):
                raise
            raise StoreError(
                f"cannot {operation} {self._shown(path)}: {reason(error)}; check that the output "
                "exists, has room, and that you may write to it"
            ) from None


def _backend(root: str) -> Backend:
    if not is_remote(root):
        return LocalBackend(local_path(root).absolute())
    # Not at the top: reading local results loads no client of a remote storage.
    if root.startswith(("s3://", "s3a://")):
        from depara.store.backends.s3 import S3Backend

        return S3Backend(root)
    from depara.store.backends.remote import RemoteBackend

    return RemoteBackend(root)


def _written(done: bool, data: bytes | memoryview) -> bool:
    """Counts bytes that were written, if they were; returns whether."""
    if done:
        count_written(memoryview(data).nbytes)
    return done


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".")
