"""The SeaweedFS server of a test session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.lab.weed import Weed, weed_s3

_shared: list[tuple[ExitStack, Weed]] = []
_users = 0


@pytest.fixture(scope="session")
def weed() -> Iterator[Weed]:
    """The server that all tests of a session share, whichever modules import this fixture."""
    global _users
    if not _shared:
        stack = ExitStack()
        _shared.append((stack, stack.enter_context(weed_s3())))
    _users += 1
    yield _shared[0][1]
    _users -= 1
    if not _users:
        _shared.pop()[0].close()
