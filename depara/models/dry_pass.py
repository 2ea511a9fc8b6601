"""One forward pass that proves what every module does: how often it fires, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from depara.errors import ModelError, OutOfMemoryError
from depara.models.compiled import compiler_off
from depara.models.foreign import foreign_code
from depara.models.operations import OperationCounter
from depara.models.outputs import find_tensor
from depara.models.recomputation import checkpoints_inlined, in_backward

OUTPUT = "output"
"""Name of the cut point that is the model's own return value."""

_BATCH = 2


@dataclass(frozen=True)
class Firing:
    """One return of one module: its tensor's shape (batch first; None for no tensor) and kind.

    ``gradients_off`` is the mode without gradients that it ran in: ``no_grad``, ``inference_mode``.
    ``flops`` are the operations of the whole batch until then.
    """

    name: str
    returned: str
    shape: tuple[int, ...] | None = None
    dtype: torch.dtype | None = None
    depends_on_input: bool = False
    num_bytes: int = 0
    gradients_off: str = ""
    flops: int = 0


@dataclass(frozen=True)
class DryPass:
    """What a forward pass over ``batch_size`` canvases showed.

    ``firings`` are in order of return, of all modules (the root under the name ``output``);
    ``names`` are all module names; ``leaves`` those of modules without children; ``returned`` is
    the tensor that the model gave, if any.
    """

    firings: tuple[Firing, ...]
    names: tuple[str, ...]
    leaves: frozenset[str]
    returned: Tensor | None
    batch_size: int = _BATCH

    @cached_property
    def _firings_of(self) -> dict[str, list[int]]:
        positions: dict[str, list[int]] = {}
        for position, firing in enumerate(self.firings):
            positions.setdefault(firing.name, []).append(position)
        return positions

    def rejection(self, name: str) -> str | None:
        """Returns why a module cannot be a cut point, or None when it can.

        A cut point fires exactly once and gives a floating-point tensor with the batch first, at
        least one value per probe, that depends on the input.
        """
        positions = self._firings_of.get(name, [])
        if len(positions) != 1:
            times = f"{len(positions)} times" if positions else "0 times (never)"
            return f"fires {times} in one forward pass, a cut point fires exactly once"
        firing = self.firings[positions[0]]
        if firing.shape is None or firing.dtype is None:
            return f"returns no tensor but {firing.returned}"
        if not firing.dtype.is_floating_point:
            return f"returns {firing.dtype}, a cut point gives floating-point values"
        if not firing.depends_on_input:
            return f"does not depend on the input through differentiable operations{self._cut}"
        if not firing.shape or firing.shape[0] != self.batch_size:
            return (
                f"returns shape {firing.shape} for {self.batch_size} probes, "
                "a cut point has the batch as its first dimension"
            )
        return "returns no values" if 0 in firing.shape else None

    @property
    def _cut(self) -> str:
        """Why no gradient passes, where that shows."""
        for firing in self.firings:
            if firing.gradients_off:
                return (
                    f": forward runs {firing.name!r} under torch.{firing.gradients_off}, without "
                    "gradients. Take that out of forward; where it decorates forward, a subclass "
                    "with `forward = Net.forward.__wrapped__` is without it"
                )
        if any(firing.depends_on_input for firing in self.firings):
            return ""
        return (
            ": something in forward cuts the gradient off, such as detach, .data, numpy, argmax or "
            "rounding. Take that out of forward"
        )

    def qualifies(self, name: str) -> bool:
        """Whether the module can be a cut point."""
        return self.rejection(name) is None

    @cached_property
    def qualified(self) -> tuple[str, ...]:
        """Names of all modules that can be cut points, in firing order, ``output`` last."""
        return tuple(firing.name for firing in self.firings if self.qualifies(firing.name))

    def position(self, name: str) -> int:
        """Place of a module's one firing among all firings."""
        (position,) = self._firings_of[name]
        return position

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape, batch first, of a module that fires once with a tensor."""
        shape = self.firings[self.position(name)].shape
        assert shape is not None
        return shape

    def flops(self, name: str) -> int | None:
        """Operations per probe until a module that fires once returned; None: none were counted."""
        return self.firings[self.position(name)].flops // self.batch_size or None

    def activation_bytes(self, last: str) -> int:
        """Bytes per probe that leaf modules gave until ``last`` returned: what backwards keep."""
        until = self.firings[: self.position(last) + 1]
        total = sum(firing.num_bytes for firing in until if firing.name in self.leaves)
        return total // self.batch_size


def module_names(module: nn.Module) -> dict[str, nn.Module]:
    """Returns all modules by name; the root is called ``output``.

    A direct child that is itself called ``output`` gives way to the root.
    """
    named = {name: child for name, child in module.named_modules() if name not in ("", OUTPUT)}
    return {**named, OUTPUT: module}


def layer_module(module: nn.Module, name: str) -> nn.Module:
    """Returns the module to hook for a layer's name; ``output`` is the root itself."""
    return module if name == OUTPUT else module.get_submodule(name)


