"""Bytes that this process has read and written: of outputs, and of the files it was given.

Beside them, how often it asked an output for something: what an object store is paid for.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """Bytes read and written by one process or several, and their requests to outputs.

    A request is one call of a file, or of one listing; what is tried again counts once.
    """

    read_bytes: int = 0
    written_bytes: int = 0
    requests: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            self.requests + other.requests,
        )

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.read_bytes - other.read_bytes,
            self.written_bytes - other.written_bytes,
            self.requests - other.requests,
        )


NO_TRAFFIC = Traffic()

_lock = threading.Lock()
_total = NO_TRAFFIC


def total_traffic() -> Traffic:
    """Returns what this process has read and written since it started."""
    return _total


def count_read(num_bytes: int) -> None:
    """Counts bytes that were read."""
    _count(Traffic(read_bytes=num_bytes))


def count_written(num_bytes: int) -> None:
    """Counts bytes that were written."""
    _count(Traffic(written_bytes=num_bytes))


def count_request() -> None:
    """Counts one request to an output."""
    _count(Traffic(requests=1))


def _count(more: Traffic) -> None:
    global _total
    with _lock:
        _total = _total + more
