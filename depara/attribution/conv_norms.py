"""A convolution and the batch normalisation after it, differentiated as one linear map.

In eval mode ``y = s (W x + b) + t`` per channel, so its derivative with respect to ``x`` is that of
a convolution with weights ``s W``. The forward pass stays as it is, to the bit; the backward saves
one pass over the gradient, and the normalisation writes into the convolution's own output.
Which pairs there are is observed in a forward pass, never guessed from names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter

from depara.attribution.norms import AffineNorm, is_affine
from depara.models.dispatch import DispatchMode
from depara.models.outputs import find_tensor


@dataclass(frozen=True)
class Pair:
    """A convolution whose output nothing but the normalisation reads."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d


def find_pairs(
    module: nn.Module, run: Callable[[], object], kept: Collection[nn.Module]
) -> tuple[Pair, ...]:
    """Returns all pairs of a model, as one forward pass proves them.

    The normalisation's input is the very tensor that the convolution gave; no other operation of
    the pass reads it; both fire once and carry no hooks; and it is not the output of any module in
    ``kept``.

    Args:
        module: the model in eval mode.
        run: runs one forward pass of it, however far.
        kept: modules whose output must stay as it is.
    """
    convs = [child for child in module.modules() if _is_plain_conv(child)]
    norms = [
        child
        for child in module.modules()
        if isinstance(child, nn.BatchNorm2d) and _is_bare(child) and is_affine(child)
    ]
    recorder = _Recorder()
    handles = []
    try:
        handles += [child.register_forward_hook(recorder.gave) for child in convs]
        handles += [child.register_forward_hook(recorder.is_asked_for) for child in kept]
        handles += [child.register_forward_pre_hook(recorder.takes) for child in norms]
        with torch.no_grad(), recorder:
            run()
    finally:
        for handle in handles:
            handle.remove()
    return recorder.pairs()


@dataclass
class _Output:
    """What one convolution gave, and how often it has been read."""

    conv: nn.Module
    tensor: Tensor
    taken_by: list[nn.Module] = field(default_factory=list)
    num_reads: int = 0
    is_asked_for: bool = False


class _Recorder(DispatchMode):
    """Counts the operations that read a convolution's output."""

    def __init__(self) -> None:
        super().__init__()
        self._outputs: dict[int, _Output] = {}
        self._calls: dict[nn.Module, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        for leaf in tree_iter((args, kwargs)):
            if id(leaf) in self._outputs:
                self._outputs[id(leaf)].num_reads += 1
        return func(*args, **(kwargs or {}))

    def gave(self, module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._calls[module] = self._calls.get(module, 0) + 1
        self._outputs[id(output)] = _Output(module, output)

    def is_asked_for(self, _module: nn.Module, _inputs: object, output: object) -> None:
        found = self._outputs.get(id(find_tensor(output)))
        if found is not None:
            found.is_asked_for = True

    def takes(self, module: nn.Module, inputs: tuple[object, ...]) -> None:
        self._calls[module] = self._calls.get(module, 0) + 1
        found = self._outputs.get(id(inputs[0])) if inputs else None
        if found is not None:
            found.taken_by.append(module)

    def pairs(self) -> tuple[Pair, ...]:
        found = []
        for one in self._outputs.values():
            if one.is_asked_for or one.num_reads != 1 or len(one.taken_by) != 1:
                continue
            conv, norm = one.conv, one.taken_by[0]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            if self._calls[conv] == self._calls[norm] == 1:
                found.append(Pair(conv, norm))
        return tuple(found)


def _is_bare(module: nn.Module) -> bool:
    """Whether nothing but its own forward runs when it is called."""
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _is_plain_conv(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and type(module).forward is nn.Conv2d.forward
        and _is_bare(module)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module._parameters.get("weight") is not None
    )


class ConvNorm:
    """One pair, ready on a device: stands in for the forward of both modules.

    Args:
        pair: the modules.
        norm: the normalisation's ``s`` and ``t``.
        weight: the convolution's, on the same device.
        memory_format: of the weights.
    """

    def __init__(
        self, pair: Pair, norm: AffineNorm, weight: Tensor, memory_format: torch.memory_format
    ) -> None:
        self.pair = pair
        self.norm = norm
        scaled = weight.double() * norm.scale_C.double().view(-1, 1, 1, 1)
        self.scaled_weight = scaled.to(weight.dtype).contiguous(memory_format=memory_format)
        self._images: Tensor | None = None

    def convolve(self, images: Tensor) -> Tensor:
        """Returns the convolution's output, not yet connected to its input."""
        conv = self.pair.conv
        self._images = images
        with torch.no_grad():
            output: Tensor = conv._conv_forward(images, conv.weight, conv.bias)
        return output

    def normalize(self, output: Tensor) -> Tensor:
        """Returns what the normalisation gives, connected to the convolution's input."""
        images, self._images = self._images, None
        assert images is not None
        with torch.no_grad():
            value = self.norm.apply_(output)
        if torch.is_grad_enabled() and images.requires_grad:
            value = _InputGradient.apply(images, value, self)
        return self.norm.follow(value)

    def input_gradient(self, gradient: Tensor, images: Tensor) -> Tensor:
        """Returns the gradient with respect to the convolution's input, in the dtype of that."""
        conv = self.pair.conv
        dtype = gradient.dtype  # under autocast, of the output alone
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            gradient,
            images if images.dtype == dtype else torch.empty_like(images, dtype=dtype),
            self.scaled_weight.to(dtype),
            None,
            conv.stride,
            conv.padding,
            conv.dilation,
            False,
            [0, 0],
            conv.groups,
            [True, False, False],
        )
        return found[0].to(images.dtype)


class _InputGradient(torch.autograd.Function):
    """Gives a value that is already computed its derivative with respect to the images."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, value: Tensor, pair: ConvNorm) -> Tensor:
        ctx.mark_dirty(value)
        # Of the images only shape and layout matter, so they may be overwritten meanwhile.
        ctx.images = images.detach()
        ctx.pair = pair
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.pair.input_gradient(gradients[0], ctx.images), None, None


@contextmanager
def paired(pairs: Collection[ConvNorm]) -> Iterator[None]:
    """Lets the modules of all pairs compute as such while the context lasts."""
    try:
        for one in pairs:
            vars(one.pair.conv)["forward"] = one.convolve
            vars(one.pair.norm)["forward"] = one.normalize
        yield
    finally:
        for one in pairs:
            vars(one.pair.conv).pop("forward", None)
            vars(one.pair.norm).pop("forward", None)
            one._images = None
