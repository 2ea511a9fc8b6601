"""Damaged files and a storage that does not answer, for the tests of what is known."""

from __future__ import annotations

from collections.abc import Iterator

from depara.errors import StorageUnavailableError


def damages(data: bytes) -> Iterator[bytes]:
    """Yields the file with every single byte flipped, one at a time, cut off, or longer."""
    for place in range(len(data)):
        for bit in (0x01, 0x20, 0x80):
            yield data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
    yield from (data[:-1], data[: len(data) // 2], b"", data + b" ", data + data, b"[]", b"null")


def refuse(*_: object) -> None:
    """Stands in for a method of a storage that is gone."""
    raise StorageUnavailableError("gone")
