"""Bytes that this process has moved: of outputs and given files, and to and from its device.

Beside them, how often it asked an output for something: what an object store is paid for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import add, attrgetter, sub


@dataclass(frozen=True)
class Traffic:
    """Bytes moved by one process or several, and their requests to outputs.

    ``read_bytes`` and ``written_bytes`` went through storage; ``to_device_bytes`` and
    ``from_device_bytes`` went between the host's memory and a device with memory of its own.
    A request is one call of a file, or of one listing; what is tried again counts once, and beside
    it as ``retries``, also those of probes and weights.
    """

    read_bytes: int = 0
    written_bytes: int = 0
    requests: int = 0
    to_device_bytes: int = 0
    from_device_bytes: int = 0
    retries: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*map(add, _values(self), _values(other)))

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(*map(sub, _values(self), _values(other)))


_values: Callable[[Traffic], tuple[int, ...]] = attrgetter(*(one.name for one in fields(Traffic)))


NO_TRAFFIC = Traffic()

_lock = threading.Lock()
_counts = {one.name: 0 for one in fields(Traffic)}


def total_traffic() -> Traffic:
    """Returns what this process has moved since it started."""
    with _lock:
        return Traffic(**_counts)


def count_read(num_bytes: int) -> None:
    """Counts bytes that were read."""
    _count("read_bytes", num_bytes)


def count_written(num_bytes: int) -> None:
    """Counts bytes that were written."""
    _count("written_bytes", num_bytes)


def count_to_device(num_bytes: int) -> None:
    """Counts bytes that went from the host's memory to a device."""
    _count("to_device_bytes", num_bytes)


def count_from_device(num_bytes: int) -> None:
    """Counts bytes that came from a device to the host's memory."""
    _count("from_device_bytes", num_bytes)


def count_request() -> None:
    """Counts one request to an output."""
    _count("requests", 1)


def count_retry() -> None:
    """Counts one request that is tried again because the storage did not answer well."""
    _count("retries", 1)


def _count(name: str, more: int) -> None:
    with _lock:
        _counts[name] += more
