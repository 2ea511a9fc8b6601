"""The way between the host's memory and a device's: copies go through here, and are counted.

A CUDA device has memory of its own. A CPU shares the host's, and nothing is copied; but a bus that
is told of device memory treats the CPU as a device all the same. So every path of a GPU runs, and
is counted, where there is none.

Not counted are single numbers of the proof of a model's first batches, and the noise of SmoothGrad,
which is drawn on the host so that it is the same on every device.

Copies that run beside the computation go through a second stream. What orders them against it are
marks: a copy waits for a mark before it starts, and gives one that says when it is done.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Literal

import torch
from torch import Tensor

from depara.attribution.memory import device_free_bytes, device_total_bytes
from depara.traffic import count_from_device, count_to_device

Cargo = Literal["probes", "weights", "features", "maps", "outputs", "grams", "checks"]
"""What a copy carries. ``maps`` with their norms and conditioning, ``grams`` with their sums,
``outputs``: what the model returned; ``checks``: the few bytes by which a pass is found sound."""


class Mark:
    """A moment in the work of a device; without an event, one that has passed already."""

    def __init__(self, event: Any = None, device: torch.device | None = None) -> None:
        self._event = event
        self._device = device

    def wait(self) -> None:
        """Returns when the device is there."""
        if self._event is not None:
            self._event.synchronize()

    def hold(self, stream: Any = None) -> None:
        """Lets a stream, by default that of the computation, start nothing new before it."""
        if self._event is not None:
            (stream or torch.cuda.current_stream(self._device)).wait_event(self._event)


class Bus:
    """The way to one device, and how many bytes have crossed it.

    ``to_device`` and ``from_device`` are bytes by what they carried. Copies are issued from the
    thread that computes; other threads may wait for their marks.

    Args:
        device: ``cpu`` or a CUDA device.
        memory_bytes: of the device, to be shared out among what stays on it (`depara.ledger`). None
            is what is free on a CUDA device; a CPU then shares the host's memory.
        share: of the device that this process may take; the others that use it take the rest.
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        *,
        memory_bytes: int | None = None,
        share: float = 1.0,
    ) -> None:
        assert 0 < share <= 1
        self.device = torch.device(device)
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", torch.cuda.current_device())
        self.is_separate = self.device.type != "cpu" or memory_bytes is not None
        self.to_device: Counter[str] = Counter()
        self.from_device: Counter[str] = Counter()
        self._memory_bytes = memory_bytes
        self._share = share
        self._is_cuda = self.device.type == "cuda"
        self._side: Any = None
        if self._is_cuda:
            self._side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()

    def free_bytes(self) -> int:
        """Returns the bytes of the device that this process may still fill; 0 without a device."""
        if not self.is_separate:
            return 0
        if self._memory_bytes is not None:
            return self._memory_bytes
        total_bytes = device_total_bytes(self.device)
        return min(device_free_bytes(self.device), int(self._share * total_bytes))

    def host_empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Returns host memory from which copies need not wait: page-locked for a CUDA device."""
        return torch.empty(shape, dtype=dtype, pin_memory=self._is_cuda)

    def device_empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Returns memory of the device."""
        return torch.empty(shape, dtype=dtype, device=self.device)

    def upload(self, cargo: Cargo, values: Tensor) -> Tensor:
        """Returns host values on the device, in the order of the computation.

        Without a device of its own these are the values themselves.
        """
        if values.device == self.device and not self.is_separate:
            return values
        self._count_up(cargo, values)
        is_pinned = self._is_cuda and values.is_pinned()
        return values.detach().to(self.device, non_blocking=is_pinned, copy=True)

    def fetch(self, cargo: Cargo, values: Tensor) -> Tensor:
        """Returns device values in host memory, when they are there."""
        self._count_down(cargo, values)
        return values.detach().cpu()

    def is_true(self, flag: Tensor) -> bool:
        """Returns a flag of the device: a check."""
        return bool(self.fetch("checks", flag))

    def up(self, cargo: Cargo, values: Tensor, target: Tensor, after: Mark) -> Mark:
        """Copies host values into device memory, beside the computation.

        Args:
            cargo: what they are.
            values: in memory of `host_empty`; not to be changed before the mark.
            target: device memory.
            after: until then the target is in use.
        """
        self._count_up(cargo, values)
        return self._copy(values, target, after)

    def down(self, cargo: Cargo, values: Tensor, target: Tensor) -> Mark:
        """Copies device values, as the computation leaves them now, beside it into host memory.

        Args:
            cargo: what they are.
            values: not to be changed by later computation.
            target: memory of `host_empty`, not to be read before the mark.
        """
        self._count_down(cargo, values)
        mark = self._copy(values, target, self.mark())
        if self._is_cuda:
            values.record_stream(self._side)
        return mark

    def mark(self) -> Mark:
        """Returns the moment when all that has been started so far is computed."""
        if not self._is_cuda:
            return Mark()
        return Mark(torch.cuda.current_stream(self.device).record_event(), self.device)

    def _copy(self, values: Tensor, target: Tensor, after: Mark) -> Mark:
        if not self._is_cuda:
            target.copy_(values)
            return Mark()
        with torch.cuda.stream(self._side):
            after.hold(self._side)
            target.copy_(values, non_blocking=True)
            return Mark(self._side.record_event(), self.device)

    def _count_up(self, cargo: Cargo, values: Tensor) -> None:
        if self.is_separate:
            self._add(self.to_device, cargo, values.nbytes)
            count_to_device(values.nbytes)

    def _count_down(self, cargo: Cargo, values: Tensor) -> None:
        if self.is_separate:
            self._add(self.from_device, cargo, values.nbytes)
            count_from_device(values.nbytes)

    def _add(self, counter: Counter[str], cargo: Cargo, num_bytes: int) -> None:
        with self._lock:
            counter[cargo] += num_bytes
