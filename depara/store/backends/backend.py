"""What a place for files must be able to do; `Storage` adds names, errors and checks to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class FileStat:
    """Size of a file in bytes, and POSIX seconds of its last change by the storage's own clock."""

    bytes: int
    modified_s: float


class Backend(Protocol):
    """Files below one root by relative paths; each operation outlasts faults that pass.

    Errors are those of the operating system or the client, and `StorageUnavailableError`.
    """

    def location(self, path: str) -> str:
        """Returns the full path or URI."""

    def create(self, path: str, data: bytes | memoryview) -> bool:
        """Writes a whole file; False when there is one."""

    def replace(self, path: str, data: bytes | memoryview) -> None:
        """Writes a whole file, atomically for readers."""

    def read(self, path: str) -> bytes:
        """Returns a file's bytes; FileNotFoundError without one."""

    def read_versioned(self, path: str) -> tuple[bytes, str]:
        """Returns bytes and version of the same moment; FileNotFoundError without a file."""

    def swap(self, path: str, data: bytes | memoryview, version: str) -> bool:
        """Writes when the present version is this one; False when not, or without a file."""

    def entries(self, path: str) -> Iterator[tuple[str, int | None]]:
        """Yields name and bytes (None: a folder) of what is directly in a folder.

        A missing folder yields nothing or raises FileNotFoundError.
        """

    def walk(self, path: str) -> Iterator[tuple[str, FileStat]]:
        """Yields all files below a folder, by path relative to the root; else as `entries`."""

    def stat(self, path: str) -> FileStat:
        """Returns size and time of a file; FileNotFoundError without one."""

    def link(self, path: str, source: str) -> bool:
        """Gives a file a second name; False where that is not possible."""

    def remove(self, paths: Iterable[str]) -> None:
        """Removes files in this order; missing ones are fine."""
