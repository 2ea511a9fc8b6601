"""The features of one layer, collected for keeping: as they are, or sketched where they are many.

Legend: ``N`` probes, ``B`` probes of a batch, ``D`` features, ``C`` values kept of each probe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from depara.identity import mixed_bits
from depara.store.outputs import MOST_CELLS
from depara.types import Float32


class KeptVectors:
    """The features of all probes at one layer: up to 16 KiB for each in memory and on disk.

    ``D`` up to `MOST_CELLS` are kept as they are. More are added, each with a sign, into so many
    cells (CountSketch: Charikar, Chen & Farach-Colton, 2002): cell and sign follow from the
    feature's number alone, so that probes of different scans can be compared. An inner product of
    sketches is right on average, with variance at most ``(|a|^2 |b|^2 + <a, b>^2) / C``.
    """

    def __init__(self, num_probes: int, num_features: int) -> None:
        self.values_NC = np.empty((num_probes, min(num_features, MOST_CELLS)), np.float32)
        self._places_D: NDArray[np.intp] | None = None
        if num_features > MOST_CELLS:
            mixed_D = mixed_bits(np.arange(1, num_features + 1, dtype=np.uint64))
            self._places_D = (mixed_D % np.uint64(2 * MOST_CELLS)).astype(np.intp)

    def write(self, row0: int, features_BD: Tensor) -> None:
        """Takes features of the probes ``row0 .. row0 + B``, on the host; again if need be."""
        values_BD: Float32 = features_BD.detach().float().numpy()
        if self._places_D is None:
            self.values_NC[row0 : row0 + len(values_BD)] = values_BD
            return
        for row, values_D in enumerate(values_BD, start=row0):
            sums = np.bincount(self._places_D, weights=values_D, minlength=2 * MOST_CELLS)
            self.values_NC[row] = sums[:MOST_CELLS] - sums[MOST_CELLS:]
