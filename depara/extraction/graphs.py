"""The graphs of one model in this process: opened, run over all probes, committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from depara.attribution import Bus
from depara.extraction.jobs import ModelJob
from depara.extraction.probe_canvases import ProbeCanvases
from depara.extraction.session import ModelSession, open_writers
from depara.models import LoadedModel, open_model, process_kept, prove_same
from depara.models.foreign import foreign_code
from depara.store.canvases import ProbeSet
from depara.store.storage import Storage
from depara.types import UInt8

Progress = Callable[[int, int], None]
"""Told how many of how many probes are done."""


def device_here(num_gpus: float | Literal["auto"]) -> str:
    """Returns the first CUDA device where a worker asks for one and this machine has it, or cpu."""
    wants_gpu = num_gpus == "auto" or num_gpus > 0
    return "cuda:0" if wants_gpu and torch.cuda.is_available() else "cpu"


def make_graphs(
    job: ModelJob,
    model: LoadedModel | None,
    storage: Storage,
    probe_set: ProbeSet,
    canvas_NSS3: UInt8,
    *,
    device: str = "cpu",
    on_progress: Progress = lambda done, total: None,
) -> None:
    """Computes and commits the graphs of a job that its storage lacks.

    Args:
        job: the model, its keys and the settings.
        model: the model where it is open already, else None.
        storage: where the graphs go.
        probe_set: the probes.
        canvas_NSS3: their canvases.
        device: that computes.
        on_progress: called after each probe range.

    Raises:
        ModelError: the model cannot be opened or run, or is not the one of the job.
        StoreError: something cannot be written.
    """
    writers = open_writers(job, storage)
    if not writers:
        return
    with foreign_code(f"model {job.card.model_id!r}: it cannot be run"):
        if model is None:
            model = open_model(job.model, canvas_side=job.settings.canvas_side)
        prove_same(model, job.card)
        bus = Bus(device)
        canvases = ProbeCanvases(canvas_NSS3, bus)
        session = ModelSession(job, model, writers, bus, attempt=0)
        try:
            with process_kept():
                for probes in job.ranges:
                    ids = list(probe_set.probe_ids[probes.start : probes.stop])
                    session.extract(probes, canvases.part(probes), ids)
                    on_progress(probes.stop, len(probe_set))
            session.commit()
        finally:
            session.close()
