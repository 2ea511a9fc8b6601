"""Files in a local folder, or one that a network file system shows as local."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from depara.retries import persist
from depara.store.backends.backend import FileStat

T = TypeVar("T")

_log = logging.getLogger("depara.storage")

_LINK_UNSUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
# EPERM: the folder was just removed (ext4); the other way then says whether that is all.
_NAMELESS_UNSUPPORTED = {
    errno.EOPNOTSUPP,
    errno.EISDIR,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EPERM,
}
_LOCK_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_HAS_NAMELESS = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
_told: set[Path] = set()


class LocalBackend:
    """Files below a local folder: staged beside their name, then linked or moved to it whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def location(self, path: str) -> str:
        return str(self._folder / path)

    def create(self, path: str, data: bytes | memoryview) -> bool:
        return self._persist("write", path, lambda target: _create(target, data))

    def replace(self, path: str, data: bytes | memoryview) -> None:
        self._persist("write", path, lambda target: _replace(target, data))

    def read(self, path: str) -> bytes:
        return self._persist("read", path, _read)

    def read_versioned(self, path: str) -> tuple[bytes, str]:
        data = self.read(path)
        return data, _version(data)

    def swap(self, path: str, data: bytes | memoryview, version: str) -> bool:
        return self._persist("write", path, lambda target: _swap(target, data, version))

    def entries(self, path: str) -> Iterator[tuple[str, int | None]]:
        yield from self._persist("list", path, lambda folder: list(_scan(folder)))

    def walk(self, path: str) -> Iterator[tuple[str, FileStat]]:
        for file, stat in self._persist("list", path, lambda folder: list(_walk(folder))):
            yield file.relative_to(self._folder).as_posix(), stat

    def stat(self, path: str) -> FileStat:
        return self._persist("read", path, _stat)

    def link(self, path: str, source: str) -> bool:
        return self._persist("link", path, lambda target: _link_to(target, self._folder / source))

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._persist("remove", path, self._remove)

    def _remove(self, target: Path) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            _lock_file(target).unlink()
        # Folders that hold nothing do not exist, as in an object store.
        for folder in target.parents:
            if folder == self._folder:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def _persist(self, operation: str, path: str, action: Callable[[Path], T]) -> T:
        target = self._folder / path
        return persist(operation, str(target), lambda: action(target))


def _read(target: Path) -> bytes:
    """Returns a file's bytes, in half the time of a small one that a buffered file takes."""
    with open(target, "rb", buffering=0) as file:
        return file.readall()


@contextlib.contextmanager
def _staged(target: Path, data: bytes | memoryview) -> Iterator[Callable[[Path], None]]:
    """Writes the bytes beside the target; gives a function that links them under a name.

    The file has no name until then, so that a killed process leaves nothing behind; where the file
    system has no nameless files, it is hidden.
    """
    handle, hidden = _open_staged(target)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
            if hidden is None:
                # An absolute path: the folder's handle is there to make it one that is followed.
                source = f"/proc/self/fd/{file.fileno()}"
                yield lambda name: os.link(source, name, src_dir_fd=file.fileno())
            else:
                yield lambda name: _link(hidden, name)
    finally:
        if hidden is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden)


def _open_staged(target: Path) -> tuple[int, str | None]:
    """Returns the handle of a new file in the target's folder, and its name if it has one."""
    folder = target.parent
    for _ in range(100):
        # Somebody may remove the last file of the folder at any moment, and with it the folder.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            if _HAS_NAMELESS:
                try:
                    return os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600), None
                except OSError as error:
                    if error.errno not in _NAMELESS_UNSUPPORTED:
                        raise
            return tempfile.mkstemp(prefix=f".{target.name}.", dir=folder)
        if folder.is_file():
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(folder))
    raise FileNotFoundError(errno.ENOENT, "its folder keeps vanishing", str(target))


def _link(hidden: str, name: Path) -> None:
    try:
        os.link(hidden, name)
    except FileExistsError:
        # Over a network file system the answer to a link that succeeded may have got lost.
        if not os.path.samefile(hidden, name):
            raise


def _replace(target: Path, data: bytes | memoryview) -> None:
    """Of writers at the same moment one is last; what one that is killed leaves, the next takes."""
    between = target.parent / f".{target.name}.new"
    for _ in range(1000):
        with _staged(target, data) as link:
            try:
                link(between)
                os.replace(between, target)
            except (FileExistsError, FileNotFoundError):
                pass
            except OSError as error:
                if error.errno not in _LINK_UNSUPPORTED:
                    raise
                return _move(target, data)
            else:
                return None
        with contextlib.suppress(FileNotFoundError):
            between.unlink()
    raise FileExistsError(errno.EEXIST, "other programs keep writing it", str(target))


def _create(target: Path, data: bytes | memoryview) -> bool:
    if target.exists():
        return False
    for _ in range(100):
        with _staged(target, data) as link:
            try:
                link(target)
            except FileExistsError:
                return False
            except FileNotFoundError:  # its folder was removed, see above
                continue
            except OSError as error:
                if error.errno not in _LINK_UNSUPPORTED:
                    raise
                if target.exists():  # no hard links: the last writer of equal bytes wins
                    return False
                _move(target, data)
        return True
    raise FileNotFoundError(errno.ENOENT, "its folder keeps vanishing", str(target))


def _link_to(target: Path, source: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return os.path.samefile(source, target)
    except OSError as error:
        if error.errno not in _LINK_UNSUPPORTED | {errno.EXDEV}:
            raise
        return False
    return True


def _move(target: Path, data: bytes | memoryview) -> None:
    """Writes a file where there are no hard links."""
    handle, hidden = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(hidden, 0o644)
        os.replace(hidden, target)
    except BaseException:
        os.unlink(hidden)
        raise


def _swap(target: Path, data: bytes | memoryview, version: str) -> bool:
    if not target.exists():
        return False
    with open(_lock_file(target), "ab") as lock:
        _lock(lock.fileno(), target.parent)
        try:
            if _version(target.read_bytes()) != version:
                return False
        except FileNotFoundError:
            return False
        _replace(target, data)
    return True


def _lock_file(target: Path) -> Path:
    return target.parent / f".{target.name}.lock"


def _lock(handle: int, folder: Path) -> None:
    """Waits for the lock, which ends with its process."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _LOCK_UNSUPPORTED:
            raise
        if folder not in _told:
            _told.add(folder)
            _log.warning(
                "%s has no file locks: two scans that end there at the same moment may overwrite "
                "each other's pointer to the latest scan",
                folder,
            )


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stat(file: Path) -> FileStat:
    stat = file.stat()
    return FileStat(stat.st_size, stat.st_mtime)


def _scan(folder: Path) -> Iterator[tuple[str, int | None]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                if entry.is_dir():
                    yield entry.name, None
                elif entry.is_file():
                    yield entry.name, entry.stat().st_size


def _walk(root: Path) -> Iterator[tuple[Path, FileStat]]:
    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for folder, _, names in os.walk(root, onerror=refuse):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield Path(folder, name), _stat(Path(folder, name))
