"""The worker: one process, one device share; runs the units that it is handed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeVar

from cluster.pool.units import Outcome, Unit
from depara.errors import ClusterError, DeparaError, FailureKind
from depara.store.storage import Storage
from depara.types import Failure

_MIN_FREE_GPU_BYTES = 1024**3


class Kept(Protocol):
    """What a worker keeps for its units from one to the next; made at its first use."""

    def __init__(self, worker: Worker) -> None: ...

    def flush(self) -> None:
        """Waits for what runs behind."""

    def close(self) -> None:
        """Frees what it holds."""


_K = TypeVar("_K", bound=Kept)


class Worker:
    """Runs units one at a time and answers with data, never with an exception of a unit.

    `storage` is the scan's output and `device` where tensors go, both once it is ready;
    `spill_dir` is where what does not fit in memory goes, None for the usual place.
    """

    storage: Storage
    device = "cpu"

    def __init__(
        self, output: str, num_cpus: float, num_gpus: float, spill_dir: str | None = None
    ) -> None:
        self.spill_dir = spill_dir
        self._threads = max(1, int(num_cpus))
        self._num_gpus = num_gpus
        self._output = output
        self._kept: dict[type[Kept], Any] = {}

    @property
    def device_share(self) -> float:
        """Share of one device that this worker asked for; the others that use it have the rest."""
        return min(self._num_gpus, 1.0) or 1.0

    def ready(self) -> str:
        """Loads what every unit needs, sets threads and device; returns the device's name.

        Raises:
            ClusterError: the GPU has hardly any free memory.
        """
        import threadpoolctl
        import torch

        torch.set_num_threads(self._threads)
        threadpoolctl.threadpool_limits(self._threads)
        self.storage = Storage(self._output)
        if self._num_gpus > 0 and torch.cuda.is_available():
            self.device = "cuda:0"  # Ray shows each worker its own GPU only
            if self.device_share < 1:  # what one takes too much is its own failure, not another's
                torch.cuda.set_per_process_memory_fraction(self.device_share, 0)
            free_bytes, total_bytes = torch.cuda.mem_get_info(0)
            if free_bytes < _MIN_FREE_GPU_BYTES:
                raise ClusterError(
                    f"GPU {torch.cuda.get_device_name(0)} has {free_bytes / 1e9:.1f} of "
                    f"{total_bytes / 1e9:.1f} GB free: another program is using it"
                )
            return f"{torch.cuda.get_device_name(0)}"
        return "CPU"

    def kept(self, kind: type[_K]) -> _K:
        """Returns the one thing of a kind that is kept between units."""
        if kind not in self._kept:
            self._kept[kind] = kind(self)
        found: _K = self._kept[kind]
        return found

    def run(self, unit: Unit, attempt: int = 0, upcoming: Unit | None = None) -> Outcome:
        """Runs one unit; a failure of the unit comes back as data."""
        try:
            return Outcome(unit.run(self, attempt, upcoming))
        except DeparaError as error:
            return _failed(unit, error, str(error))
        except MemoryError as error:
            return _failed(unit, error, "out of memory", FailureKind.NO_MEMORY)
        except SystemExit as error:  # of a model's forward; the worker goes on
            from depara.models.foreign import ended_program

            return _failed(unit, error, ended_program(error))
        except Exception as error:  # noqa: BLE001, the task boundary: one bad model never costs the others
            if type(error).__name__ == "OutOfMemoryError":  # torch's, of a device
                return _failed(unit, error, _one_line(error), FailureKind.NO_MEMORY)
            return _failed(unit, error, _one_line(error))

    def flush(self) -> None:
        """Waits for what its units have left running behind."""
        for one in self._kept.values():
            one.flush()

    def close(self) -> None:
        """Frees what is kept between units."""
        while self._kept:
            self._kept.popitem()[1].close()


def smallest_gpu_bytes() -> int | None:
    """Returns the memory of the smallest GPU that this process sees; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    devices = range(torch.cuda.device_count())
    return min(torch.cuda.get_device_properties(one).total_memory for one in devices)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no message"


def _failed(
    unit: Unit, error: BaseException, message: str, kind: FailureKind | None = None
) -> Outcome:
    failure = Failure.of(error, message, stage=unit.stage, model_id=unit.model_id)
    return Outcome(failure=failure if kind is None else replace(failure, kind=kind))
