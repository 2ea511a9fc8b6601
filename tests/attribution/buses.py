"""A device that takes its time, on the CPU: copies happen as late as their marks allow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from depara.attribution.bus import Bus, Mark


class _LateMark(Mark):
    """When it is waited for, what was started before it happens, in order, and not before."""

    def __init__(self, bus: LateBus, number: int) -> None:
        super().__init__()
        self._bus, self._number = bus, number

    def wait(self) -> None:
        self._bus.happen(self._number)

    def hold(self, stream: Any = None) -> None:
        self._bus.happen(self._number)


class LateBus(Bus):
    """Copies read their source when they happen: who changes it, or reads the target, too early
    is found out."""

    def __init__(self, memory_bytes: int, **options: Any) -> None:
        super().__init__("cpu", memory_bytes=memory_bytes, **options)
        self._waiting: deque[tuple[int, Callable[[], object]]] = deque()
        self._number = 0

    def host_empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.full(shape, 99, dtype=dtype)

    def happen(self, number: int) -> None:
        with self._lock:
            while self._waiting and self._waiting[0][0] <= number:
                self._waiting.popleft()[1]()

    def _copy(self, values: Tensor, target: Tensor, after: Mark) -> Mark:
        with self._lock:
            self._number += 1
            self._waiting.append((self._number, lambda: target.copy_(values)))
            return _LateMark(self, self._number)
