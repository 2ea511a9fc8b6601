"""The next model's weights, brought near while the present model is computed.

Only bytes are moved beside a computation: a file is read once, so that the system has it in memory,
or copied from a storage. What runs code of others, opening the model, waits until the model before
it is done with its passes.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Self

from torch import nn

from depara.attribution import Bus
from depara.config import ModelConfig
from depara.errors import DeparaError
from depara.extraction.jobs import ModelJob
from depara.ledger import part_bytes
from depara.locations import is_remote
from depara.models import LoadedModel, open_model
from depara.models.checkpoint import weights_file
from depara.models.shards import is_index, weight_files
from depara.types import ModelCard

_CHUNK_BYTES = 4 * 2**20
_FLOAT_BYTES = 4


@dataclass
class NearWeights:
    """A model's weights in a local file that has just been read."""

    path: Path
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def of(cls, model: ModelConfig) -> Self:
        """Returns the weights of a model that `is_worth_fetching`; to be closed.

        Raises:
            WeightsError, StorageUnavailableError: as opening the model would.
        """
        assert model.weights is not None
        stack = ExitStack()
        with stack:
            path = stack.enter_context(weights_file(model.weights))
            if not is_remote(model.weights):
                for part in weight_files(path, model.weights):
                    _read_through(part)
            return cls(path, stack.pop_all())

    def close(self) -> None:
        """Removes the copy, where it is one."""
        self._stack.close()


def is_worth_fetching(model: ModelConfig, card: ModelCard, memory_bytes: int) -> bool:
    """Whether a model's weights are a file, and one that fits its part of a worker's memory."""
    weights = model.weights or ""
    is_file = is_remote(weights) or ("/" in weights and not weights.startswith("package://"))
    if not is_file or (is_remote(weights) and is_index(Path(weights))):
        return False
    return _FLOAT_BYTES * card.num_parameters <= _most_bytes(memory_bytes)


def open_near(
    job: ModelJob, near: Future[NearWeights] | None, bus: Bus | None = None
) -> LoadedModel:
    """Returns a job's model, from weights that were brought near if there are some.

    Args:
        job: the model.
        near: its weights, on their way; they are closed. Where they did not come, they are read
            from where they are: then this fails as it would have without.
        bus: to a device, for which the weights are laid ready in page-locked memory while they fit
            their part of the worker's.

    Raises:
        ModelError, WeightsError, ChangedModelError, OutOfMemoryError: as `open_model`.
    """
    side = job.settings.canvas_side
    weights = _arrived(near)
    if weights is None:
        model = open_model(job.model, canvas_side=side)
    else:
        with closing(weights):
            model = open_model(job.model, canvas_side=side, weights_path=weights.path)
    if bus is not None and bus.is_separate:
        lay_ready(model.module, bus, _most_bytes(int(job.settings.compute.memory)))
    return model


def _arrived(near: Future[NearWeights] | None) -> NearWeights | None:
    if near is None or near.cancelled() or isinstance(near.exception(), DeparaError | OSError):
        return None
    return near.result()


def lay_ready(module: nn.Module, bus: Bus, most_bytes: int) -> bool:
    """Puts a module's tensors into memory from which uploads need not wait, if they fit."""
    tensors = {id(one): one for one in chain(module.parameters(), module.buffers())}.values()
    if sum(tensor.nbytes for tensor in tensors) > most_bytes:
        return False
    for tensor in tensors:
        staged = bus.host_empty(tuple(tensor.shape), tensor.dtype)
        staged.copy_(tensor.detach())
        tensor.data = staged
    return True


def _most_bytes(memory_bytes: int) -> int:
    return part_bytes(memory_bytes, "weights")


def _read_through(path: Path) -> None:
    buffer = bytearray(_CHUNK_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
