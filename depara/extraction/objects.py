"""Features of the probes' objects at the layers of one model, from the pass that there is anyway.

Legend: ``N`` probes, ``B`` probes of a batch, ``O`` objects, ``D`` features of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from depara.attribution import Bus
from depara.attribution.regions import region_features
from depara.ledger import part_bytes
from depara.models.grids import Grid, find_grid
from depara.models.outputs import channel_dim
from depara.objects import ProbeObjects
from depara.types import Float32, LayerInfo


class ObjectFeatures:
    """Collects the features of all objects at every layer that has a grid of positions.

    They are kept in the host's memory, in their part of ``memory_bytes``, the layers with fewer
    channels first; for what does not fit it there are none, with the reason.

    Args:
        objects: of all probes.
        layers: the layers.
        input_side: of the model's input, px.
        num_last: see `find_grid`.
        memory_bytes: of the worker.
        bus: to the device where layers are computed.
    """

    def __init__(
        self,
        objects: ProbeObjects,
        layers: Sequence[LayerInfo],
        *,
        input_side: int,
        num_last: int = 0,
        memory_bytes: int,
        bus: Bus,
    ) -> None:
        self.key = objects.key
        self._probe_O = objects.probe_O
        self._boxes_O4 = torch.from_numpy(objects.boxes_O4)
        self._bus = bus
        self._grids: dict[str, Grid] = {}
        self._reasons: dict[str, str] = {}
        self._features: dict[str, Float32] = {}
        for layer in layers:
            grid = find_grid(layer.name, layer.shape, input_side, num_last)
            if isinstance(grid, str):
                self._reasons[layer.name] = f"objects have no features here: {grid}"
            else:
                self._grids[layer.name] = grid
        self._allocate(layers, len(objects), part_bytes(memory_bytes, "objects"))

    def write(self, layer: str, row0: int, values: Tensor) -> None:
        """Takes a layer's output for the probes ``row0 .. row0 + B``; again if need be."""
        if layer not in self._features:
            return
        first, last = np.searchsorted(self._probe_O, [row0, row0 + len(values)])
        if first == last:
            return
        found_OD = region_features(
            self._grids[layer].maps(values.detach()),
            torch.from_numpy(self._probe_O[first:last] - row0),
            self._boxes_O4[first:last],
        )
        self._features[layer][first:last] = self._bus.fetch("features", found_OD).numpy()

    def result(self, layer: str) -> tuple[Float32 | None, str]:
        """Returns the features ``(O, D)`` of a layer, or None and the reason."""
        return self._features.get(layer), self._reasons.get(layer, "")

    def _allocate(self, layers: Sequence[LayerInfo], count: int, limit_bytes: int) -> None:
        widths = {
            layer.name: layer.shape[channel_dim((1, *layer.shape)) - 1]
            for layer in layers
            if layer.name in self._grids
        }
        rest_bytes = limit_bytes
        for name, width in sorted(widths.items(), key=lambda item: item[1]):
            rest_bytes -= 4 * count * width
            if rest_bytes >= 0:
                self._features[name] = np.full((count, width), np.nan, np.float32)
                continue
            self._reasons[name] = (
                f"{count} objects of {width} features at this layer, after those of layers with "
                f"fewer, do not fit the {limit_bytes / 2**20:.0f} MiB that compute.memory has for "
                "objects: raise it, or lower probes.count (and scan with --fresh)"
            )
