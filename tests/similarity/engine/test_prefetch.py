"""Reading ahead: order, overlap, bounded results, errors, no thread left behind."""

from __future__ import annotations

import threading
import weakref
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from depara.similarity.engine.prefetch import Prefetch


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_results_come_in_order(depth: int, count: int):
    reads = (partial(int, number) for number in range(count))
    assert list(Prefetch(reads, depth=depth)) == list(range(count))


def test_the_next_read_runs_while_the_current_result_is_used():
    second_began = threading.Event()

    def second() -> str:
        second_began.set()
        return "second"

    with closing(Prefetch([lambda: "first", second])) as results:
        assert next(results) == "first"
        assert second_began.wait(10)


@pytest.mark.parametrize("depth", [1, 2])
def test_no_more_results_are_alive_than_stated(depth: int):
    alive: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
    most = 0

    def read(number: int) -> np.ndarray:
        nonlocal most
        result = np.zeros(1)
        alive[number] = result
        most = max(most, len(alive))
        return result

    with closing(Prefetch((partial(read, n) for n in range(20)), depth=depth)) as results:
        for result in results:
            del result
    assert 1 <= most <= depth + 1


def test_an_error_comes_at_its_turn():
    with closing(Prefetch([lambda: 1, lambda: 1 // 0, lambda: 3])) as results:
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_closing_early_leaves_no_thread():
    before = threading.active_count()
    with closing(Prefetch([lambda: 1] * 5, depth=2)) as results:
        next(results)
    assert threading.active_count() == before
