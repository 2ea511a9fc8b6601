"""The worker: one process, one device share; decodes, describes and computes what it is handed."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from cluster.pool.units import (
    CommitUnit,
    DecodeResult,
    DecodeUnit,
    ExtractUnit,
    FlushUnit,
    ModelJob,
    Outcome,
    ResolveUnit,
    Unit,
)
from depara.errors import ClusterError, DeparaError, StorageUnavailableError
from depara.ledger import part_bytes
from depara.store.canvases import ProbeSet, read_canvases, read_probe_set, write_canvases
from depara.store.storage import Storage
from depara.types import Failure, UInt8

_MIN_FREE_GPU_BYTES = 1024**3


class Worker:
    """Runs units one at a time and answers with data, never with an exception of a unit.

    The last model stays open between units, and the next one's weights are read in the background
    while the edges of the present one are computed.
    """

    def __init__(
        self, output: str, num_cpus: float, num_gpus: float, spill_dir: str | None = None
    ) -> None:
        self._threads = max(1, int(num_cpus))
        self._num_gpus = num_gpus
        self._output = output
        self._spill_dir = spill_dir
        self._device = "cpu"
        self._session: Any = None
        self._canvases: tuple[ProbeSet, UInt8] | None = None
        self._upcoming: tuple[str, Future[Any]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="depara-read")

    def ready(self) -> str:
        """Loads what every unit needs, sets threads and device; returns the device's name.

        Raises:
            ClusterError: the GPU has hardly any free memory.
        """
        import threadpoolctl
        import torch

        torch.set_num_threads(self._threads)
        threadpoolctl.threadpool_limits(self._threads)
        self._storage = Storage(self._output)
        if self._num_gpus > 0 and torch.cuda.is_available():
            self._device = "cuda:0"  # Ray shows each worker its own GPU only
            free_bytes, total_bytes = torch.cuda.mem_get_info(0)
            if free_bytes < _MIN_FREE_GPU_BYTES:
                raise ClusterError(
                    f"GPU {torch.cuda.get_device_name(0)} has {free_bytes / 1e9:.1f} of "
                    f"{total_bytes / 1e9:.1f} GB free: another program is using it"
                )
            return f"{torch.cuda.get_device_name(0)}"
        return "CPU"

    def run(self, unit: Unit, attempt: int = 0, upcoming: Unit | None = None) -> Outcome:
        """Runs one unit; a failure of the unit comes back as data."""
        try:
            return Outcome(self._perform(unit, attempt, upcoming))
        except StorageUnavailableError as error:
            return Outcome(failure=self._failure(unit, error, str(error)), is_passing=True)
        except DeparaError as error:
            return Outcome(failure=self._failure(unit, error, str(error)))
        except MemoryError as error:
            return Outcome(failure=self._failure(unit, error, "out of memory"))
        except SystemExit as error:  # of a model's forward; the worker goes on
            from depara.models.foreign import ended_program

            return Outcome(failure=self._failure(unit, error, ended_program(error)))
        except Exception as error:  # noqa: BLE001, the task boundary: one bad model never costs the others
            message = " ".join(str(error).split()) or "no message"
            return Outcome(failure=self._failure(unit, error, message))

    def close(self) -> None:
        """Frees the open model."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _perform(self, unit: Unit, attempt: int, upcoming: Unit | None) -> Any:
        if isinstance(unit, DecodeUnit):
            return self._decode(unit)
        if isinstance(unit, ResolveUnit):
            return self._resolve(unit)
        if isinstance(unit, ExtractUnit):
            return self._extract(unit, attempt)
        if isinstance(unit, FlushUnit):
            if self._session is not None:
                self._session.flush()
            return None
        assert isinstance(unit, CommitUnit)
        self._read_ahead(upcoming)
        assert self._session is not None
        assert self._session.job.card == unit.job.card
        try:
            return self._session.commit()
        finally:
            self.close()

    def _decode(self, unit: DecodeUnit) -> DecodeResult:
        from depara.probes import ProbeMeta, decode_probes

        decoded, failures = decode_probes(unit.refs, unit.side)
        chunk = None
        if decoded and unit.keep:
            stacked_NSS3 = np.stack([probe.canvas_SS3 for probe in decoded])
            chunk = write_canvases(self._storage, [p.probe_id for p in decoded], stacked_NSS3)
        metas = tuple(ProbeMeta.of(probe) for probe in decoded)
        return DecodeResult(metas, tuple(failures), chunk)

    def _resolve(self, unit: ResolveUnit) -> Any:
        from depara.models import describe_model

        self._await_reader()
        side, features = unit.config.canvas.side, unit.config.edges.features
        _, card = describe_model(unit.model, canvas_side=side, features=features)
        return card

    def _extract(self, unit: ExtractUnit, attempt: int) -> int:
        from depara.models import process_kept

        self._await_reader()
        with process_kept():  # forward passes are code of others, too
            session = self._open_session(unit.job, attempt)
            probe_set, canvas_NSS3 = self._load_canvases(unit.job)
            part = slice(unit.probes.start, unit.probes.stop)
            ids = list(probe_set.probe_ids[part])
            session.extract(unit.probes, np.ascontiguousarray(canvas_NSS3[part]), ids)
        return len(unit.probes)

    def _open_session(self, job: ModelJob, attempt: int) -> Any:
        from cluster.extract.session import FoundSession, ModelSession, open_writers
        from depara.models import prove_same

        if self._session is not None and self._session.job.card == job.card:
            return self._session
        self.close()
        writers = open_writers(job, self._storage)
        if writers:
            model = self._open_model(job)
            prove_same(model, job.card)
            self._session = ModelSession(job, model, writers, self._device, attempt)
        else:
            self._session = FoundSession(job, self._device)
        return self._session

    def _open_model(self, job: ModelJob) -> Any:
        from depara.models import open_model

        ahead, self._upcoming = self._upcoming, None
        if ahead is not None and ahead[0] == job.model.id:
            return ahead[1].result()
        return open_model(job.model, canvas_side=job.config.canvas.side)

    def _read_ahead(self, upcoming: Unit | None) -> None:
        """Starts reading the weights of the model that comes next, if one does.

        Code of the user's own is not run beside other work: it may change the process meanwhile.
        """
        if isinstance(upcoming, ExtractUnit) and not _is_own_code(upcoming.job):
            from depara.models import open_model

            job = upcoming.job
            future = self._reader.submit(open_model, job.model, canvas_side=job.config.canvas.side)
            self._upcoming = (job.model.id, future)

    def _await_reader(self) -> None:
        """Waits for the background: libraries change the process for as long as they open one."""
        if self._upcoming is not None:
            wait([self._upcoming[1]])

    def _load_canvases(self, job: ModelJob) -> tuple[ProbeSet, UInt8]:
        """The canvases of the probe set, read once: in memory when small, else on local disk."""
        if self._canvases is None or self._canvases[0].key != job.probe_set_key:
            probe_set = read_probe_set(self._storage, job.probe_set_key)
            shape = (len(probe_set), probe_set.side, probe_set.side, 3)
            if int(np.prod(shape)) <= part_bytes(job.config.compute.memory, "canvases"):
                canvas_NSS3: Any = np.empty(shape, dtype=np.uint8)
            else:
                file = tempfile.TemporaryFile(dir=self._spill_dir)  # noqa: SIM115, mapped below
                canvas_NSS3 = np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
            read_canvases(self._storage, probe_set, canvas_NSS3)
            self._canvases = (probe_set, canvas_NSS3)
        return self._canvases

    def _failure(self, unit: Unit, error: BaseException, message: str) -> Failure:
        """The failure as data; a model that failed is closed, so that nothing of it lingers."""
        if isinstance(unit, ExtractUnit | CommitUnit):
            self.close()
            model_id, stage = unit.job.card.model_id, "extract"
        elif isinstance(unit, ResolveUnit):
            model_id, stage = unit.model.id, "resolve"
        else:
            model_id, stage = "", "probes"
        return Failure(
            model_id=model_id,
            stage=stage,
            error_type=type(error).__name__,
            message=message,
            layer=getattr(error, "layer", None),
            probe_id=getattr(error, "probe_id", None),
        )


def _is_own_code(job: ModelJob) -> bool:
    return job.model.source.startswith("python:")
