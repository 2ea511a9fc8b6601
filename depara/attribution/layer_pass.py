"""One forward pass under hooks; in each layer's hook its features and its input-only backward.

Shapes: ``B`` probes of a batch, ``S`` canvas side, ``D`` features, ``L`` layers.

The backward of a layer runs inside that layer's hook. So it sees the layer's values before a later
in-place operation can change them, its cotangent lives no longer than itself, and it runs while the
graph still ends at that layer: no more memory than the deepest backward needs anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.graph import allow_mutation_on_saved_tensors

from depara.config.schema import Arithmetic
from depara.errors import LayerError, ModelError
from depara.models.foreign import is_out_of_memory, one_line
from depara.models.outputs import find_tensor, layer_tensor, pool_features
from depara.models.recomputation import checkpoints_inlined, in_backward
from depara.models.row_norms import row_norms

RETURNED = "(return value)"
"""Stands for a layer's name where the model's own return value is handed out."""

OnFeatures = Callable[[str, Tensor], None]
"""Takes a layer's name and its features ``B D``, valid only during the call."""

OnValues = Callable[[str, Tensor], None]
"""Takes a layer's name and its output as it is, batch first, valid only during the call."""

OnNorms = Callable[[str, Tensor, int], None]
"""Takes a layer's name, the norms of its output ``B``, and its number of values per probe."""

OnGradient = Callable[[str, Tensor], None]
"""Takes a layer's name and the gradient of its scalar with respect to the canvas, ``B 3 S S``."""


class OverwrittenError(RuntimeError):
    """A value that a backward needs was overwritten in place: the pass must keep copies."""


class _AllLayersFired(BaseException):
    """Ends a forward pass as soon as its last layer has fired; no model's `except` may stop it."""


def _nothing_to_restore() -> None:
    """For a model that keeps nothing between calls."""


@dataclass
class LayerPass:
    """The layers of one model, ready to be passed through batch by batch.

    Args:
        module: the model, in eval mode.
        preprocess: from the canvas to the model's input.
        layers: the module of each layer, by the layer's name.
        scalar: ``l2norm`` or ``mean``, of each probe's layer output.
        features: ``flatten`` or ``gap``.
        model_id: for messages.
        ends_early: end the forward pass, by an exception, once the last layer has fired.
        hands_return: go on to the end, where features are asked for, and hand out what the model
            returns under the name of `RETURNED`, if it is a matrix with one row per probe.
        skips_graph: build no autograd graph when no gradient is asked for.
        restore: called after each pass, to put back what the model keeps between calls.
        keeps_copies: copy values that an in-place operation is about to overwrite but a backward
            still needs; for models that torch could not differentiate otherwise.
        precision: ``bf16`` runs the module under autocast to bfloat16, and its backwards in what it
            gave; preprocessing, norms, features, scalars and maps are float32 all the same.
    """

    module: nn.Module
    preprocess: nn.Module
    layers: Mapping[str, nn.Module]
    scalar: str
    features: str
    model_id: str
    keeps_copies: bool = False
    ends_early: bool = True
    hands_return: bool = False
    skips_graph: bool = True
    restore: Callable[[], None] = _nothing_to_restore
    precision: Arithmetic = "fp32"

    def run(
        self,
        canvas_B3SS: Tensor,
        *,
        on_norms: OnNorms | None = None,
        on_features: OnFeatures | None = None,
        on_gradient: OnGradient | None = None,
        on_values: OnValues | None = None,
    ) -> Tensor:
        """Returns whether each layer's features are finite, bool ``L B``, after one forward pass.

        ``on_norms``, ``on_values``, ``on_features`` and ``on_gradient`` are called in this order,
        layer by layer as they fire. A layer that fires again while a backward recomputes an
        activation checkpoint has fired before.

        Raises:
            LayerError: a layer never fires, fires twice, or does not give one row per probe.
            ModelError: the model, or a backward through it, raises.
            OverwrittenError: see `keeps_copies`.
            torch.OutOfMemoryError, RuntimeError, MemoryError: memory ran out (`is_out_of_memory`).
        """
        wants_gradient = on_gradient is not None
        has_graph = wants_gradient or not self.skips_graph
        canvas = canvas_B3SS.detach().requires_grad_(has_graph)
        one = _OnePass(self, canvas, on_norms, on_features, on_gradient, on_values)
        copies: AbstractContextManager[object] = nullcontext()
        if has_graph and self.keeps_copies:
            copies = allow_mutation_on_saved_tensors()
        try:
            with torch.set_grad_enabled(has_graph), checkpoints_inlined(), copies, one.hooked():
                one.forward()
        finally:
            self.restore()
        return torch.stack([one.finite[name] for name in self.layers])

    def in_module(self, device: torch.device) -> AbstractContextManager[object]:
        """Gives the context in which the module runs."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16)

    def in_hook(self, device: torch.device) -> AbstractContextManager[object]:
        """Gives the context in which the layers' hooks run, inside of `in_module`."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(device.type, enabled=False)

    def wide(self, values: Tensor) -> Tensor:
        """Returns values of the module in the arithmetic of what follows it."""
        return values.float() if self.precision == "bf16" else values


