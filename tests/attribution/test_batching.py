"""The search for batch size and memory format, on made-up costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from depara.attribution.batching import CPU_SIZES, CUDA_SIZES, BatchTuner, Choice


def run(tuner: BatchTuner, num_probes: int, cost: Callable[[Choice], float]) -> list[int]:
    """Batches of a run in which every probe of a choice costs so many seconds."""
    sizes, left = [], num_probes
    while left:
        choice = tuner.next(left)
        size = min(choice.batch_size, left)
        left -= size
        sizes.append(size)
        tuner.record(choice, size, left, size * cost(choice))
    return sizes


def best_at(size: int, channels_last: bool) -> Callable[[Choice], float]:
    def cost(choice: Choice) -> float:
        distance = abs(choice.batch_size.bit_length() - size.bit_length())
        return 1 + 0.2 * distance + 0.3 * (choice.channels_last is not channels_last)

    return cost


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("size", [2, 4, 8, 16, 32])
def test_the_best_choice_is_found(size: int, channels_last: bool) -> None:
    tuner = BatchTuner(CPU_SIZES, (True, False))
    run(tuner, 2000, best_at(size, channels_last))
    assert tuner.is_settled
    assert tuner.next(1000) == Choice(size, channels_last)


def test_large_batches_are_tried_on_cuda() -> None:
    tuner = BatchTuner(CUDA_SIZES, (False,))
    run(tuner, 5000, best_at(128, False))
    assert tuner.next(1000) == Choice(128, False)


@pytest.mark.parametrize("count", [1, 2, 3, 17, 40, 64, 100, 257])
def test_every_probe_is_done_once_and_few_are_spent_on_the_search(count: int) -> None:
    tuner = BatchTuner(CPU_SIZES, (True, False))
    assert sum(run(tuner, count, best_at(4, True))) == count


def test_no_choice_but_one_needs_no_search() -> None:
    tuner = BatchTuner((5,), (False,))
    assert run(tuner, 12, lambda _: 1.0) == [5, 5, 2]
    assert tuner.next(9) == Choice(5, False)


def test_a_fixed_size_still_chooses_the_memory_format() -> None:
    tuner = BatchTuner((4,), (True, False))
    assert set(run(tuner, 100, best_at(4, False))) == {4}
    assert tuner.next(9) == Choice(4, False)


def test_the_first_batch_of_a_shape_is_not_counted() -> None:
    tuner = BatchTuner((4,), (True, False))
    calls: dict[Choice, int] = {}

    def slow_at_first(choice: Choice) -> float:
        calls[choice] = calls.get(choice, 0) + 1
        return 50.0 if calls[choice] == 1 and choice.channels_last else best_at(4, True)(choice)

    run(tuner, 200, slow_at_first)
    assert tuner.next(9) == Choice(4, True)


def test_noise_of_a_few_percent_changes_nothing() -> None:
    tuner = BatchTuner(CPU_SIZES, (True, False))
    run(tuner, 2000, lambda choice: 1.0 if choice == Choice(16, True) else 0.98)
    assert tuner.next(9) == Choice(16, True)


def test_memory_limits_the_size_before_and_after_the_search() -> None:
    tuner = BatchTuner(CPU_SIZES, (True,))
    tuner.limit(6)
    assert max(run(tuner, 500, best_at(32, True))) == 4
    assert tuner.next(500) == Choice(4, True)
    tuner.limit(3)
    assert tuner.next(500) == Choice(2, True)
    tuner.limit(1)
    assert tuner.next(500) == Choice(1, True)


def test_a_fixed_size_above_the_limit_is_cut_down() -> None:
    tuner = BatchTuner((8,), (False,))
    tuner.limit(3)
    assert tuner.next(100).batch_size == 3
