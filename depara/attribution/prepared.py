"""A model made ready for a device and a memory format, without touching the model.

While the context is open the model's parameters and buffers are replaced by frozen stand-ins; when
it closes, each is put back. Stand-ins share memory with the originals where nothing had to change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from depara.attribution.conv_norms import ConvNorm, Pair, find_pairs, paired
from depara.attribution.norms import AffineNorm, affine_norms, replaced
from depara.attribution.torch_state import evaluating

_Slot = tuple[nn.Module, str, Tensor]
"""A module, the name of one of its parameters or buffers, and the tensor that belongs there."""


class PreparedModel:
    """A model and its preprocessing on a device; the modules given are changed only while `active`.

    The weights are read when they are first needed. Not for concurrent use: two threads must not
    have the same module active.

    Args:
        module: the model.
        preprocess: from the canvas to the model's input.
        device: where to compute.
    """

    def __init__(self, module: nn.Module, preprocess: nn.Module, device: torch.device) -> None:
        self._module = module
        self._preprocess = preprocess
        self._device = device
        self._stand_ins: list[_Slot] = []
        self._norms: list[AffineNorm] = []
        self._pairs: tuple[Pair, ...] = ()
        self._conv_norms: list[ConvNorm] = []
        self._channels_last: bool | None = None

    @property
    def has_images(self) -> bool:
        """Whether a memory format makes a difference: some weight has four dimensions."""
        return any(parameter.ndim == 4 for parameter in self._module.parameters())

    def release(self) -> None:
        """Frees the memory of the stand-ins; the next `active` makes them anew."""
        self._stand_ins = []
        self._norms, self._conv_norms = [], []
        self._channels_last = None

    @contextmanager
    def active(self, channels_last: bool) -> Iterator[list[Tensor]]:
        """Makes the model ready, in eval mode and frozen; gives its tensors."""
        if self._channels_last is not channels_last:
            self.release()
            self._ready_norms(_memory_format(channels_last))
            self._stand_ins = self._convert(_memory_format(channels_last))
            self._channels_last = channels_last
        with replaced(self._norms), paired(self._conv_norms), self._standing_in():
            yield [tensor for _, _, tensor in self._stand_ins]

    def find_pairs(self, run: Callable[[], object], kept: Collection[nn.Module]) -> int:
        """Finds the pairs (`conv_norms.find_pairs`), uses them from now on, returns their number.

        Args:
            run: runs one forward pass of the model, however far.
            kept: modules whose output must stay as it is.
        """
        self.release()
        self._stand_ins = self._convert(torch.contiguous_format)
        with self._standing_in():
            self._pairs = find_pairs(self._module, run, kept)
        self.release()
        return len(self._pairs)

    @contextmanager
    def _standing_in(self) -> Iterator[None]:
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in self._stand_ins]
        with evaluating(self._module):
            try:
                _put(self._stand_ins)
                yield
            finally:
                _put(originals)

    def _ready_norms(self, memory_format: torch.memory_format) -> None:
        norms = {one.norm: one for one in affine_norms(self._module, self._device)}
        self._conv_norms = [
            ConvNorm(pair, norms.pop(pair.norm), memory_format) for pair in self._pairs
        ]
        self._norms = list(norms.values())

    def _convert(self, memory_format: torch.memory_format) -> list[_Slot]:
        made: dict[int, Tensor] = {}
        slots = list(self._slots())
        for owner, name, tensor in slots:
            if id(tensor) not in made:
                stand_in = self._stand_in(tensor, memory_format)
                if name in owner._parameters:
                    stand_in = nn.Parameter(stand_in, requires_grad=False)
                made[id(tensor)] = stand_in
        return [(owner, name, made[id(tensor)]) for owner, name, tensor in slots]

    def _stand_in(self, tensor: Tensor, memory_format: torch.memory_format) -> Tensor:
        moved = tensor.detach().to(self._device)
        return moved.contiguous(memory_format=memory_format) if moved.ndim == 4 else moved

    def _slots(self) -> Iterator[_Slot]:
        for root in (self._module, self._preprocess):
            for owner in root.modules():
                for name, tensor in (*owner._parameters.items(), *owner._buffers.items()):
                    if tensor is not None:
                        yield owner, name, tensor


def _memory_format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _put(slots: Iterable[_Slot]) -> None:
    for owner, name, tensor in slots:
        setattr(owner, name, tensor)
