"""Reading ahead: the next pieces are read on other threads while the current one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


class Prefetch(Iterator[T]):
    """The results of some reads in order, with up to ``depth`` of them running ahead.

    The first ones begin at once. At most ``depth + 1`` results are alive if the caller drops each
    before asking for the next. An error of a read is raised at its turn; reads that have not begun
    are then given up. Close it (``contextlib.closing``) to leave no thread behind.
    """

    def __init__(self, reads: Iterable[Callable[[], T]], *, depth: int = 1) -> None:
        """``reads`` are functions without arguments, called on ``depth`` threads, at least 1."""
        self._remaining = iter(reads)
        self._pool = ThreadPoolExecutor(max_workers=depth, thread_name_prefix="depara-read")
        self._pending: deque[Future[T]] = deque()
        self._begin(depth)

    def __next__(self) -> T:
        """Returns the next result, once it is there."""
        if not self._pending:
            self.close()
            raise StopIteration
        try:
            result = self._pending.popleft().result()
        except BaseException:
            self.close()
            raise
        self._begin(1)
        return result

    def close(self) -> None:
        """Gives up what has not begun, and waits for what has."""
        self._remaining = iter(())
        self._pending.clear()
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, count: int) -> None:
        self._pending.extend(self._pool.submit(read) for read in islice(self._remaining, count))
