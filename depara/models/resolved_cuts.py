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
from depara.models.conditioning import conditioning, is_resolved, reference_shift
from depara.models.dry_pass import DryPass, call_model, dry_canvas, layer_module
from depara.models.outputs import find_tensor
from depara.models.row_norms import row_norms
from depara.types import Note

_MAX_STEPS = 12
"""How many modules before a cut are tried."""


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
        if last == kept or is_resolved(self._measure([last], 1).get(last, {}).get(last)):
            return ordered
        measured = self._measure(ordered, _MAX_STEPS)
        chosen: dict[str, None] = {}
        for name in ordered:
            tried = measured.get(name, {})
            better = next((other for other, k in tried.items() if k > 0 and is_resolved(k)), None)
            if name != kept and better is not None and not is_resolved(tried.get(name)):
                self.notes.append(_moved(name, better, tried[name]))
                name = better
            chosen[name] = None
        return list(chosen)

    def _measure(self, cuts: Sequence[str], max_steps: int) -> dict[str, dict[str, float]]:
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
    found: dict[str, dict[str, float]] = field(default_factory=dict)
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

    def _walk_back(self) -> dict[str, float]:
        measured: dict[str, float] = {}
        steps = list(reversed(self.since_cut))
        for place, (name, tensor) in enumerate(steps[: self.max_steps]):
            value = self._conditioning(tensor)
            if value > 0 and is_resolved(value):
                measured[_same_values(steps[place:])] = value
                break
            measured[name] = value
        return measured

    def _conditioning(self, tensor: Tensor) -> float:
        norms_B = row_norms(tensor.detach())
        scalar = torch.linalg.vector_norm(tensor.flatten(1), dim=1).sum()
        (gradient,) = torch.autograd.grad(scalar, self.canvas, retain_graph=True)
        values = conditioning(self.shifted, gradient, norms_B, tensor[0].numel(), "l2norm")
        return float(values.median())


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


def _moved(name: str, better: str, value: float) -> Note:
    return Note(
        "conditioning",
        f"cut at {better!r} instead of {name!r}: that output is normalised last, its norm hardly "
        f"depends on the input (conditioning {value:.0e}, sound layers have 0.05 and more), and "
        f"maps of it are rounding noise of float32; `layers: [{name}]` takes it all the same",
        better,
    )