def dry_canvas(canvas_side: int, batch_size: int = _BATCH) -> Tensor:
    """Returns fixed, non-constant canvases ``N 3 S S`` in [0, 1]; leaves global RNGs alone."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch_size, 3, canvas_side, canvas_side, generator=generator)


@contextmanager
def recorded_firings(
    module: nn.Module, flops: Callable[[], int] = lambda: 0
) -> Iterator[list[Firing]]:
    """Records every module's returns, in order, while the context lasts.

    Args:
        module: the model.
        flops: gives the operations so far.
    """
    firings: list[Firing] = []
    handles: list[RemovableHandle] = []
    try:
        for name, child in module_names(module).items():
            handles.append(child.register_forward_hook(_recorder(name, firings, flops)))
        yield firings
    finally:
        for handle in handles:
            handle.remove()


def _recorder(
    name: str, firings: list[Firing], flops: Callable[[], int]
) -> Callable[[nn.Module, object, object], None]:
    def record(_module: nn.Module, _inputs: object, output: object) -> None:
        if in_backward():
            return
        tensor = find_tensor(output)
        if tensor is None:
            firings.append(Firing(name, returned=type(output).__name__, flops=flops()))
            return
        firings.append(
            Firing(
                name,
                returned=type(output).__name__,
                shape=tuple(tensor.shape),
                dtype=tensor.dtype,
                depends_on_input=tensor.requires_grad,
                num_bytes=tensor.numel() * tensor.element_size(),
                gradients_off=_gradients_off(),
                flops=flops(),
            )
        )

    return record


def _gradients_off() -> str:
    if torch.is_inference_mode_enabled():
        return "inference_mode"
    return "" if torch.is_grad_enabled() else "no_grad"


def call_model(module: nn.Module, preprocess: nn.Module, canvas_N3SS: Tensor) -> Tensor | None:
    """Returns the tensor in what the model gives for a batch of canvases, if there is one.

    Raises:
        ModelError: the model raises; the message names the input's shape and the cause.
        OutOfMemoryError: memory ran out.
    """
    images = preprocess(canvas_N3SS)
    shape = tuple(images.shape)
    with (
        compiler_off(),
        foreign_code(
            f"raised on one image batch of shape {shape} (models that need another input cannot be "
            "probed; set input.side and input.mean when it is only another size or channel count)"
        ),
    ):
        return find_tensor(module(images))


def _dropped(_saved: object) -> Any:
    return None


def _fired(
    module: nn.Module, preprocess: nn.Module, canvas_side: int, counter: OperationCounter | None
) -> tuple[list[Firing], Tensor | None]:
    """Runs the pass, counting its operations if asked to; returns what fired, and what it gave."""
    canvas = dry_canvas(canvas_side).requires_grad_()
    # No backward follows: what autograd would keep for it is dropped.
    nothing_kept = torch.autograd.graph.saved_tensors_hooks(_dropped, _dropped)
    count = (lambda: 0) if counter is None else (lambda: counter.flops)
    with (
        torch.enable_grad(),
        checkpoints_inlined(),
        nothing_kept,
        recorded_firings(module, count) as firings,
        nullcontext() if counter is None else counter,
    ):
        returned = call_model(module, preprocess, canvas)
    return firings, returned


def run_dry_pass(module: nn.Module, preprocess: nn.Module, canvas_side: int) -> DryPass:
    """Returns what one forward pass over two canvases shows of every module.

    The parameters are expected to be frozen, so that a tensor requires a gradient exactly when it
    depends on the canvas.

    Raises:
        ModelError: the model raises, or needs another input than one image batch.
        OutOfMemoryError: memory ran out.
    """
    counter = OperationCounter()
    try:
        firings, returned = _fired(module, preprocess, canvas_side, counter)
    except OutOfMemoryError:
        raise
    except ModelError:  # maybe of the counting alone
        firings, returned = _fired(module, preprocess, canvas_side, None)
    named = module_names(module)
    return DryPass(
        firings=tuple(firings),
        names=tuple(named),
        leaves=frozenset(
            name for name, child in named.items() if next(child.children(), None) is None
        ),
        returned=None if returned is None else returned.detach(),
    )
