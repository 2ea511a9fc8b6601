"""The attribution methods: at which images the gradient is taken, and what is made of it.

Shapes: ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels. Every method starts from the
gradient, with respect to the canvas ``x``, of one scalar ``s`` per probe of a layer's output
``F(x)``; ``mu`` is the ImageNet mean pixel, the common reference of all models.

Several variants of layer-wise relevance propagation are patented. Nothing here is used unless the
scan file asks for it; check your own situation before using ``eps_lrp`` commercially.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depara.attribution.epsilon_rule import epsilon_rule
from depara.catalog import METHODS, load
from depara.config.schema import AttributionConfig
from depara.types import IMAGENET_MEAN

PathPoint = tuple[Tensor, float]
"""A canvas at which the gradient is taken, and the weight of that gradient in the mean."""

Parameters = Mapping[str, Any]
"""Settings by name, see `parameters_of`."""

Path = Callable[[Tensor, Sequence[str], Parameters], Iterator[PathPoint]]

Places = Callable[[Parameters], tuple[int, ...]]


@dataclass(frozen=True)
class Method:
    """One attribution method.

    ``path`` yields the canvases whose gradients are averaged, None for the canvas itself alone.
    ``times_input`` multiplies the gradient by ``x - mu``; ``magnitude`` takes its absolute value
    per channel. ``rules`` is the context in which the model's forward pass is recorded.
    ``places`` says after how many points of the path a map is made, the last one at its end; None
    for that one alone. There are as many as the catalog's row names in ``maps``.
    """

    times_input: bool
    magnitude: bool = False
    path: Path | None = None
    rules: Callable[[], AbstractContextManager[object]] = nullcontext
    places: Places | None = None


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
    canvas_B3SS: Tensor, probe_ids: Sequence[str], parameters: Parameters
) -> Iterator[PathPoint]:
    """Yields points of the straight line from ``mu`` to the canvas (integrated gradients)."""
    baseline = reference_canvas(canvas_B3SS)
    for position, weight in quadrature(parameters["steps"]):
        yield torch.lerp(baseline, canvas_B3SS, float(position)), float(weight)


def field_places(parameters: Parameters) -> tuple[int, ...]:
    """Returns after how many points of the path each map of a gradient field is made.

    Song et al., ModelGiF (ICCV 2023), compare the sum of the path's gradients so far at every point
    of the quadrature; of its ``steps`` points these are ``points``, evenly by number, rounded up.
    The last one is the end of the path: integrated gradients.
    """
    steps, count = parameters["steps"], parameters["points"]
    return tuple(-(-place * steps // count) for place in range(1, count + 1))


def noisy_copies(
    canvas_B3SS: Tensor, probe_ids: Sequence[str], parameters: Parameters
) -> Iterator[PathPoint]:
    """Yields noisy copies of the canvas (SmoothGrad), standard deviation ``noise * (1 - 0)``.

    The noise of a copy depends on the probe's id and the copy's number only: neither on the batch,
    nor on the device, nor on any global random state.
    """
    steps, deviation = parameters["steps"], parameters["noise"]
    for step in range(steps):
        noise = torch.stack([_noise(one, step, canvas_B3SS.shape[1:]) for one in probe_ids])
        noise = noise.to(device=canvas_B3SS.device, dtype=canvas_B3SS.dtype)
        yield canvas_B3SS + deviation * noise, 1 / steps


def _noise(probe_id: str, step: int, shape: torch.Size) -> Tensor:
    digest = hashlib.sha256(f"smoothgrad:{probe_id}:{step}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
    return torch.randn(shape, generator=generator)


GRAD_INPUT = Method(times_input=True)
SALIENCY = Method(times_input=False, magnitude=True)  # both channel reductions: the mean magnitude
INTEGRATED_GRADIENTS = Method(times_input=True, path=straight_path)
GRADIENT_FIELD = Method(times_input=True, path=straight_path, places=field_places)
SMOOTHGRAD = Method(times_input=False, path=noisy_copies)
EPS_LRP = Method(times_input=True, rules=epsilon_rule)


def find_method(name: str) -> Method:
    """Returns the method of this name in `depara.catalog.METHODS`."""
    method: Method = load(METHODS[name].code)
    return method


def parameters_of(config: AttributionConfig) -> Parameters:
    """Returns what the method of a scan may read of its settings: what its catalog row declares.

    Nothing else is in the graph key, so nothing else may have a part in the numbers.
    """
    return {name: getattr(config, name) for name in METHODS[config.method].parameters}
