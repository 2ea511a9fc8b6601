"""Memory of the host and the device: what a pass needs, and how freed memory is kept at hand."""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter

from depara.models.dispatch import DispatchMode

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 2**30
_DEFAULT_MMAP_BYTES = 32 * 2**20
"""The largest value that glibc's own adjustment of the threshold reaches (man 3 mallopt)."""


class PeakMemory(DispatchMode):
    """Context that follows the bytes of all tensors made in it; ``peak_bytes`` is the most alive.

    Counts storages of every device, exactly, but not the scratch space inside of single operations.

    Args:
        known: tensors that were there before, such as a model's parameters: not counted.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._alive_bytes = 0
        self._known = [tensor.untyped_storage() for tensor in known]
        self._followed: dict[int, object] = {id(storage): storage for storage in self._known}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor):
                self._follow(leaf.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, num_bytes = id(storage), storage.nbytes()
        if key in self._followed:
            return
        self._alive_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self._alive_bytes)
        self._followed[key] = weakref.ref(storage, lambda _: self._forget(key, num_bytes))

    def _forget(self, key: int, num_bytes: int) -> None:
        self._alive_bytes -= num_bytes
        del self._followed[key]


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Lets freed blocks of any size be used again without a round trip to the kernel (glibc only).

    By default glibc returns blocks above its threshold (at most 32 MiB) to the kernel, which must
    clear every page again for the next batch: a fifth to a third of the time of large batches. On
    leaving, what is free is given back, and the thresholds are those that glibc settles at.
    Threads other than the main one profit less: their heaps are limited to 64 MiB blocks.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, 2 * _KEEP_BYTES - 1)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _DEFAULT_MMAP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _DEFAULT_MMAP_BYTES)
        libc.malloc_trim(0)


def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def device_free_bytes(device: torch.device) -> int:
    """Returns the free bytes of a CUDA device, counting what torch holds but does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + unused)


def device_total_bytes(device: torch.device) -> int:
    """Returns the memory of a CUDA device, bytes."""
    return int(torch.cuda.mem_get_info(device)[1])
