"""The attribution methods: at which images the gradient is taken, and what is made of it.

Shapes: ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels. Every method starts from the
gradient, with respect to the canvas ``x``, of one scalar ``s`` per probe of a layer's output
``F(x)``; ``mu`` is the ImageNet mean pixel, the common reference of all models.

Several variants of layer-wise relevance propagation are patented. Nothing here is used unless the
scan file asks for it; check your own situation before using ``eps_lrp`` commercially.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from depara.attribution.epsilon_rule import epsilon_rule
from depara.config.schema import AttributionConfig
from depara.types import IMAGENET_MEAN

PathPoint = tuple[Tensor, float]
"""A canvas at which the gradient is taken, and the weight of that gradient in the mean."""

Path = Callable[[Tensor, Sequence[str], AttributionConfig], Iterator[PathPoint]]


@dataclass(frozen=True)
class Method:
    """One attribution method.

    ``path`` yields the canvases whose gradients are averaged, None for the canvas itself alone.
    ``times_input`` multiplies the gradient by ``x - mu``; ``magnitude`` takes its absolute value
    per channel. ``rules`` is the context in which the model's forward pass is recorded.
    """

    times_input: bool
    magnitude: bool = False
    path: Path | None = None
    rules: Callable[[], AbstractContextManager[object]] = nullcontext


def reference_canvas(canvas_B3SS: Tensor) -> Tensor:
    """Returns ``mu``, the ImageNet mean pixel, ``1 3 1 1``, in the canvas' dtype and device."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=canvas_B3SS.dtype, device=canvas_B3SS.device)
    return mean[None, :, None, None]


def attribution(gradient_B3SS: Tensor, shifted_B3SS: Tensor, method: Method) -> Tensor:
    """Returns the attribution per pixel and channel, ``B 3 S S``, from a method's mean gradient.

    ``g * (x - mu)``, ``|g|`` or ``g``. With the first, the sum over pixels and channels is the same
    on the canvas as on the model's own normalised input, when both share ``mu``.

    Args:
        gradient_B3SS: ``g``.
        shifted_B3SS: ``x - mu``.
        method: which of the three.
    """
    if method.times_input:
        return gradient_B3SS * shifted_B3SS
    return gradient_B3SS.abs() if method.magnitude else gradient_B3SS


@lru_cache(maxsize=8)
def quadrature(steps: int) -> tuple[tuple[float, float], ...]:
    """Returns the Gauss-Legendre points and weights on [0, 1]; the weights sum to 1."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    return tuple(zip((points + 1) / 2, weights / 2, strict=True))


def straight_path(
    canvas_B3SS: Tensor, probe_ids: Sequence[str], config: AttributionConfig
) -> Iterator[PathPoint]:
    """Yields points of the straight line from ``mu`` to the canvas (integrated gradients)."""
    baseline = reference_canvas(canvas_B3SS)
    for position, weight in quadrature(config.steps):
        yield torch.lerp(baseline, canvas_B3SS, float(position)), float(weight)


def noisy_copies(
    canvas_B3SS: Tensor, probe_ids: Sequence[str], config: AttributionConfig
) -> Iterator[PathPoint]:
    """Yields noisy copies of the canvas (SmoothGrad), standard deviation ``noise * (1 - 0)``.

    The noise of a copy depends on the probe's id and the copy's number only: neither on the batch,
    nor on the device, nor on any global random state.
    """
    for step in range(config.steps):
        noise = torch.stack([_noise(one, step, canvas_B3SS.shape[1:]) for one in probe_ids])
        noise = noise.to(device=canvas_B3SS.device, dtype=canvas_B3SS.dtype)
        yield canvas_B3SS + config.noise * noise, 1 / config.steps


def _noise(probe_id: str, step: int, shape: torch.Size) -> Tensor:
    digest = hashlib.sha256(f"smoothgrad:{probe_id}:{step}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.randn(shape, generator=generator)


METHODS: dict[str, Method] = {
    # a = (x - mu) * ds/dx. Song et al., DEPARA, CVPR 2020, Eq. 3 (gradient * input, Shrikumar et
    # al., "Not just a black box", 2016).
    "grad_input": Method(times_input=True),
    # a = |ds/dx| per channel, so that both channel reductions give the mean magnitude.
    # Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2013.
    "saliency": Method(times_input=False, magnitude=True),
    # a = (x - mu) * integral over t in [0, 1] of ds/dx at mu + t (x - mu), by Gauss-Legendre
    # quadrature with `steps` points. Sundararajan, Taly and Yan, "Axiomatic attribution for deep
    # networks", ICML 2017.
    "integrated_gradients": Method(times_input=True, path=straight_path),
    # a = mean over `steps` of ds/dx at x + noise. Smilkov et al., "SmoothGrad", 2017.
    "smoothgrad": Method(times_input=False, path=noisy_copies),
    # a = (x - mu) * ds/dx with the derivative of each elementwise nonlinearity f replaced by
    # f(z) / (z + eps sign z). Bach et al., "On pixel-wise explanations", 2015, in the form of
    # Ancona et al., "Towards better understanding of gradient-based attribution", ICLR 2018, Eq. 6.
    "eps_lrp": Method(times_input=True, rules=epsilon_rule),
}
"""All methods by their name in the scan file."""
