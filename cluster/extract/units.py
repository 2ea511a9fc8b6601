"""The units of the extraction: decode probes, open models, compute and commit graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cluster.extract.bench import Bench
from cluster.extract.costs import (
    FETCH_S,
    edge_seconds,
    extraction_seconds,
    opening_seconds,
    weights_seconds,
)
from cluster.pool.units import Expectation, Unit
from cluster.pool.worker import Worker
from depara.config import ModelConfig
from depara.config.schema import FeatureReduction
from depara.extraction.jobs import CommitResult, ModelJob
from depara.probes import ProbeMeta, decode_probes
from depara.store.canvases import CanvasChunk, write_canvases
from depara.types import Failure, ModelCard, ProbeRange, ProbeRef


@dataclass(frozen=True)
class DecodeResult:
    """What a decode unit found, in the order of its refs, and the file it wrote."""

    probes: tuple[ProbeMeta, ...]
    failures: tuple[Failure, ...]
    chunk: CanvasChunk | None


@dataclass(frozen=True)
class DecodeUnit(Unit):
    """Decode some probes; with `keep`, write their canvases to the storage."""

    refs: tuple[ProbeRef, ...]
    side: int
    keep: bool = True

    name: ClassVar[str] = "decode"
    stage: ClassVar[str] = "probes"

    def run(self, worker: Worker, attempt: int, upcoming: Unit | None) -> DecodeResult:
        """Returns what was found."""
        decoded, failures = decode_probes(self.refs, self.side)
        chunk = None
        if decoded and self.keep:
            stacked_NSS3 = np.stack([probe.canvas_SS3 for probe in decoded])
            chunk = write_canvases(worker.storage, [p.probe_id for p in decoded], stacked_NSS3)
        metas = tuple(ProbeMeta.of(probe) for probe in decoded)
        return DecodeResult(metas, tuple(failures), chunk)

    def expectation(self) -> Expectation:
        """Images before them tell what one takes."""
        return Expectation(0.0, FETCH_S, num_items=len(self.refs))


@dataclass(frozen=True)
class ResolveUnit(Unit):
    """Open one model, choose its layers, and describe it."""

    model: ModelConfig
    canvas_side: int
    features: FeatureReduction

    name: ClassVar[str] = "resolve"
    stage: ClassVar[str] = "resolve"

    @property
    def model_id(self) -> str:
        """The model."""
        return self.model.id

    def run(self, worker: Worker, attempt: int, upcoming: Unit | None) -> ModelCard:
        """Returns the model's card."""
        from depara.models import describe_model

        worker.kept(Bench).await_reader()
        _, card = describe_model(self.model, canvas_side=self.canvas_side, features=self.features)
        return card

    def expectation(self) -> Expectation:
        """The weights must be read."""
        return Expectation(0.0, opening_seconds(self.model))


@dataclass(frozen=True)
class _JobUnit(Unit):
    """What concerns the graphs of one model."""

    job: ModelJob

    stage: ClassVar[str] = "extract"

    @property
    def model_id(self) -> str:
        """The model."""
        return self.job.card.model_id

    def _expect(self, work_s: float) -> Expectation:
        card = self.job.card
        if not card.seconds_per_probe:
            return Expectation()
        return Expectation(work_s, weights_seconds(card), tells_slowness=True)


@dataclass(frozen=True)
class ExtractUnit(_JobUnit):
    """Compute node maps and features of all missing layers for one probe range."""

    probes: ProbeRange

    name: ClassVar[str] = "extract"

    @property
    def label(self) -> str:
        """With its probes."""
        return f"{self.name} {self.probes}"

    def run(self, worker: Worker, attempt: int, upcoming: Unit | None) -> int:
        """Returns how many probes were computed."""
        worker.kept(Bench).extract(self.job, self.probes, attempt, _next_job(self, upcoming))
        return len(self.probes)

    def expectation(self) -> Expectation:
        """A forward pass was measured."""
        job = self.job
        return self._expect(
            extraction_seconds(job.card, job.graph_keys, len(self.probes), job.settings.attribution)
        )


@dataclass(frozen=True)
class CommitUnit(_JobUnit):
    """Compute the edges from all ranges' features and commit the model's graphs."""

    name: ClassVar[str] = "commit"

    @property
    def num_graphs(self) -> int:
        """Those that the model lacks."""
        return len(self.job.graph_keys)

    def run(self, worker: Worker, attempt: int, upcoming: Unit | None) -> CommitResult:
        """Returns what the model cost."""
        return worker.kept(Bench).commit(self.job, _next_job(self, upcoming))

    def expectation(self) -> Expectation:
        """Features and probes are known."""
        return self._expect(edge_seconds(self.job))


def _next_job(unit: _JobUnit, upcoming: Unit | None) -> ModelJob | None:
    """The job of the model that comes after this one, where it is known."""
    if not isinstance(upcoming, ExtractUnit) or upcoming.job.card == unit.job.card:
        return None
    return upcoming.job
