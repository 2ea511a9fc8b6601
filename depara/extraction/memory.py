"""Peak memory since a moment: of the device where there is one, else of this process."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class PeakMemory:
    """Measures from its construction on. On Linux the kernel's own high-water mark is reset, so
    that a model is not charged with what an earlier one used; elsewhere the process' peak is given.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        else:
            # Not Linux, or not permitted: the process' whole peak is then the answer.
            with contextlib.suppress(OSError):
                _CLEAR.write_text("5")

    def peak_bytes(self) -> int:
        """Returns the peak in bytes: allocated on the GPU, or resident in this process."""
        if self._device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated(self._device))
        try:
            lines = _STATUS.read_text().splitlines()
            mark = next(line for line in lines if line.startswith("VmHWM:"))
            return int(mark.split()[1]) * 1024
        except (OSError, StopIteration):
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
