"""Cuts that a model chooses by itself, moved before a final normalisation where there is one.

A name cannot tell whether maps of a layer are resolved (trained gains often make them so), so it is
measured, on the two canvases of the dry pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from depara.errors import DeparaError
from depara.models.conditioning import (
    conditioning,
    is_resolved,
    moved_note,
    reference_shift,
)
from depara.models.dry_pass import DryPass, call_model, dry_canvas, layer_module
from depara.models.outputs import find_tensor
from depara.models.row_norms import row_norms
from depara.types import Note

_MAX_STEPS = 12
"""How many modules before a cut are tried."""


@dataclass(frozen=True)
class _Measured:
    """Conditioning and variation at one module; 0 where the scalar does not depend on the input."""

    value: float
    variation: float

    @property
    def is_noise(self) -> bool:
        return not is_resolved(self.value, self.variation)

    @property
    def is_sound(self) -> bool:
        return self.value > 0 and not self.is_noise


@dataclass
class ResolvedCuts:
    """Replaces chosen cuts of one model whose maps float32 does not resolve.

    ``notes`` says of each what took its place.
    """

    module: nn.Module
    preprocess: nn.Module
    canvas_side: int
    dry: DryPass
    notes: list[Note] = field(default_factory=list)

    def resolve(self, names: Sequence[str], kept: str | None = None) -> list[str]:
        """Returns the cuts in firing order, those that are not resolved replaced.

        The last cut is measured; where it is resolved nothing changes. Else each cut that is not
        resolved gives way to the last module that fires before it, after the cut before it, and is.
        Where there is none, or the measurement fails, the cut stays.

        Args:
            names: cut points.
            kept: one that a user named: it stays.
        """
        ordered = sorted(dict.fromkeys(names), key=self.dry.position)
        last = ordered[-1]
        alone = self._measure([last], 1).get(last, {}).get(last)
        if last == kept or alone is None or not alone.is_noise:
            return ordered
        measured = self._measure(ordered, _MAX_STEPS)
        chosen: dict[str, None] = {}
        for name in ordered:
            tried = measured.get(name, {})
            better = next((other for other, one in tried.items() if one.is_sound), None)
            if name != kept and better is not None and name in tried and tried[name].is_noise:
                self.notes.append(moved_note(better, name, tried[name].value))
                name = better
            chosen[name] = None
        return list(chosen)

    def _measure(self, cuts: Sequence[str], max_steps: int) -> dict[str, dict[str, _Measured]]:
        """Returns for each cut what was measured of it and of modules before it, nearest first.

        A cut's walk back ends at the first module that is resolved; empty where it cannot be
        measured.
        """
        walk = _Walk(self, frozenset(cuts), max_steps)
        canvas = dry_canvas(self.canvas_side)
        walk.shifted = reference_shift(canvas)
        walk.canvas = canvas.requires_grad_()
        names = self.dry.qualified if max_steps > 1 else cuts
        try:
            with torch.enable_grad(), _hooked(self.module, names, walk.fired):
                call_model(self.module, self.preprocess, walk.canvas)
        except (DeparaError, RuntimeError, MemoryError):
            return {}  # the pass itself will say what is wrong
        return walk.found


@dataclass
class _Walk:
    """One forward pass, and the backwards in it."""

    owner: ResolvedCuts
    cuts: frozenset[str]
    max_steps: int
    canvas: Tensor = field(default_factory=lambda: torch.empty(0))
    shifted: Tensor = field(default_factory=lambda: torch.empty(0))
    since_cut: list[tuple[str, Tensor]] = field(default_factory=list)
    found: dict[str, dict[str, _Measured]] = field(default_factory=dict)
    is_measuring: bool = False

    def fired(self, name: str, output: object) -> None:
        """Takes what a module returned; at a cut, measures it and what fired before it."""
        tensor = find_tensor(output)
        if self.is_measuring or tensor is None:  # a checkpointed block that is computed again
            return
        self.since_cut.append((name, tensor))
        if name not in self.cuts or name in self.found:
            return
        self.is_measuring = True
        self.found[name] = self._walk_back()
        self.is_measuring = False
        self.since_cut.clear()

    def _walk_back(self) -> dict[str, _Measured]:
        measured: dict[str, _Measured] = {}
        steps = list(reversed(self.since_cut))
        for place, (name, tensor) in enumerate(steps[: self.max_steps]):
            one = self._measured(tensor)
            if one.is_sound:
                measured[_same_values(steps[place:])] = one
                break
            measured[name] = one
        return measured

    def _measured(self, tensor: Tensor) -> _Measured:
        values = tensor.detach()
        norms_B = row_norms(values)
        scalar = torch.linalg.vector_norm(tensor.flatten(1), dim=1).sum()
        (gradient,) = torch.autograd.grad(scalar, self.canvas, retain_graph=True)
        k_B = conditioning(self.shifted, gradient, norms_B, values[0].numel(), "l2norm")
        rows = values.flatten(1).double()
        apart, total = (rows - rows.mean(dim=0)).square().sum(), rows.square().sum()
        return _Measured(float(k_B.median()), float((apart / total).sqrt()))


def _same_values(steps: Sequence[tuple[str, Tensor]]) -> str:
    """The first module that gave these very values: others only handed them on, as dropout does."""
    name, tensor = steps[0]
    for other, before in steps[1:]:
        if before.shape != tensor.shape or not torch.equal(before, tensor):
            break
        name = other
    return name


@contextmanager
def _hooked(
    module: nn.Module, names: Sequence[str], fired: Callable[[str, object], None]
) -> Iterator[None]:
    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        return lambda _module, _inputs, output: fired(name, output)

    with ExitStack() as stack:
        for name in names:
            handle = layer_module(module, name).register_forward_hook(hook(name))
            stack.callback(handle.remove)
        yield
