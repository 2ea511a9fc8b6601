"""What travels between driver and workers: units of work and their outcomes, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from depara.config import ModelConfig, ScanConfig
from depara.probes import ProbeMeta
from depara.store.canvases import CanvasChunk
from depara.traffic import NO_TRAFFIC, Traffic
from depara.types import Failure, ModelCard, ProbeRange, ProbeRef


@dataclass(frozen=True)
class DecodeUnit:
    """Decode some probes; with `keep`, write their canvases to the storage."""

    refs: tuple[ProbeRef, ...]
    side: int
    keep: bool = True


@dataclass(frozen=True)
class DecodeResult:
    """What a decode unit found, in the order of its refs, and the file it wrote."""

    probes: tuple[ProbeMeta, ...]
    failures: tuple[Failure, ...]
    chunk: CanvasChunk | None


@dataclass(frozen=True)
class ResolveUnit:
    """Open one model, choose its layers, and describe it; the result is a `ModelCard`."""

    model: ModelConfig
    config: ScanConfig


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
class ExtractUnit:
    """Compute node maps and features of all missing layers for one probe range."""

    job: ModelJob
    probes: ProbeRange


@dataclass(frozen=True)
class CommitUnit:
    """Compute the edges from all ranges' features and commit the model's graphs."""

    job: ModelJob


@dataclass(frozen=True)
class CommitResult:
    """What one model cost."""

    seconds: float
    peak_memory_bytes: int
    reused_node_files: int
    device: str
    found_graphs: int = 0
    """Graphs that another scan had committed meanwhile."""


@dataclass(frozen=True)
class FlushUnit:
    """Finish the writes that run behind, before the worker is ended in the middle of a group."""


Unit = DecodeUnit | ResolveUnit | ExtractUnit | CommitUnit | FlushUnit


def describe_unit(unit: Any) -> str:
    """Returns a unit's short name for logs, such as ``extract 000000-000256``."""
    name = type(unit).__name__.removesuffix("Unit").lower()
    return f"{name} {unit.probes}" if isinstance(unit, ExtractUnit) else name


@dataclass(frozen=True)
class Outcome:
    """The end of one unit: a value, or the failure as data (exceptions may not unpickle).

    ``is_passing`` marks a failure that is nobody's fault, such as a storage that does not answer:
    the unit is worth another try. ``traffic`` is what a process of its own has read and written
    since the outcome before.
    """

    value: Any = None
    failure: Failure | None = None
    is_passing: bool = False
    traffic: Traffic = NO_TRAFFIC


@dataclass(frozen=True)
class Group:
    """Units that must run in order on one worker, because it keeps state between them.

    ``seconds`` is an estimate, for starting the longest groups first.
    """

    name: str
    units: tuple[Unit, ...]
    seconds: float = 0.0


@dataclass
class GroupResult:
    """How a group ended: the values of its units in order, or the failure that ended it."""

    name: str
    values: list[Any] = field(default_factory=list)
    failure: Failure | None = None
    deaths: int = 0
