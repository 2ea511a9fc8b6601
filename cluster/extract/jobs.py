"""What a worker is told of a model whose graphs are missing, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass

from depara.config import ModelConfig, ScanConfig
from depara.types import ModelCard, ProbeRange


@dataclass(frozen=True)
class ModelJob:
    """All that a worker needs to compute the missing graphs of one model."""

    model: ModelConfig
    card: ModelCard
    graph_keys: dict[str, str]
    """Key of every missing graph, by layer, in firing order."""
    probe_set_key: str
    ranges: tuple[ProbeRange, ...]
    config: ScanConfig
    fresh: bool = False
    """Whether to recompute what the storage holds."""


@dataclass(frozen=True)
class CommitResult:
    """What one model cost."""

    seconds: float
    peak_memory_bytes: int
    reused_node_files: int
    device: str
    found_graphs: int = 0
    """Graphs that another scan had committed meanwhile."""
