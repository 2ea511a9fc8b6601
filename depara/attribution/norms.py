"""Eval-mode batch normalisation computed as what it is: one multiplication and one addition.

In eval mode ``y = gamma (z - m) / sqrt(v + eps) + beta`` with fixed ``m`` and ``v`` per channel, so
``y = s z + t`` with ``s = gamma / sqrt(v + eps)`` and ``t = beta - s m``. Torch's own kernel keeps
``z`` for the backward and reads it again; this needs neither. Rounding is that of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class AffineNorm:
    """One batch normalisation, and its ``s`` and ``t`` per channel."""

    norm: nn.Module
    scale_C: Tensor
    shift_C: Tensor

    def __call__(self, value: Tensor) -> Tensor:
        """Returns ``s z + t`` for ``z`` with channels in its second dimension."""
        shape = (-1, *[1] * (value.ndim - 2))
        scale, shift = self.scale_C.view(shape), self.shift_C.view(shape)
        if value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last):
            return torch.addcmul(shift, value, scale)
        return (value * scale).add_(shift)  # addcmul is three times slower with channels first


def affine_norms(module: nn.Module, device: torch.device) -> tuple[AffineNorm, ...]:
    """Returns all batch normalisations of a module that have fixed statistics, ready on a device.

    Left out are those with a forward of their own, with hooks, or without running statistics, which
    normalise by the batch even in eval mode.
    """
    return tuple(
        _affine(child, device)
        for child in module.modules()
        if isinstance(child, _BatchNorm) and _is_plain(child)
    )


def _is_plain(norm: _BatchNorm) -> bool:
    is_own_forward = type(norm).forward is _BatchNorm.forward and "forward" not in vars(norm)
    return is_own_forward and norm.running_mean is not None and norm.running_var is not None


def _affine(norm: _BatchNorm, device: torch.device) -> AffineNorm:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.affine:
            scale = scale * norm.weight.double()
        shift = -norm.running_mean.double() * scale
        if norm.affine:
            shift = shift + norm.bias.double()
        dtype = norm.running_mean.dtype
    return AffineNorm(norm, scale.to(device, dtype), shift.to(device, dtype))


@contextmanager
def replaced(norms: Collection[AffineNorm]) -> Iterator[None]:
    """Lets the modules compute ``s z + t`` while the context lasts; hooks on them still fire."""
    forwards: list[tuple[nn.Module, Callable[[Tensor], Tensor]]] = [
        (one.norm, one) for one in norms
    ]
    try:
        for norm, forward in forwards:
            vars(norm)["forward"] = forward
        yield
    finally:
        for norm, _ in forwards:
            vars(norm).pop("forward", None)
