"""Many small jobs that wait for a storage, some at once, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 8
_WAITING = 4 * AT_ONCE

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(job: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields the jobs' results in the order of the items; at most `AT_ONCE` run at a time."""
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for item in items:
                if len(running) == _WAITING:
                    yield running.popleft().result()
                running.append(pool.submit(job, item))
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
