"""The epsilon rule as a modified gradient (DeepExplain), for whatever form a nonlinearity has.

Ancona et al. ("Towards better understanding of gradient-based attribution methods for deep
neural networks", ICLR 2018, Proposition 1): epsilon-LRP is gradient * input in which the derivative
of each elementwise nonlinearity ``f`` at its input ``z`` becomes ``f(z) / (z + eps sign z)``, with
``sign 0 = 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf
from torch.overrides import TorchFunctionMode

EPSILON = 1e-4

Nonlinearity = Callable[..., Tensor]

_OUT_OF_PLACE: dict[Any, Nonlinearity] = {
    nnf.relu: nnf.relu,
    torch.relu: nnf.relu,
    Tensor.relu: nnf.relu,
    nnf.relu6: nnf.relu6,
    nnf.hardtanh: nnf.hardtanh,
    nnf.leaky_relu: nnf.leaky_relu,
    nnf.elu: nnf.elu,
    nnf.celu: nnf.celu,
    torch.celu: nnf.celu,
    nnf.selu: nnf.selu,
    torch.selu: nnf.selu,
    nnf.prelu: nnf.prelu,
    torch.prelu: nnf.prelu,
    Tensor.prelu: nnf.prelu,
    nnf.gelu: nnf.gelu,
    nnf.silu: nnf.silu,
    nnf.mish: nnf.mish,
    nnf.softplus: nnf.softplus,
    nnf.hardswish: nnf.hardswish,
    nnf.hardsigmoid: nnf.hardsigmoid,
    nnf.sigmoid: torch.sigmoid,
    torch.sigmoid: torch.sigmoid,
    torch.special.expit: torch.sigmoid,
    Tensor.sigmoid: torch.sigmoid,
    nnf.tanh: torch.tanh,
    torch.tanh: torch.tanh,
    Tensor.tanh: torch.tanh,
}
"""Every form in which torch lets a nonlinearity be called, and its plain function. A function that
takes ``inplace=True`` is in place when that is given."""

_IN_PLACE: dict[Any, Nonlinearity] = {
    torch.relu_: nnf.relu,
    Tensor.relu_: nnf.relu,
    nnf.hardtanh_: nnf.hardtanh,
    nnf.leaky_relu_: nnf.leaky_relu,
    nnf.elu_: nnf.elu,
    nnf.celu_: nnf.celu,
    torch.celu_: nnf.celu,
    nnf.selu_: nnf.selu,
    torch.selu_: nnf.selu,
    torch.sigmoid_: torch.sigmoid,
    Tensor.sigmoid_: torch.sigmoid,
    torch.tanh_: torch.tanh,
    Tensor.tanh_: torch.tanh,
}
"""The forms that always overwrite their input."""


class _EpsilonRule(torch.autograd.Function):
    """``f(z)`` whose derivative is ``f(z) / (z + eps sign z)``."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, evaluate: Callable[[Tensor], Tensor]) -> Tensor:
        value = evaluate(z)
        ctx.save_for_backward(value / torch.where(z >= 0, z + EPSILON, z - EPSILON))
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (ratio,) = ctx.saved_tensors
        return gradients[0] * ratio, None


class epsilon_rule(TorchFunctionMode):  # noqa: N801  (used like a context manager function)
    """Context in which elementwise nonlinearities are recorded with the epsilon rule.

    Caught alike as modules, functions, methods and in place are ReLU, ReLU6, hardtanh, leaky ReLU,
    PReLU, ELU, CELU, SELU, GELU, SiLU, Mish, softplus, hardswish, hardsigmoid, sigmoid and tanh.
    Everything else, so softmax, pooling, normalisation and products, keeps its own derivative, and
    so does a nonlinearity that a model spells out in arithmetic or in an autograd function.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        overwrites = func in _IN_PLACE
        plain = _IN_PLACE[func] if overwrites else _OUT_OF_PLACE.get(func)
        if plain is None:
            return func(*args, **options)
        overwrites = bool(options.pop("inplace", False)) or overwrites
        z, *rest = args if args else (options.pop("input"),)
        value = _EpsilonRule.apply(z, lambda tensor: plain(tensor, *rest, **options))
        return z.copy_(value) if overwrites else value
