"""Nodes and edges of DEPARA in float64, straight from the formulas: slow, and sharing no code.

One probe, one layer, one fresh forward pass at a time, on a float64 copy of the model.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

MU = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)


def float64_copy(module: nn.Module) -> nn.Module:
    """A float64 copy in eval mode."""
    return copy.deepcopy(module).double().eval()


def canvas_tensor(canvas_SS3: np.ndarray) -> Tensor:
    """One uint8 canvas as ``1 3 S S`` float64 in [0, 1]."""
    return torch.tensor(canvas_SS3).permute(2, 0, 1)[None].double() / 255


def layer_output(model: nn.Module, preprocess: nn.Module, layer: str, canvas: Tensor) -> Tensor:
    """``F(x)``: what the named module gives; ``output`` is the model itself."""
    captured: list[Tensor] = []
    module = model if layer == "output" else model.get_submodule(layer)
    handle = module.register_forward_hook(lambda _m, _i, out: captured.append(out.clone()))
    try:
        model(preprocess(canvas))
    finally:
        handle.remove()
    (output,) = captured
    return output


def scalar_of(output: Tensor, scalar: str) -> Tensor:
    """``s(F)``: the square root of the sum of squares (DEPARA, Eq. 3), or the mean."""
    return (output**2).sum().sqrt() if scalar == "l2norm" else output.mean()


def gradient(
    model: nn.Module, preprocess: nn.Module, layer: str, canvas: Tensor, scalar: str
) -> Tensor:
    """``d s(F(x)) / d x`` by automatic differentiation."""
    return output_and_gradient(model, preprocess, layer, canvas, scalar)[1]


def output_and_gradient(
    model: nn.Module, preprocess: nn.Module, layer: str, canvas: Tensor, scalar: str
) -> tuple[Tensor, Tensor]:
    """`layer_output` and `gradient`, of one pass."""
    leaf = canvas.clone().requires_grad_()
    output = layer_output(model, preprocess, layer, leaf)
    return output.detach(), torch.autograd.grad(scalar_of(output, scalar), leaf)[0]


def attribution(
    method: str,
    gradient_at: Callable[[Tensor], Tensor],
    canvas: Tensor,
    *,
    steps: int = 2,
    noise: float = 0.0,
    probe_id: str = "",
) -> Tensor:
    """The attribution per pixel and channel, from a function that gives the gradient anywhere."""
    if method in ("grad_input", "eps_lrp"):
        return (canvas - MU) * gradient_at(canvas)
    if method == "saliency":
        return gradient_at(canvas).abs()
    if method == "integrated_gradients":
        # integral over [0, 1] by the Gauss-Legendre rule, whose own interval is [-1, 1]
        points, weights = np.polynomial.legendre.leggauss(steps)
        integral = torch.zeros_like(canvas)
        for point, weight in zip(points, weights, strict=True):
            integral += weight / 2 * gradient_at(MU + (point + 1) / 2 * (canvas - MU))
        return (canvas - MU) * integral
    assert method == "smoothgrad"
    total = torch.zeros_like(canvas)
    for step in range(steps):
        seed = hashlib.sha256(f"smoothgrad:{probe_id}:{step}".encode()).digest()[:8]
        generator = torch.Generator().manual_seed(int.from_bytes(seed, "big", signed=True))
        standard_normal = torch.randn(canvas.shape[1:], generator=generator)
        total += gradient_at(canvas + noise * standard_normal.double())
    return total / steps


def gradient_field(
    gradient_at: Callable[[Tensor], Tensor], canvas: Tensor, *, steps: int, points: int
) -> list[Tensor]:
    """The field of ModelGiF at some places of its path, per pixel and channel.

    At the n-th of ``steps`` points t_j of the Gauss-Legendre rule, whose weights are w_j, the field
    is ``(x - mu) * sum over j <= n of w_j grad(mu + t_j (x - mu))``. The p-th of the places is the
    first n of which at least the share p / points of the steps is behind.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    fields, total = [], torch.zeros_like(canvas)
    for node, weight in zip(nodes, weights, strict=True):
        total = total + weight / 2 * gradient_at(MU + (node + 1) / 2 * (canvas - MU))
        fields.append((canvas - MU) * total)
    return [
        next(fields[n - 1] for n in range(1, steps + 1) if n * points >= place * steps)
        for place in range(1, points + 1)
    ]


def node_map(attribution_13SS: Tensor, channels: str, map_side: int) -> np.ndarray:
    """The map over channels (``mean``, or mean of ``abs``), summed over cells, of unit norm."""
    values = attribution_13SS[0]
    per_pixel = (values.abs() if channels == "abs" else values).sum(dim=0) / 3
    cell = per_pixel.shape[0] // map_side
    pooled = np.zeros((map_side, map_side))
    for down in range(cell):
        for across in range(cell):
            pooled += per_pixel[down::cell, across::cell].numpy()
    norm = np.sqrt((pooled**2).sum())
    return pooled.ravel() / norm if norm > 0 else pooled.ravel()


class EpsilonActivation(nn.Module):
    """``f(z)`` whose derivative is ``f(z) / (z + eps sign z)``: same value, another slope."""

    def __init__(self, activation: nn.Module, eps: float = 1e-4) -> None:
        super().__init__()
        self.activation = activation
        self.eps = eps

    def forward(self, z: Tensor) -> Tensor:
        value = self.activation(z.clone()).detach()
        sign = torch.where(z >= 0, 1.0, -1.0).to(z.dtype)
        slope = (value / (z + self.eps * sign)).detach()
        return value + slope * (z - z.detach())


def with_epsilon_rule(module: nn.Module, activations: tuple[type[nn.Module], ...]) -> nn.Module:
    """A copy in which every activation module has the epsilon rule's slope."""
    replaced = copy.deepcopy(module)
    for parent in list(replaced.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, activations):
                setattr(parent, name, EpsilonActivation(child))
    return replaced


def normalized_features(features_ND: np.ndarray, normalize: str) -> np.ndarray:
    """Features after subtracting each dimension's mean, and dividing by its deviation if asked."""
    features_ND = np.asarray(features_ND, np.float64)
    if normalize == "none":
        return features_ND
    mean_D = features_ND.sum(axis=0) / len(features_ND)
    centred_ND = features_ND - mean_D
    if normalize == "center":
        return centred_ND
    deviation_D = np.sqrt((centred_ND**2).sum(axis=0) / (len(features_ND) - 1))
    varies_D = deviation_D > 1e-6 * np.abs(mean_D)
    return np.where(varies_D, centred_ND, 0) / np.where(varies_D, deviation_D, 1)


def gram(features_ND: np.ndarray, normalize: str) -> np.ndarray:
    """Inner products of the normalised features."""
    values = normalized_features(features_ND, normalize)
    return values @ values.T


def edges(gram_NN: np.ndarray) -> np.ndarray:
    """Cosines in the order of scipy's ``pdist``; 0 where a feature is all zero."""
    count = len(gram_NN)
    cosines = []
    for p in range(count):
        for q in range(p + 1, count):
            norms = np.sqrt(gram_NN[p, p] * gram_NN[q, q])
            cosines.append(gram_NN[p, q] / norms if norms > 0 else 0.0)
    return np.array(cosines)
