"""Files in a remote storage that fsspec reaches: what holds for each of them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from depara.locations import environment_key, redact, remote_filesystem
from depara.retries import persist
from depara.store.backends.backend import FileStat

T = TypeVar("T")

_log = logging.getLogger("depara.storage")

_TIME_FIELDS = ("LastModified", "last_modified", "modified", "mtime", "updated", "created")

_promises: dict[tuple[str, str], frozenset[str]] = {}
_promises_lock = threading.Lock()


class RemoteBackend:
    """Files below a URI, through whatever fsspec filesystem its scheme names.

    Create-only writing is taken from the filesystem where it keeps that promise, and compare-and-
    swap where a subclass knows how; without them a file is written, read back and compared. Which
    holds is tried out once per process and location, at the first write that needs it.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    def location(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/")

    def create(self, path: str, data: bytes | memoryview) -> bool:
        data = bytes(data)
        if "create" in self._kept_promises():
            return self._put_if_absent(path, data)
        if self._exists(path):
            return False
        self.replace(path, data)
        return self.read(path) == data

    def swap(self, path: str, data: bytes | memoryview, version: str) -> bool:
        data = bytes(data)
        if "swap" in self._kept_promises():
            return self._put_if_version(path, data, version)
        try:
            if self.read_versioned(path)[1] != version:
                return False
        except FileNotFoundError:
            return False
        self.replace(path, data)
        return self.read(path) == data

    def replace(self, path: str, data: bytes | memoryview) -> None:
        content = bytes(data)
        self._persist("write", path, lambda fs, uri: fs.pipe_file(uri, content))

    def read(self, path: str) -> bytes:
        return bytes(self._persist("read", path, lambda fs, uri: fs.cat_file(uri)))

    def read_versioned(self, path: str) -> tuple[bytes, str]:
        data = self.read(path)
        return data, hashlib.sha256(data).hexdigest()

    def entries(self, path: str) -> Iterator[tuple[str, int | None]]:
        for entry in self._persist("list", path, _list):
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            yield name, None if entry["type"] == "directory" else int(entry["size"])

    def walk(self, path: str) -> Iterator[tuple[str, FileStat]]:
        prefix = str(self._filesystem._strip_protocol(self.location(""))).strip("/") + "/"
        for name, entry in self._persist("list", path, _find).items():
            yield str(name).lstrip("/").removeprefix(prefix), _file_stat(entry)

    def stat(self, path: str) -> FileStat:
        return _file_stat(self._persist("read", path, lambda fs, uri: fs.info(uri)))

    def link(self, path: str, source: str) -> bool:
        return False  # object stores have no second names

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                self._persist("remove", path, lambda fs, uri: fs.rm_file(uri))

    @property
    def _filesystem(self) -> Any:
        return remote_filesystem(self._root)

    def _persist(self, operation: str, path: str, action: Callable[[Any, str], T]) -> T:
        uri = self.location(path)
        return persist(operation, redact(uri), lambda: action(self._filesystem, uri))

    def _exists(self, path: str) -> bool:
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True

    def _put_if_absent(self, path: str, data: bytes) -> bool:
        try:
            self._persist("write", path, lambda fs, uri: fs.pipe_file(uri, data, mode="create"))
        except FileExistsError:
            return False
        return True

    def _put_if_version(self, path: str, data: bytes, version: str) -> bool:
        """Never called here: only where a trial (`_try_swap`) has shown that it works."""
        raise NotImplementedError

    def _kept_promises(self) -> frozenset[str]:
        """Which of "create" and "swap" this storage really does in one step."""
        scheme, _, place = self._root.partition("://")
        key = (environment_key(scheme), f"{scheme}://{place.partition('/')[0]}")
        with _promises_lock:
            if key not in _promises:
                _promises[key] = self._try_out()
                lost = [name for name in ("create", "swap") if name not in _promises[key]]
                if lost:
                    _log.warning(
                        "%s has no conditional writes (%s): files there are written, read back and "
                        "compared instead; let no two scans write to it at the same time",
                        redact(key[1]),
                        ", ".join(lost),
                    )
            return _promises[key]

    def _try_out(self) -> frozenset[str]:
        path = f"running/.conditional-{uuid.uuid4().hex}"
        kept = frozenset(
            name
            for name, trial in (("create", self._try_create), ("swap", self._try_swap))
            if trial(path)
        )
        with contextlib.suppress(Exception):  # rubbish of a few bytes, hidden from listings
            self.remove([path])
        return kept

    def _try_create(self, path: str) -> bool:
        """Whether a second create of the same file is refused."""
        try:
            self._put_if_absent(path, b"1")
            return not self._put_if_absent(path, b"2")
        except (TypeError, ValueError, NotImplementedError):
            return False

    def _try_swap(self, path: str) -> bool:
        """Whether a swap of a stale version is refused."""
        return False


def _list(filesystem: Any, uri: str) -> list[dict[str, Any]]:
    filesystem.invalidate_cache()
    return list(filesystem.ls(uri, detail=True))


def _find(filesystem: Any, uri: str) -> dict[str, dict[str, Any]]:
    filesystem.invalidate_cache()
    return dict(filesystem.find(uri, detail=True))


def _file_stat(entry: dict[str, Any]) -> FileStat:
    moment: Any = next((entry[name] for name in _TIME_FIELDS if entry.get(name)), 0.0)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
    return FileStat(int(entry["size"]), seconds)
