"""What a worker keeps between the units of the extraction: open model, canvases, read-ahead."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from cluster.pool.worker import Worker
from depara.extraction.canvases import load_canvases
from depara.extraction.jobs import CommitResult, ModelJob
from depara.store.canvases import ProbeSet
from depara.types import ProbeRange


class Bench:
    """The last model stays open between units, and the next one's weights are read in the
    background while the edges of the present one are computed.

    A model that failed is closed, so that nothing of it lingers.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._session: Any = None
        self._canvases: tuple[ProbeSet, Any] | None = None
        self._known_bus: Any = None
        self._upcoming: tuple[str, Future[Any]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="depara-read")

    def extract(self, job: ModelJob, probes: ProbeRange, attempt: int) -> None:
        """Computes one probe range of a model, which is opened where it is not.

        Raises:
            ModelError: the model cannot be opened or run, or is not the one of the plan.
            DamagedCanvasesError: decoded probes in the storage are damaged.
            StoreError: something could not be read or written.
        """
        from depara.models import process_kept

        self.await_reader()
        try:
            with process_kept():  # forward passes are code of others, too
                session = self._open_session(job, attempt)
                probe_set, canvases = self._load_canvases(job)
                ids = list(probe_set.probe_ids[probes.start : probes.stop])
                session.extract(probes, canvases.part(probes), ids)
        except BaseException:
            self._close_session()
            raise

    def commit(self, job: ModelJob, ahead: ModelJob | None) -> CommitResult:
        """Commits the graphs of the open model, and closes it.

        Args:
            job: of the model.
            ahead: the model that comes next, if one does.

        Raises:
            ModelError: features give no edges.
            StoreError: something could not be written.
        """
        try:
            self._read_ahead(ahead)
            assert self._session is not None
            assert self._session.job.card == job.card
            result: CommitResult = self._session.commit()
            return result
        finally:
            self._close_session()

    def await_reader(self) -> None:
        """Waits for the background: libraries change the process for as long as they open one."""
        if self._upcoming is not None:
            wait([self._upcoming[1]])

    def flush(self) -> None:
        """Finishes the writes of the open model."""
        if self._session is not None:
            self._session.flush()

    def close(self) -> None:
        """Frees the open model and the canvases."""
        self._close_session()
        self._canvases = None
        self._reader.shutdown(wait=False)

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _open_session(self, job: ModelJob, attempt: int) -> Any:
        from depara.extraction.session import FoundSession, ModelSession, open_writers
        from depara.models import prove_same

        if self._session is not None and self._session.job.card == job.card:
            return self._session
        self._close_session()
        writers = open_writers(job, self._worker.storage)
        if writers:
            model = self._open_model(job)
            prove_same(model, job.card)
            self._session = ModelSession(job, model, writers, self._bus(), attempt)
        else:
            self._session = FoundSession(job, self._worker.device)
        return self._session

    def _open_model(self, job: ModelJob) -> Any:
        from depara.models import open_model

        ahead, self._upcoming = self._upcoming, None
        if ahead is not None and ahead[0] == job.model.id:
            return ahead[1].result()
        return open_model(job.model, canvas_side=job.settings.canvas_side)

    def _read_ahead(self, job: ModelJob | None) -> None:
        """Starts reading the weights of the model that comes next.

        Code of the user's own is not run beside other work: it may change the process meanwhile.
        """
        if job is not None and not job.model.source.startswith("python:"):
            from depara.models import open_model

            future = self._reader.submit(
                open_model, job.model, canvas_side=job.settings.canvas_side
            )
            self._upcoming = (job.model.id, future)

    def _bus(self) -> Any:
        """The way to the worker's device, one for all models."""
        if self._known_bus is None:
            from depara.attribution import Bus

            self._known_bus = Bus(self._worker.device, share=self._worker.device_share)
        return self._known_bus

    def _load_canvases(self, job: ModelJob) -> tuple[ProbeSet, Any]:
        """The canvases of the probe set, read once, and uploaded once where they fit."""
        if self._canvases is None or self._canvases[0].key != job.probe_set_key:
            from depara.extraction.probe_canvases import ProbeCanvases

            probe_set, canvas_NSS3 = load_canvases(
                self._worker.storage,
                job.probe_set_key,
                memory_bytes=int(job.settings.compute.memory),
                spill_dir=self._worker.spill_dir,
            )
            self._canvases = probe_set, ProbeCanvases(canvas_NSS3, self._bus())
        return self._canvases
