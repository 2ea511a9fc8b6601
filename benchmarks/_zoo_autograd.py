"""Nodes and features by plain autograd: what the sweep compares the product with.

The whole forward pass, contiguous, hooks that copy, and one `torch.autograd.grad` per layer; in
float32, or in float64 on a copy of the model. It shares no code with the product. Features are of
each probe alone, so that a model which mixes the probes of a batch is seen. Gradients are of all
probes at once: torch's BatchNorm on the CPU gives wrong ones for a batch of one whose gradient
lies transposed, as in LevIT and CvT (torch 2.14; finite differences tell), never for more.

Shapes: ``N`` probes, ``S`` canvas side, ``P`` map pixels, ``D`` features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from depara.types import InputSpec

MEAN_PIXEL = (0.485, 0.456, 0.406)
LUMINANCE = (0.299, 0.587, 0.114)
CONSTANT = 1e-6
"""A feature whose deviation over the probes is at most this share of its mean does not vary."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PlainGraph:
    """One layer's unit-norm maps ``N P`` and features ``N D``, both float64 arrays."""

    maps_NP: Array
    features_ND: Array

    @property
    def gram_NN(self) -> Array:
        """Inner products of the features."""
        return self.features_ND @ self.features_ND.T

    @property
    def edges_E(self) -> Array:
        """Cosines of the features, each dimension standardised over the probes; 0 with zeros."""
        mean_D = self.features_ND.mean(axis=0)
        deviation_D = self.features_ND.std(axis=0, ddof=1)
        varies_D = deviation_D > CONSTANT * np.abs(mean_D)
        values = (self.features_ND - mean_D)[:, varies_D] / deviation_D[varies_D]
        return np.array(
            [
                cosine(values[one], values[other]) if values[one].any() else 0.0
                for one in range(len(values))
                for other in range(one + 1, len(values))
            ]
        )


def cosine(one: Array, other: Array) -> float:
    """Returns the cosine of two vectors; 1 for two that are all zero, 0 for one that is."""
    norms = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if min(norms) == 0:
        return float(max(norms) == 0)
    return float((one / norms[0]) @ (other / norms[1]))


def plain_graphs(
    module: nn.Module,
    spec: InputSpec,
    layers: Sequence[str],
    canvas_NSS3: NDArray[np.uint8],
    dtype: torch.dtype,
) -> dict[str, PlainGraph]:
    """Returns the graphs of all layers; the module is already of the dtype, in eval mode, frozen.

    Tensors that the model makes in its forward pass get the dtype too.
    """
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        canvas_N3SS = torch.tensor(canvas_NSS3).permute(0, 3, 1, 2).to(dtype).contiguous() / 255
        maps = _maps(module, spec, layers, canvas_N3SS)
        alone = [_features(module, spec, layers, canvas[None]) for canvas in canvas_N3SS]
    finally:
        torch.set_default_dtype(default)
    return {
        layer: PlainGraph(maps[layer], np.concatenate([features[layer] for features in alone]))
        for layer in layers
    }


def _maps(
    module: nn.Module, spec: InputSpec, layers: Sequence[str], canvas_N3SS: Tensor
) -> dict[str, Array]:
    leaf = canvas_N3SS.clone().requires_grad_()
    shifted = canvas_N3SS - canvas_N3SS.new_tensor(MEAN_PIXEL)[None, :, None, None]
    outputs = _outputs(module, spec, layers, leaf)
    maps = {}
    for layer in layers:
        total = outputs[layer].flatten(1).norm(dim=1).sum()
        (gradient,) = torch.autograd.grad(total, leaf, retain_graph=True)
        maps_NP = (shifted * gradient).mean(dim=1).flatten(1).double().numpy()
        norms_N1 = np.linalg.norm(maps_NP, axis=1, keepdims=True)
        maps[layer] = maps_NP / np.where(norms_N1 > 0, norms_N1, 1)
    return maps


def _features(
    module: nn.Module, spec: InputSpec, layers: Sequence[str], canvas_13SS: Tensor
) -> dict[str, Array]:
    with torch.no_grad():
        outputs = _outputs(module, spec, layers, canvas_13SS)
    return {layer: tensor.flatten(1).double().numpy() for layer, tensor in outputs.items()}


def _outputs(
    module: nn.Module, spec: InputSpec, layers: Sequence[str], canvas_N3SS: Tensor
) -> dict[str, Tensor]:
    """The tensor that each layer returned in one whole forward pass, as it was then."""
    outputs: dict[str, Tensor] = {}
    with _hooked(module, layers, outputs):
        module(_model_input(spec, canvas_N3SS))
    return outputs


@contextmanager
def _hooked(module: nn.Module, layers: Sequence[str], outputs: dict[str, Tensor]) -> Iterator[None]:
    def keep(layer: str, output: object) -> None:
        assert layer not in outputs, f"{layer} fired twice"
        tensor = _tensor(output)
        assert tensor is not None, f"{layer} returned no tensor"
        outputs[layer] = tensor.clone()

    handles = []
    for layer in layers:
        hooked = module if layer == "output" else module.get_submodule(layer)
        handles.append(
            hooked.register_forward_hook(lambda _m, _i, output, name=layer: keep(name, output))
        )
    try:
        yield
    finally:  # before any backward: what a checkpoint computes again is not kept
        for handle in handles:
            handle.remove()


def _tensor(output: object) -> Tensor | None:
    """A tensor; the first of a sequence; of a mapping the hidden state, logits, or the first."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        for key in ("last_hidden_state", "logits"):
            if isinstance(output.get(key), Tensor):
                return output[key]
        tensors = [tensor for tensor in map(_tensor, output.values()) if tensor is not None]
        return next((one for one in tensors if one.is_floating_point()), None)
    if isinstance(output, list | tuple):
        return next((tensor for tensor in map(_tensor, output) if tensor is not None), None)
    return None


def _model_input(spec: InputSpec, canvas_N3SS: Tensor) -> Tensor:
    images = canvas_N3SS
    if len(spec.mean) == 1:
        images = (images * images.new_tensor(LUMINANCE)[None, :, None, None]).sum(1, keepdim=True)
    if images.shape[-1] != spec.side:
        images = functional.interpolate(
            images, (spec.side, spec.side), mode="bilinear", antialias=True
        )
    mean = images.new_tensor(spec.mean)[None, :, None, None]
    return (images - mean) / images.new_tensor(spec.std)[None, :, None, None]
