"""Reading ahead: the next pieces are read on other threads while the current one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def prefetch(reads: Iterable[Callable[[], T]], *, depth: int = 1) -> Generator[T, None, None]:
    """Yields the results of ``reads`` in order, with up to ``depth`` of them running ahead.

    At most ``depth + 1`` results are alive if the caller drops each before asking for the next. An
    error of a read is raised at its turn; reads that have not begun are then given up. Close the
    iterator (``contextlib.closing``) to leave no thread behind.

    Args:
        reads: functions without arguments, called on ``depth`` threads.
        depth: how many results to read ahead, at least 1.
    """
    remaining = iter(reads)
    with ThreadPoolExecutor(max_workers=depth, thread_name_prefix="depara-read") as pool:
        pending: deque[Future[T]] = deque(pool.submit(read) for read in islice(remaining, depth))
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(read) for read in islice(remaining, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()
