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
    """The last model stays open between units. The next one's weights are brought near in the
    background while the present one is computed, and it is opened while the edges are.

    A model that failed is closed, so that nothing of it lingers.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._session: Any = None
        self._canvases: tuple[ProbeSet, Any] | None = None
        self._known_bus: Any = None
        self._upcoming: tuple[str, Future[Any]] | None = None
        self._near: tuple[str, Future[Any]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="depara-read")

    def extract(
        self, job: ModelJob, probes: ProbeRange, attempt: int, ahead: ModelJob | None = None
    ) -> None:
        """Computes one probe range of a model, which is opened where it is not.

        Args:
            job: of the model.
            probes: the range.
            attempt: how often the model has ended a worker.
            ahead: the model that comes after it, where it is known.

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
                self._bring_near(ahead)
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
        self._take_near("")
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
        from depara.extraction.ahead import open_near

        ahead, self._upcoming = self._upcoming, None
        if ahead is not None and ahead[0] == job.model.id:
            return ahead[1].result()
        return open_near(job, self._take_near(job.model.id))

    def _read_ahead(self, job: ModelJob | None) -> None:
        """Starts opening the model that comes next.

        Code of the user's own is not run beside other work: it may change the process meanwhile.
        """
        if job is not None and not job.model.source.startswith("python:"):
            from depara.extraction.ahead import open_near

            near = self._take_near(job.model.id)
            opening = self._reader.submit(open_near, job, near, self._bus())
            self._upcoming = (job.model.id, opening)

    def _bring_near(self, job: ModelJob | None) -> None:
        """Starts bringing the weights of the model that comes next near; no code of others runs."""
        if job is None or (self._near is not None and self._near[0] == job.model.id):
            return
        from depara.extraction.ahead import NearWeights, is_worth_fetching

        self._take_near("")
        if is_worth_fetching(job.model, job.card, int(job.settings.compute.memory)):
            self._near = (job.model.id, self._reader.submit(NearWeights.of, job.model))

    def _take_near(self, model_id: str) -> Future[Any] | None:
        """Returns the weights of a model, on their way, if they were asked for; drops others."""
        near, self._near = self._near, None
        if near is None or near[0] == model_id:
            return near and near[1]
        near[1].add_done_callback(_drop)
        return None

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


def _drop(near: Future[Any]) -> None:
    if not near.cancelled() and near.exception() is None:
        near.result().close()
