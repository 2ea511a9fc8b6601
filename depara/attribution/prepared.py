"""A model made ready for a device and a memory format, without touching the model.

While the context is open the model's parameters and buffers are replaced by frozen stand-ins; when
it closes, each is put back. Stand-ins share memory with the originals where nothing had to change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from depara.attribution.bus import Bus
from depara.attribution.conv_norms import ConvNorm, Pair, find_pairs, paired
from depara.attribution.model_state import ModelState
from depara.attribution.norms import AffineNorm, affine_norms, replaced
from depara.attribution.torch_state import evaluating

_Slot = tuple[nn.Module, str, Tensor]
"""A module, the name of one of its parameters or buffers, and the tensor that belongs there."""


@dataclass
class _Ready:
    """What stands in for a model's own in one memory format, fused or not."""

    stand_ins: list[_Slot]
    norms: list[AffineNorm]
    conv_norms: list[ConvNorm]
    state: ModelState | None = None


class PreparedModel:
    """A model and its preprocessing on a device; the modules given are changed only while `active`.

    The weights are read when they are first needed. Not for concurrent use: two threads must not
    have the same module active.

    Args:
        module: the model.
        preprocess: from the canvas to the model's input.
        bus: to the device that computes; None is the host itself.
    """

    def __init__(self, module: nn.Module, preprocess: nn.Module, bus: Bus | None = None) -> None:
        self._module = module
        self._preprocess = preprocess
        self._bus = bus or Bus()
        self._pairs: tuple[Pair, ...] = ()
        self._fused: tuple[bool, _Ready] | None = None
        self._plain: dict[bool, _Ready] = {}
        self._active: _Ready | None = None

    @property
    def has_images(self) -> bool:
        """Whether a memory format makes a difference: some weight has four dimensions."""
        return any(parameter.ndim == 4 for parameter in self._module.parameters())

    def release(self) -> None:
        """Frees the memory of the stand-ins; the next `active` makes them anew."""
        self._fused, self._plain = None, {}

    @contextmanager
    def active(self, channels_last: bool, is_fused: bool = True) -> Iterator[list[Tensor]]:
        """Makes the model ready, in eval mode and frozen; gives its tensors.

        Args:
            channels_last: memory format of the weights.
            is_fused: computes batch normalisations as `norms` and `conv_norms` say; else every
                module computes as it is.
        """
        ready = self._ready(channels_last, is_fused)
        with replaced(ready.norms), paired(ready.conv_norms), self._standing_in(ready):
            yield [tensor for _, _, tensor in ready.stand_ins]

    def forget_state(self) -> None:
        """Takes the state that the model is in at the next `active` for the one to restore."""
        for ready in (*self._plain.values(), *([self._fused[1]] if self._fused else [])):
            ready.state = None

    def restore_state(self) -> None:
        """Gives the active model the state that it was opened in: each pass starts from that."""
        if self._active is not None and self._active.state is not None:
            self._active.state.restore()

    def find_pairs(self, run: Callable[[], object], kept: Collection[nn.Module]) -> int:
        """Finds the pairs (`conv_norms.find_pairs`), uses them from now on, returns their number.

        Args:
            run: runs one forward pass of the model, however far.
            kept: modules whose output must stay as it is.
        """
        with self.active(False, is_fused=False):
            self._pairs = find_pairs(self._module, run, kept)
        self._fused = None
        return len(self._pairs)

    def _ready(self, channels_last: bool, is_fused: bool) -> _Ready:
        """Returns the stand-ins; of the fused ones, which take memory, one set is kept."""
        if not is_fused:
            if channels_last not in self._plain:
                self._plain[channels_last] = _Ready(self._convert(channels_last), [], [])
            return self._plain[channels_last]
        if self._fused is None or self._fused[0] is not channels_last:
            self._fused = None
            norms = {one.norm: self._uploaded(one) for one in affine_norms(self._module)}
            memory_format = _memory_format(channels_last)
            pairs = [
                ConvNorm(pair, norms.pop(pair.norm), self._upload(pair.conv.weight), memory_format)
                for pair in self._pairs
            ]
            ready = _Ready(self._convert(channels_last), list(norms.values()), pairs)
            self._fused = (channels_last, ready)
        return self._fused[1]

    @contextmanager
    def _standing_in(self, ready: _Ready) -> Iterator[None]:
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in ready.stand_ins]
        with evaluating(self._module):
            try:
                _put(ready.stand_ins)
                self._active = ready
                if ready.state is None:
                    ready.state = self._new_state(ready, originals)
                yield
            finally:
                self._active = None
                _put(originals)

    def _new_state(self, ready: _Ready, originals: list[_Slot]) -> ModelState:
        """Takes note of the model's state; buffers are given the values of those replaced."""
        values = {
            id(stand_in): original
            for (_, _, stand_in), (_, _, original) in zip(ready.stand_ins, originals, strict=True)
        }
        return ModelState(self._module, lambda tensor: values.get(id(tensor)))

    def _convert(self, channels_last: bool) -> list[_Slot]:
        made: dict[int, Tensor] = {}
        slots = list(self._slots())
        for owner, name, tensor in slots:
            if id(tensor) not in made:
                stand_in = self._stand_in(tensor, _memory_format(channels_last))
                if name in owner._parameters:
                    stand_in = nn.Parameter(stand_in, requires_grad=False)
                else:
                    stand_in = stand_in.clone()  # a model may write into its buffers
                made[id(tensor)] = stand_in
        return [(owner, name, made[id(tensor)]) for owner, name, tensor in slots]

    def _stand_in(self, tensor: Tensor, memory_format: torch.memory_format) -> Tensor:
        moved = self._upload(tensor)
        return moved.contiguous(memory_format=memory_format) if moved.ndim == 4 else moved

    def _upload(self, tensor: Tensor) -> Tensor:
        return self._bus.upload("weights", tensor.detach())

    def _uploaded(self, norm: AffineNorm) -> AffineNorm:
        scale_C, shift_C = self._upload(norm.scale_C), self._upload(norm.shift_C)
        return replace(norm, scale_C=scale_C, shift_C=shift_C)

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
