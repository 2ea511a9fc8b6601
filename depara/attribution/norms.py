"""Eval-mode batch normalisation computed as what it is: one multiplication and one addition.

In eval mode ``y = gamma (z - m) / sqrt(v + eps) + beta`` with fixed ``m`` and ``v`` per channel, so
``y = s z + t`` with ``s = gamma / sqrt(v + eps)`` and ``t = beta - s m``. Torch's own kernel keeps
``z`` for the backward and reads it again; this needs neither. Product and sum are rounded together
like in the kernel: rounding twice would send visibly more ReLUs over their kink.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from depara.attribution.torch_state import evaluating


@dataclass(frozen=True)
class AffineNorm:
    """One batch normalisation, its ``s`` and ``t`` per channel, and the modules it calls after."""

    norm: nn.Module
    scale_C: Tensor
    shift_C: Tensor
    followers: tuple[nn.Module, ...] = ()

    def __call__(self, value: Tensor) -> Tensor:
        """Returns what the module gives for ``z`` with channels in its second dimension."""
        scale, shift = self._broadcast(value)
        return self.follow(torch.addcmul(shift, value, scale).to(value.dtype))

    def apply_(self, value: Tensor) -> Tensor:
        """Returns ``s z + t``, rounded once, written into the value."""
        scale, shift = self._broadcast(value)
        return torch.addcmul(shift, value, scale, out=value)

    def follow(self, value: Tensor) -> Tensor:
        """Returns what the modules called after the normalisation make of its value."""
        for module in self.followers:
            value = module(value)
        return value

    def _broadcast(self, value: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (value.ndim - 2))
        return self.scale_C.view(shape), self.shift_C.view(shape)


def affine_norms(module: nn.Module) -> tuple[AffineNorm, ...]:
    """Returns all batch normalisations of a module with fixed statistics."""
    return tuple(
        affine_norm(child)
        for child in module.modules()
        if isinstance(child, _BatchNorm) and is_affine(child)
    )


def is_affine(norm: _BatchNorm) -> bool:
    """Whether a normalisation computes ``s z + t`` in eval mode, and at most its followers after.

    One without running statistics normalises by the batch. One with a forward of its own is tried
    out on random values, if it has what timm's ``BatchNormAct2d`` calls after.
    """
    if norm.running_mean is None or norm.running_var is None or "forward" in vars(norm):
        return False
    if type(norm).forward is _BatchNorm.forward:
        return True
    if not _followers(norm):
        return False
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, norm.num_features, 3, 3, generator=generator)
    value = value.to(norm.running_mean)
    with torch.no_grad(), evaluating(norm):
        expected = norm(value.clone())
        found = affine_norm(norm)(value)
    return isinstance(expected, Tensor) and torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def _followers(norm: _BatchNorm) -> tuple[nn.Module, ...]:
    children = dict(norm.named_children())
    return tuple(children.values()) if list(children) == ["drop", "act"] else ()


def affine_norm(norm: _BatchNorm) -> AffineNorm:
    """Returns ``s`` and ``t`` of one normalisation, computed in float64, in its dtype."""
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
    return AffineNorm(norm, scale.to(dtype), shift.to(dtype), _followers(norm))


@contextmanager
def replaced(norms: Collection[AffineNorm]) -> Iterator[None]:
    """Lets the modules compute ``s z + t`` while the context lasts; hooks on them still fire."""
    try:
        for one in norms:
            vars(one.norm)["forward"] = one
        yield
    finally:
        for one in norms:
            vars(one.norm).pop("forward", None)
