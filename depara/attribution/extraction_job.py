"""One call of the extractor: what goes in, and what has come out so far.

Shapes: ``N`` probes, ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from depara.attribution.forms import Form, ProbeValues
from depara.attribution.nodes import BatchNodes
from depara.types import NodeMaps, UInt8

FeatureSink = Callable[[str, int, Tensor], None]
"""Takes a layer's name, the row of the first probe, and features ``B D``, valid during the call.

Rows that come again replace those that came before: a model did not hold what it was tried in.
"""


@dataclass
class ExtractionJob:
    """Canvases, ids and sinks of one `Extractor.extract`, and its nodes as they come.

    ``unproven`` are batches whose last probe is still to be compared with the plain pass.
    """

    canvas_NSS3: UInt8
    probe_ids: Sequence[str]
    on_features: FeatureSink
    with_maps: bool
    maps_NP: dict[str, Tensor] = field(default_factory=dict)
    norms_N: dict[str, Tensor] = field(default_factory=dict)
    conditioning_N: dict[str, Tensor] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    unproven: list[tuple[Form, Sequence[int], ProbeValues]] = field(default_factory=list)

    @property
    def num_probes(self) -> int:
        return len(self.probe_ids)

    def allocate(self, layers: Sequence[str], num_pixels: int, is_pinned: bool) -> None:
        for layer in layers:
            self.maps_NP[layer] = torch.empty(
                (self.num_probes, num_pixels), dtype=torch.float16, pin_memory=is_pinned
            )
            self.norms_N[layer] = torch.empty(
                self.num_probes, dtype=torch.float32, pin_memory=is_pinned
            )
            self.conditioning_N[layer] = torch.full((self.num_probes,), torch.nan).double()

    def deliver(self, layer: str, row0: int, features_BD: Tensor) -> None:
        """Hands features on, without the rows that a failed larger batch handed on before."""
        skipped = max(self.delivered.get(layer, 0) - row0, 0)
        if skipped < len(features_BD):
            self.on_features(layer, row0 + skipped, features_BD[skipped:])
            self.delivered[layer] = row0 + len(features_BD)

    def take(self, rows: Sequence[int]) -> tuple[UInt8, list[str]]:
        """Returns canvases and ids of some rows, without a copy where they are a range."""
        index = slice(rows.start, rows.stop) if isinstance(rows, range) else list(rows)
        return self.canvas_NSS3[index], [self.probe_ids[row] for row in rows]

    def start_over(self) -> None:
        """Forgets what was handed out: all of it comes again."""
        self.delivered.clear()
        self.unproven.clear()

    def store(self, row0: int, nodes: BatchNodes, size: int) -> None:
        """Keeps the maps of the first ``size`` probes of a batch."""
        rows = slice(row0, row0 + size)
        for layer, maps_BP in nodes.maps_BP.items():
            self.maps_NP[layer][rows].copy_(maps_BP[:size], non_blocking=True)
            self.norms_N[layer][rows].copy_(nodes.norms_B[layer][:size], non_blocking=True)
            self.conditioning_N[layer][rows].copy_(nodes.conditioning_B[layer][:size])

    def nodes(self) -> dict[str, NodeMaps]:
        return {
            layer: NodeMaps(
                maps_NP.numpy(), self.norms_N[layer].numpy(), self.conditioning_N[layer].numpy()
            )
            for layer, maps_NP in self.maps_NP.items()
        }