@dataclass
class _OnePass:
    """The state of one forward pass."""

    owner: LayerPass
    canvas: Tensor
    on_norms: OnNorms | None
    on_features: OnFeatures | None
    on_gradient: OnGradient | None
    on_values: OnValues | None
    finite: dict[str, Tensor] = field(default_factory=dict)
    own_error: Exception | None = None

    @contextmanager
    def hooked(self) -> Iterator[None]:
        handles = []
        try:
            for name, layer in self.owner.layers.items():
                handles.append(layer.register_forward_hook(self._hook(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def forward(self) -> None:
        images = self.owner.preprocess(self.canvas)
        if images is self.canvas:
            images = images.clone()  # a leaf that requires a gradient cannot be changed in place
        try:
            with self.owner.in_module(self.canvas.device):
                self._hand_return(self.owner.module(images))
        except _AllLayersFired:
            pass
        except Exception as error:
            if self.own_error is None and not is_out_of_memory(error):
                raise ModelError(
                    f"{self.owner.model_id}: raised on images of shape {tuple(images.shape)}: "
                    f"{one_line(error)}"
                ) from error
            if self.own_error is None:
                raise
        if self.own_error is not None:  # also where the model has caught it
            raise self.own_error
        missing = [name for name in self.owner.layers if name not in self.finite]
        if missing:
            raise self.about(missing[0], "never fires: choose another")

    def _hook(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def fired(_module: nn.Module, _inputs: object, output: object) -> None:
            if in_backward():
                return
            try:
                with self.owner.in_hook(self.canvas.device):
                    self._visit(name, layer_tensor(output))
            except Exception as error:
                self.own_error = error
                raise
            if len(self.finite) < len(self.owner.layers):
                return
            if self._goes_on:
                torch.set_grad_enabled(False)  # until the pass ends: no backward is left
            elif self.owner.ends_early:
                raise _AllLayersFired

        return fired

    @property
    def _goes_on(self) -> bool:
        return self.owner.hands_return and self.on_features is not None

    def _hand_return(self, returned: object) -> None:
        if isinstance(returned, list | tuple) and any(isinstance(r, Mapping) for r in returned):
            return  # what a detector found on each image: the first tensor is of one image alone
        tensor = find_tensor(returned)
        if not self._goes_on or self.on_features is None or tensor is None or tensor.ndim != 2:
            return
        if len(tensor) == len(self.canvas) and tensor.is_floating_point():
            self.on_features(RETURNED, self.owner.wide(tensor.detach()))

    def _visit(self, name: str, output: Tensor) -> None:
        self._check(name, output)
        values = self.owner.wide(output.detach())
        norm_B = row_norms(values)
        self.finite[name] = torch.isfinite(norm_B)
        if self.on_norms is not None:
            self.on_norms(name, norm_B, values[0].numel())
        if self.on_values is not None:
            self.on_values(name, values)
        if self.on_features is not None:
            is_flat = self.owner.features == "flatten"
            self.on_features(
                name, values.reshape(len(values), -1) if is_flat else pool_features(values)
            )
        if self.on_gradient is not None:
            cotangent = cotangent_of(values, norm_B, self.owner.scalar)
            self.on_gradient(name, self._gradient(name, output, cotangent.to(output.dtype)))

    def _gradient(self, name: str, output: Tensor, cotangent: Tensor) -> Tensor:
        is_last = len(self.finite) == len(self.owner.layers)
        try:
            (gradient,) = torch.autograd.grad(
                output, self.canvas, cotangent, retain_graph=not is_last
            )
        except RuntimeError as error:
            if "modified by an inplace operation" in str(error):
                raise OverwrittenError(str(error)) from error
            if is_out_of_memory(error):
                raise
            text = f"the backward pass raised: {one_line(error)}"
            raise self.about(name, text, ModelError) from error
        return gradient

    def _check(self, name: str, output: Tensor) -> None:
        if name in self.finite:
            raise self.about(name, "fires twice in one pass: choose another")
        if output.ndim == 0 or output.shape[0] != len(self.canvas):
            raise self.about(
                name,
                f"gives shape {tuple(output.shape)} for {len(self.canvas)} probes, expected the "
                "batch as first dimension: choose another",
            )
        if self.on_gradient is not None and not output.requires_grad:
            raise self.about(
                name,
                "does not depend on the input through differentiable operations: choose another",
            )

    def about(self, name: str, text: str, kind: type[ModelError] = LayerError) -> ModelError:
        error = kind(f"{self.owner.model_id}: layer {name!r}: {text}")
        error.layer = name
        return error


def cotangent_of(values: Tensor, norm_B: Tensor, scalar: str) -> Tensor:
    """Returns the derivative of each probe's scalar with respect to the layer's output.

    ``l2norm`` (DEPARA, Eq. 3): ``F / ||F||``, 0 where the output is all zero. ``mean``: ``1 / D``.

    Args:
        values: the layer's output, batch first, any shape and memory format.
        norm_B: its Euclidean norm per probe.
        scalar: ``l2norm`` or ``mean``.
    """
    if scalar == "mean":
        return torch.full_like(values, 1 / max(values[0].numel(), 1))
    tiny = torch.finfo(torch.float32).tiny
    wide = torch.promote_types(values.dtype, torch.float32)  # float16 may not hold 1 / ||F||
    scale_B = norm_B.clamp_min(tiny).reciprocal().to(wide)
    return (values * scale_B.view(-1, *[1] * (values.ndim - 1))).to(values.dtype)
