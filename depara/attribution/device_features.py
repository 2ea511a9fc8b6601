"""Features of a device: they stay on it, or wait on the host's side of the bus and come back.

Shapes: ``N`` probes, ``D`` features, ``B`` rows of one write, ``W`` columns of one block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from depara.attribution.bus import Bus, Mark
from depara.attribution.spill import FeatureStore
from depara.types import Float32


class DeviceFeatures(ABC):
    """A float32 matrix ``N D`` of device values, written by rows and read by blocks of columns."""

    num_features: int

    @abstractmethod
    def write(self, row0: int, features_BD: Tensor) -> None:
        """Takes the rows from ``row0`` on; they may change afterwards."""

    @abstractmethod
    def blocks(self, width: int) -> Iterator[Tensor]:
        """Yields all columns in blocks on the device, each valid until the next one."""


class ResidentFeatures(DeviceFeatures):
    """The matrix on the device: nothing crosses the bus."""

    def __init__(self, num_probes: int, num_features: int, bus: Bus) -> None:
        self.num_features = num_features
        self._features_ND = bus.device_empty((num_probes, num_features), torch.float32)

    def write(self, row0: int, features_BD: Tensor) -> None:
        self._features_ND[row0 : row0 + len(features_BD)].copy_(features_BD)

    def blocks(self, width: int) -> Iterator[Tensor]:
        for column0 in range(0, self.num_features, width):
            yield self._features_ND[:, column0 : column0 + width]


class FarFeatures(DeviceFeatures):
    """The matrix on the host's side, in memory or on disk, behind a ferry.

    Args:
        store: where it waits; blocks are read in the width that the store was made for.
        ferry: brings rows there and blocks back.
    """

    def __init__(self, store: FeatureStore, ferry: Ferry) -> None:
        self.num_features = store.num_features
        self.store = store
        self._ferry = ferry

    def write(self, row0: int, features_BD: Tensor) -> None:
        rows = self._ferry.capacity // self.num_features
        for start in range(0, len(features_BD), rows):
            self._send(row0 + start, features_BD[start : start + rows])

    def _send(self, row0: int, rows_BD: Tensor) -> None:
        self._ferry.unload(rows_BD, lambda found_BD: self.store.write(row0, found_BD))

    def blocks(self, width: int) -> Iterator[Tensor]:
        self._ferry.flush()
        shapes = [
            (self.store.num_probes, min(width, self.num_features - column0))
            for column0 in range(0, self.num_features, width)
        ]
        yield from self._ferry.load(
            shapes, lambda index, block_NW: self.store.read(index * width, block_NW)
        )


class Ferry:
    """Two buffers of page-locked memory: while one crosses the bus, the other is emptied or filled.

    The thread that computes starts the copies, on a stream of their own, and goes on. A thread
    behind it moves what has arrived into its store, or reads what goes over next. The device waits
    only where both buffers are full: a disk or a memory that is slower than it.

    Args:
        bus: to the device.
        capacity: float32 values in each buffer.
    """

    def __init__(self, bus: Bus, capacity: int) -> None:
        self.capacity = capacity
        self._bus = bus
        self._buffers = tuple(bus.host_empty((capacity,), torch.float32) for _ in range(2))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="depara-spill")
        self._busy: list[Future[None] | None] = [None, None]
        self._turn = 0

    def unload(self, values: Tensor, take: Callable[[Float32], None]) -> None:
        """Brings device values to the host, where `take` is called with them in the background.

        Raises:
            StoreError: an earlier `take` could not store what it was given.
        """
        slot = self._turn
        self._turn = 1 - slot
        self._await(slot)
        target = self._buffers[slot][: values.numel()].view(values.shape)
        kept = values.detach().to(torch.float32, copy=True)  # the model may write into its own
        arrival = self._bus.down("features", kept, target)

        def move() -> None:
            arrival.wait()
            take(target.numpy())

        self._busy[slot] = self._thread.submit(move)

    def load(
        self, shapes: list[tuple[int, int]], read: Callable[[int, Float32], None]
    ) -> Iterator[Tensor]:
        """Yields blocks on the device, in order, each until the next one is asked for.

        Args:
            shapes: of the blocks; each fits in a buffer.
            read: fills a block in host memory, by its number.
        """
        largest = max(rows * columns for rows, columns in shapes)
        targets = tuple(self._bus.device_empty((largest,), torch.float32) for _ in range(2))
        free = [self._bus.mark() for _ in range(2)]
        crossed = [Mark(), Mark()]

        def fill(index: int) -> Tensor:
            slot = index % 2
            crossed[slot].wait()  # what was there before must have left it
            rows, columns = shapes[index]
            block_NW = self._buffers[slot][: rows * columns].view(rows, columns)
            read(index, block_NW.numpy())
            return block_NW

        coming = self._thread.submit(fill, 0)
        for index, (rows, columns) in enumerate(shapes):
            slot = index % 2
            filled_NW = coming.result()
            target_NW = targets[slot][: rows * columns].view(rows, columns)
            crossed[slot] = self._bus.up("features", filled_NW, target_NW, free[slot])
            if index + 1 < len(shapes):
                coming = self._thread.submit(fill, index + 1)
            crossed[slot].hold()
            yield target_NW
            free[slot] = self._bus.mark()

    def flush(self) -> None:
        """Waits until all that was unloaded is stored.

        Raises:
            StoreError: some of it could not be.
        """
        for slot in range(2):
            self._await(slot)

    def close(self) -> None:
        """Ends the thread; what is still on its way is let go."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._buffers = ()

    def _await(self, slot: int) -> None:
        busy, self._busy[slot] = self._busy[slot], None
        if busy is not None:
            busy.result()
