"""One output location, local or remote: whole files, created once, never appended or renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from depara.errors import StoreError
from depara.locations import is_remote, local_path, remote_filesystem

_LINK_UNSUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def sha256_hex(data: bytes | memoryview) -> str:
    """Returns the sha256 of the bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


class Storage:
    """Files below one root, addressed by relative paths with forward slashes.

    A file appears whole or not at all. Open one in each process: pickling sends the root only, so
    that no credential ever travels.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"
        self._remote: Any = remote_filesystem(root) if is_remote(root) else None
        self._folder = None if self._remote else local_path(root).absolute()

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.root,)

    def __repr__(self) -> str:
        return f"Storage({self.root!r})"

    def location(self, path: str = "") -> str:
        """Returns the full local path or URI of a relative path, for people and other programs."""
        if self._folder is not None:
            return str(self._folder / path)
        return f"{self.root}/{path}".rstrip("/")

    def create(self, path: str, data: bytes | memoryview) -> bool:
        """Writes a new file with all of `data`; returns False when it exists and stays as it is.

        Raises:
            StoreError: the location cannot be written.
        """
        try:
            if self._folder is not None:
                return _create_local(self._folder / path, data)
            return self._create_remote(path, data)
        except OSError as error:
            raise self._unwritable(path, error) from error

    def replace(self, path: str, data: bytes) -> None:
        """Writes a file, replacing the one that may stand there, atomically for readers."""
        try:
            if self._folder is not None:
                target = self._folder / path
                staged = _stage(target, data)
                os.replace(staged, target)
            else:
                self._remote.pipe_file(self.location(path), bytes(data))
        except OSError as error:
            raise self._unwritable(path, error) from error

    def read(self, path: str) -> bytes:
        """Returns a file's bytes.

        Raises:
            FileNotFoundError: no such file.
            StoreError: it cannot be read.
        """
        try:
            if self._folder is not None:
                return (self._folder / path).read_bytes()
            return bytes(self._remote.cat_file(self.location(path)))
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(self.location(path)) from None
        except OSError as error:
            raise StoreError(f"cannot read {self.location(path)}: {_reason(error)}") from error

    def read_or_none(self, path: str) -> bytes | None:
        """Returns a file's bytes, or None when there is no such file."""
        with contextlib.suppress(FileNotFoundError):
            return self.read(path)
        return None

    def files(self, path: str) -> dict[str, int]:
        """Returns the names and sizes (bytes) of the files directly in a folder; {} when absent."""
        try:
            if self._folder is not None:
                with os.scandir(self._folder / path) as entries:
                    found = {e.name: e.stat().st_size for e in entries if e.is_file()}
                return {n: s for n, s in sorted(found.items()) if not n.startswith(".")}
            entries = self._remote.ls(self.location(path), detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise StoreError(f"cannot list {self.location(path)}: {_reason(error)}") from error
        files = [entry for entry in entries if entry["type"] == "file"]
        return {str(f["name"]).rpartition("/")[2]: int(f["size"]) for f in files}

    def folders(self, path: str) -> list[str]:
        """Returns the sorted names of the folders directly in a folder; [] when absent."""
        try:
            if self._folder is not None:
                with os.scandir(self._folder / path) as entries:
                    return sorted(entry.name for entry in entries if entry.is_dir())
            entries = self._remote.ls(self.location(path), detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot list {self.location(path)}: {_reason(error)}") from error
        names = (str(e["name"]).rstrip("/") for e in entries if e["type"] == "directory")
        return sorted(name.rpartition("/")[2] for name in names)

    def check_writable(self) -> None:
        """Writes and removes a small file, so that an unusable output is found before any work.

        Raises:
            StoreError: it cannot be written, with the reason.
        """
        path = f".write-test-{uuid.uuid4().hex}"
        self.create(path, b"depara")
        with contextlib.suppress(OSError):
            if self._folder is not None:
                (self._folder / path).unlink()
            else:
                self._remote.rm_file(self.location(path))

    def _create_remote(self, path: str, data: bytes | memoryview) -> bool:
        try:
            self._remote.pipe_file(self.location(path), bytes(data), mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if _is_precondition_failure(error):
                return False
            raise
        return True

    def _unwritable(self, path: str, error: OSError) -> StoreError:
        return StoreError(
            f"cannot write {self.location(path)}: {_reason(error)}; "
            "check that the output exists, has room, and that you may write to it"
        )


def _stage(target: Path, data: bytes | memoryview) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(staged, 0o644)
    except BaseException:
        os.unlink(staged)
        raise
    return staged


def _create_local(target: Path, data: bytes | memoryview) -> bool:
    if target.exists():
        return False
    staged = _stage(target, data)
    try:
        os.link(staged, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _LINK_UNSUPPORTED:
            raise
        if target.exists():  # a file system without hard links: the last writer of equal bytes wins
            return False
        os.replace(staged, target)
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
    return True


def _is_precondition_failure(error: BaseException | None) -> bool:
    """Whether an S3 server refused a create-only PUT because the object exists.

    The class of the error differs between servers; the code of the underlying ClientError does not.
    """
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            code = response.get("Error", {}).get("Code")
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                return True
        error = error.__cause__
    return False


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split()) or type(error).__name__
