"""The canvases of a worker's probes: on its device while they fit there, uploaded once.

Shapes: ``N`` probes, ``S`` canvas side.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depara.attribution import Bus
from depara.ledger import device_part
from depara.models.foreign import is_out_of_memory
from depara.types import ProbeRange, UInt8

_AT_ONCE = 64
"""Probes of one upload."""


class ProbeCanvases:
    """Gives any range of the canvases, from the device or from the host's memory.

    Models normalise and resize them by themselves, on the device. Canvases that do not fit the
    device's part for probes are uploaded with each batch that needs them.

    Args:
        canvas_NSS3: of the whole probe set, in memory or mapped from disk.
        bus: to the device that computes.
    """

    def __init__(self, canvas_NSS3: UInt8, bus: Bus) -> None:
        self._host_NSS3 = canvas_NSS3
        self._device_NSS3: Tensor | None = None
        free_bytes = bus.free_bytes()
        if bus.is_separate and canvas_NSS3.nbytes <= device_part(free_bytes, "probes"):
            try:
                self._device_NSS3 = _uploaded(canvas_NSS3, bus)
            except RuntimeError as error:  # another program took what was free
                if not is_out_of_memory(error):
                    raise

    @property
    def is_resident(self) -> bool:
        """Whether they are on the device."""
        return self._device_NSS3 is not None

    def part(self, probes: ProbeRange) -> UInt8 | Tensor:
        """Returns the canvases of one range, uint8."""
        rows = slice(probes.start, probes.stop)
        if self._device_NSS3 is not None:
            return self._device_NSS3[rows]
        return np.ascontiguousarray(self._host_NSS3[rows])


def _uploaded(canvas_NSS3: UInt8, bus: Bus) -> Tensor:
    device_NSS3 = bus.device_empty(canvas_NSS3.shape, torch.uint8)
    for start in range(0, len(canvas_NSS3), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        device_NSS3[rows] = bus.upload("probes", torch.tensor(canvas_NSS3[rows]))
    return device_NSS3
