"""What a worker is told of a model whose graphs are missing, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from depara.config import AttributionConfig, ComputeConfig, EdgesConfig, ModelConfig, ScanConfig
from depara.objects import ProbeObjects
from depara.store.keys import method_settings
from depara.types import ModelCard, ProbeRange


@dataclass(frozen=True)
class GraphSettings:
    """What of a scan file a graph is computed with; ``method`` is what its marker says of it."""

    canvas_side: int
    map_side: int
    attribution: AttributionConfig
    edges: EdgesConfig
    compute: ComputeConfig
    method: dict[str, Any]
    store_outputs: bool = False
    """Whether to keep what the models themselves return."""
    store_features: bool = False
    """Whether to keep the features of output layers."""

    @property
    def node_values(self) -> int:
        """Values of one node, see `ScanConfig.node_values`."""
        return self.attribution.num_maps * self.map_side**2

    @classmethod
    def of(cls, config: ScanConfig, *, is_labelled: bool = False) -> GraphSettings:
        """Returns the settings of a scan.

        Args:
            config: the scan.
            is_labelled: whether probes have labels, which is why outputs are stored by default.
        """
        wanted = config.store_outputs
        return cls(
            config.canvas.side,
            config.map_side,
            config.attribution,
            config.edges,
            config.compute,
            method_settings(config),
            is_labelled if wanted is None else wanted,
            config.store_features,
        )


@dataclass(frozen=True)
class ModelJob:
    """All that a worker needs to compute the missing graphs of one model, or what they lack."""

    model: ModelConfig
    card: ModelCard
    graph_keys: dict[str, str]
    """Key of every missing graph, by layer, in firing order."""
    probe_set_key: str
    ranges: tuple[ProbeRange, ...]
    settings: GraphSettings
    fresh: bool = False
    """Whether to recompute what the storage holds."""
    objects: ProbeObjects | None = None
    """Objects of the probes, whose features are to be kept beside every graph."""


@dataclass(frozen=True)
class CommitResult:
    """What one model cost."""

    seconds: float
    peak_memory_bytes: int
    reused_node_files: int
    device: str
    found_graphs: int = 0
    """Graphs that another scan had committed meanwhile."""
