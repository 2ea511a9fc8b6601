"""What a source of models offers: architectures by name, their input, their own weights."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from depara.errors import ModelError
from depara.models.readings import Reading
from depara.models.state_dict import StateDict
from depara.models.weight_loading import load_strictly
from depara.types import ChannelOrder

_LEAST_CROP = 0.985
"""A larger share of the picture is all of it, but for rounding."""


@dataclass(frozen=True)
class DeclaredInput:
    """The input that a source declares for a model; None where it declares nothing.

    ``mean`` and ``std`` are in the order ``channel_order``, of pixels in [0, 1]. ``origin`` names
    what declares it, ``side_origin`` likewise where the side comes from elsewhere. ``problem`` says
    why what is declared of the pixels cannot be honoured, ``side_problem`` the same of the size:
    the scan file must then say it. ``not_applied`` are the parts that the canvas stands for.
    """

    side: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channel_order: ChannelOrder = "rgb"
    num_channels: int | None = None
    origin: str = ""
    side_origin: str = ""
    problem: str = ""
    side_problem: str = ""
    not_applied: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pretrained:
    """A module with its source's weights; where ``file`` is given, still to be loaded from it."""

    module: nn.Module
    file: Path | None = None


@dataclass(frozen=True)
class Filled:
    """A module with the tensors of a checkpoint, and how the checkpoint was read for it."""

    module: nn.Module
    reading: Reading


class Source(abc.ABC):
    """One origin of models; ``name`` is what follows the colon of ``torchvision:NAME``."""

    @abc.abstractmethod
    def build(self, name: str, kwargs: Mapping[str, Any]) -> nn.Module:
        """Returns the module with the weights that its code initialises it with.

        Raises:
            ModelError: unknown name, missing package, or the builder raises.
        """

    @abc.abstractmethod
    def pretrained(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None
    ) -> Pretrained:
        """Returns the module with the source's weights: the named ones, or the default ones.

        Raises:
            WeightsError: the weights cannot be had.
            ModelError: unknown name, missing package, or the builder raises.
        """

    @abc.abstractmethod
    def declared_input(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None, module: nn.Module
    ) -> DeclaredInput:
        """Returns the input that the source declares for these weights (None: the default ones)."""

    def licence(self, name: str, weights_name: str | None, module: nn.Module) -> str | None:
        """Returns the licence that the source states of its weights, None where it states none."""
        return None

    def weight_names(self, name: str) -> Sequence[str]:
        """Returns the names that ``weights`` may have instead of a file."""
        return ()

    def load(self, name: str, kwargs: Mapping[str, Any], state: StateDict) -> Filled:
        """Returns the module with the tensors of a checkpoint.

        Raises:
            WeightsError: the tensors do not fit, or in several ways.
            ModelError: unknown name, missing package, or the builder raises.
        """
        return self.fill(self.build(name, kwargs), name, state)

    def fill(self, module: nn.Module, name: str, state: StateDict) -> Filled:
        """Returns a module that `build` or `pretrained` gave, with the tensors of a checkpoint.

        Raises:
            WeightsError: the tensors do not fit, or in several ways.
        """
        return Filled(module, load_strictly(module, state))


def missing_extra(source: str, package: str, extra: str) -> ModelError:
    """Returns the error for a package that is not installed, with the command that installs it."""
    return ModelError(
        f'{source}: the package {package!r} is not installed: pip install "depara[{extra}]"'
    )


def checked_module(source: str, built: object) -> nn.Module:
    """Returns what a builder gave, proven to be a module.

    Raises:
        ModelError: it is something else.
    """
    if not isinstance(built, nn.Module):
        raise ModelError(
            f"{source}: the builder returned {type(built).__name__}, expected a torch.nn.Module"
        )
    return built


def not_applied(crop_fraction: float | None, interpolation: str | None) -> tuple[str, ...]:
    """Returns what a source declares of resizing and cropping that the shared canvas replaces.

    Args:
        crop_fraction: share of the picture's side that is cut out; None where none is declared.
        interpolation: such as ``bicubic``; all models are resized bilinearly.
    """
    crops = crop_fraction is not None and crop_fraction < _LEAST_CROP
    crop = [f"crop to about {crop_fraction:.3g} of the side"] if crops else []
    return (*crop, *([interpolation] if interpolation not in (None, "bilinear") else []))


def square_side(size: object) -> tuple[int | None, str]:
    """Returns the side of a number, a pair or a mapping; None where there is none.

    The text is ``HEIGHTxWIDTH`` of a size that is no square, else empty.
    """
    if isinstance(size, Mapping):
        size = [size[key] for key in ("height", "width", "shortest_edge") if size.get(key)]
    if isinstance(size, int | float):
        return int(size), ""
    if isinstance(size, Sequence) and not isinstance(size, str) and size:
        sides = [int(value) for value in size]
        if len(set(sides)) > 1:
            return None, "x".join(map(str, sides))
        return sides[0], ""
    return None, ""


def one_per_channel(values: Sequence[float], num_channels: int) -> tuple[float, ...]:
    """Returns values per channel; three of RGB become their mean for a one-channel input."""
    floats = tuple(float(value) for value in values)
    if num_channels == 1 and len(floats) > 1:
        return (sum(floats) / len(floats),)
    return floats
