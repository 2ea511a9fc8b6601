"""One call of the extractor: what goes in, and what has come out so far.

Shapes: ``N`` probes, ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from depara.attribution.bus import Bus, Mark
from depara.attribution.forms import Form, ProbeValues
from depara.attribution.nodes import BatchNodes
from depara.types import NodeMaps, UInt8

FeatureSink = Callable[[str, int, Tensor], None]
"""Takes a layer's name, the row of the first probe, and features ``B D``, valid during the call.

Or, as ``on_values``, the layer's whole output, batch first.

Rows that come again replace those that came before: a model did not hold what it was tried in.
"""


@dataclass
class ExtractionJob:
    """Canvases, ids and sinks of one `Extractor.extract`, and its nodes as they come.

    ``unproven`` are batches whose last probe is still to be compared with the plain pass.
    """

    canvas_NSS3: UInt8 | Tensor
    probe_ids: Sequence[str]
    on_features: FeatureSink
    with_maps: bool
    bus: Bus
    on_values: FeatureSink | None = None
    maps_NP: dict[str, Tensor] = field(default_factory=dict)
    norms_N: dict[str, Tensor] = field(default_factory=dict)
    conditioning_N: dict[str, Tensor] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    unproven: list[tuple[Form, Sequence[int], ProbeValues]] = field(default_factory=list)
    arrival: Mark = field(default_factory=Mark)

    @property
    def num_probes(self) -> int:
        return len(self.probe_ids)

    def allocate(self, layers: Sequence[str], num_pixels: int) -> None:
        count = self.num_probes
        for layer in layers:
            self.maps_NP[layer] = self.bus.host_empty((count, num_pixels), torch.float16)
            self.norms_N[layer] = self.bus.host_empty((count,), torch.float32)
            self.conditioning_N[layer] = self.bus.host_empty((count,), torch.float64)

    def deliver(self, layer: str, row0: int, features_BD: Tensor) -> None:
        """Hands features on, without the rows that a failed larger batch handed on before."""
        skipped = max(self.delivered.get(layer, 0) - row0, 0)
        if skipped < len(features_BD):
            self.on_features(layer, row0 + skipped, features_BD[skipped:])
            self.delivered[layer] = row0 + len(features_BD)

    def take(self, rows: Sequence[int]) -> tuple[UInt8 | Tensor, list[str]]:
        """Returns canvases and ids of some rows, without a copy where they are a range."""
        index = slice(rows.start, rows.stop) if isinstance(rows, range) else list(rows)
        return self.canvas_NSS3[index], [self.probe_ids[row] for row in rows]

    def start_over(self) -> None:
        """Forgets what was handed out: all of it comes again."""
        self.delivered.clear()
        self.unproven.clear()

    def store(self, row0: int, nodes: BatchNodes, size: int) -> None:
        """Keeps the maps of a batch's first ``size`` probes: they leave beside the next batch."""
        rows = slice(row0, row0 + size)
        for layer, maps_BP in nodes.maps_BP.items():
            for values, target in (
                (maps_BP, self.maps_NP[layer]),
                (nodes.norms_B[layer], self.norms_N[layer]),
                (nodes.conditioning_B[layer].double(), self.conditioning_N[layer]),
            ):
                self.arrival = self.bus.down("maps", values[:size], target[rows])

    def nodes(self) -> dict[str, NodeMaps]:
        self.arrival.wait()  # copies come one after another
        return {
            layer: NodeMaps(
                maps_NP.numpy(), self.norms_N[layer].numpy(), self.conditioning_N[layer].numpy()
            )
            for layer, maps_NP in self.maps_NP.items()
        }
