"""What an image processor of transformers does to pictures, told by running it on plain colours.

Its fields alone do not tell: classes flip channels, shift, or scale twice in ways of their own. A
picture of one colour survives every resizing and cropping, so that five of them show the whole map
from colours to inputs. Shapes: ``C`` channels of the input, ``K`` channels of a picture.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depara.errors import ModelError, OutOfMemoryError
from depara.models.foreign import foreign_code
from depara.models.source import DeclaredInput, not_applied, one_per_channel
from depara.types import ChannelOrder, Float64

_COLOURS = {
    1: np.array([[0], [255], [102]], np.uint8),
    3: np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [204, 102, 51]], np.uint8),
}
"""By channels of a picture: black, full channels, and a mixture that proves the map affine."""

_SIDES_PX = (96, 160)
"""A processor that gives one size for both has a size of its own."""

_TOLERANCE = 5e-3
"""Of a channel's gain: some processors compute in bfloat16."""

_DIGITS = 5
_FLAGS = ("do_flip_channel_order", "do_convert_grayscale", "do_grayscale", "rescale_offset")
"""Fields of some classes that change colours; the other classes pass over them."""

_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def declared_by_processor(
    processor: Any, num_channels: int, fields: Mapping[str, Any] | None = None
) -> DeclaredInput:
    """Returns what a processor does to square pictures, as `_declared` tells it.

    A model of grey pictures whose processor wants colours gets the mean of their values.

    Args:
        processor: as ``AutoImageProcessor`` gives it.
        num_channels: 3, or 1 for a model of grey pictures.
        fields: what its file holds; what changes pixels there, and is not read, is a problem.
    """
    unread = [key for key in _FLAGS if (fields or {}).get(key) and key not in _read(processor)]
    if unread:
        text = f"its file says {', '.join(unread)}, which {type(processor).__name__} does not do"
        return DeclaredInput(num_channels=num_channels, problem=text)
    declared = _declared(processor, num_channels)
    if num_channels == 1 and declared.problem:
        colours = _declared(processor, 3)
        if colours.mean is not None and colours.std is not None:
            mean, std = (one_per_channel(values, 1) for values in (colours.mean, colours.std))
            return replace(colours, num_channels=1, channel_order="rgb", mean=mean, std=std)
    return declared


def _read(processor: Any) -> set[str]:
    """Returns the names of the fields that a class knows."""
    kind = type(processor)
    known = getattr(getattr(kind, "valid_kwargs", None), "__annotations__", {})
    return {*known, *inspect.signature(kind.__init__).parameters}


def _declared(processor: Any, num_channels: int) -> DeclaredInput:
    """Returns side, channel order, mean and std of what a processor gives for square pictures.

    Mean and std are the processor's own digits where those explain what it gives, else measured
    (5 digits). Where it gives no picture, or one that no mean and std describe, ``problem`` says
    so; where the picture is no square, ``side_problem``.
    """
    name = type(processor).__name__
    declared = DeclaredInput(origin=name, num_channels=num_channels)
    try:
        with foreign_code(f"its {name} cannot be run on a picture"), torch.no_grad():
            measured = _measured(processor, num_channels)
    except OutOfMemoryError:
        raise
    except ModelError as error:
        return replace(declared, problem=str(error))
    if measured.problem:
        return replace(declared, problem=f"its {name} {measured.problem}")
    order, mean, std = _explained(measured, _written(processor, num_channels))
    height, width = measured.size or (0, 0)
    return replace(
        declared,
        side=height if height and height == width else None,
        side_problem="" if height == width else f"its {name} gives {height}x{width} px",
        channel_order=order,
        mean=mean,
        std=std,
        not_applied=(
            *not_applied(measured.crop_fraction, _interpolation(processor)),
            *(["a border"] if measured.has_border else []),
        ),
    )


@dataclass(frozen=True)
class _Measured:
    """Input channel c is ``gain_C[c] * picture[c] + offset_C[c]`` of pixels in [0, 1].

    ``order`` is that of the picture's channels; ``size`` is height and width where they do not
    depend on the picture's; ``crop_fraction`` is the share of the picture's width that is seen;
    ``has_border`` says that the edge shows another colour; ``problem`` why all this is not so.
    """

    gain_C: Float64
    offset_C: Float64
    order: ChannelOrder = "rgb"
    size: tuple[int, int] | None = None
    crop_fraction: float = 1.0
    has_border: bool = False
    problem: str = ""


def _measured(processor: Any, num_channels: int) -> _Measured:
    colours_KC = _COLOURS[num_channels]
    sides = (_SIDES_PX[0], *[_SIDES_PX[1]] * (len(colours_KC) - 1))
    nothing = np.zeros(num_channels)
    pictures = []
    for colour, side in zip(colours_KC, sides, strict=True):
        pixels = np.broadcast_to(colour, (side, side, num_channels)).copy()
        given = processor(images=[pixels], return_tensors="pt")
        picture = _picture(given, num_channels)
        if picture is None:
            return _Measured(nothing, nothing, problem=_unlike_a_picture(given))
        pictures.append(picture)
    centres_KC = np.array([_centre(picture) for picture in pictures])
    offset_C = centres_KC[0]
    matrix_CK = (centres_KC[1 : num_channels + 1] - offset_C).T
    tolerance = _TOLERANCE * float(np.abs(matrix_CK).max())
    problem, order = _channel_order(matrix_CK, tolerance)
    mixed_C = matrix_CK @ (colours_KC[-1] / 255) + offset_C
    if not problem and np.abs(mixed_C - centres_KC[-1]).max() > 2 * tolerance:
        problem = "changes colours in a way that is not affine"
    if problem:
        return _Measured(nothing, nothing, problem=problem)
    gain_C = np.diag(matrix_CK if order == "rgb" else matrix_CK[:, ::-1])
    first, last = (tuple(picture.shape[-2:]) for picture in (pictures[0], pictures[-1]))
    corner_C = pictures[-1][:, 0, 0].double().numpy()
    return _Measured(
        gain_C,
        offset_C,
        order,
        size=(int(last[0]), int(last[1])) if first == last else None,
        crop_fraction=_crop_fraction(processor, float(gain_C[0]), num_channels),
        has_border=bool(np.abs(corner_C - centres_KC[-1]).max() > tolerance),
    )


def _crop_fraction(processor: Any, gain: float, num_channels: int) -> float:
    """Returns the share of a picture's width that is seen, by a ramp of grey from left to right."""
    side = _SIDES_PX[1]
    ramp = np.rint(np.linspace(0, 255, side)).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (side, side, num_channels)).copy()
    picture = _picture(processor(images=[pixels], return_tensors="pt"), num_channels)
    assert picture is not None
    row_W = picture[0, picture.shape[1] // 2].double().numpy() / gain
    return round(float(np.ptp(row_W)) * (side - 1) / side / (1 - 1 / len(row_W)), 2)


def _picture(given: Any, num_channels: int) -> Tensor | None:
    """Returns the first picture ``C H W`` among what a processor gave: a batch, tiles or frames."""
    values = given.get("pixel_values") if isinstance(given, Mapping) else None
    if not isinstance(values, Tensor) or values.ndim < 4 or values.shape[-3] != num_channels:
        return None
    return values.reshape(-1, *values.shape[-3:])[0]


def _unlike_a_picture(given: Any) -> str:
    values = given.get("pixel_values") if isinstance(given, Mapping) else None
    what = f"pixel_values of shape {tuple(values.shape)}" if isinstance(values, Tensor) else ""
    return f"gives no picture but {what or ', '.join(given)}"


def _centre(picture_CHW: Tensor) -> Float64:
    _, height, width = picture_CHW.shape
    centre: Float64 = picture_CHW[:, height // 2, width // 2].double().numpy()
    return centre


def _channel_order(matrix_CK: Float64, tolerance: float) -> tuple[str, ChannelOrder]:
    """Returns what is wrong with a map of colours, if anything, and the order of its channels."""
    orders: tuple[ChannelOrder, ...] = ("rgb", "bgr") if len(matrix_CK) > 1 else ("rgb",)
    for order in orders:
        turned_CK = matrix_CK if order == "rgb" else matrix_CK[:, ::-1]
        gain_C = np.diag(turned_CK)
        if np.abs(turned_CK - np.diag(gain_C)).max() <= tolerance and gain_C.min() > tolerance:
            return "", order
    if np.ptp(matrix_CK, axis=0).max() <= tolerance < matrix_CK.max():
        return "turns pictures grey and gives them in three channels", "rgb"
    return "gives no channel of the picture by itself", "rgb"


def _explained(
    measured: _Measured, written: tuple[list[float], list[float]] | None
) -> tuple[ChannelOrder, tuple[float, ...], tuple[float, ...]]:
    """Returns order, mean and std: the written ones where they explain what was measured."""
    gain_C, offset_C = measured.gain_C, measured.offset_C
    if written is not None and min(written[1]) > 0:
        mean_C, std_C = np.array(written[0]), np.array(written[1])
        wrong = np.maximum(np.abs(1 / std_C - gain_C), np.abs(-mean_C / std_C - offset_C))
        if (wrong <= _TOLERANCE * gain_C).all():
            return measured.order, tuple(written[0]), tuple(written[1])
    mean = tuple(float(f"{value:.{_DIGITS}g}") + 0.0 for value in -offset_C / gain_C)
    return measured.order, mean, tuple(float(f"{1 / value:.{_DIGITS}g}") for value in gain_C)


def _written(processor: Any, num_channels: int) -> tuple[list[float], list[float]] | None:
    """Returns mean and std, of pixels in [0, 1], that the usual fields of a processor amount to."""
    config = getattr(processor, "data_config", None)
    if isinstance(config, Mapping):
        return [float(v) for v in config["mean"]], [float(v) for v in config["std"]]
    scale = 255.0
    if getattr(processor, "do_rescale", True):
        scale *= float(getattr(processor, "rescale_factor", None) or 1 / 255)
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    mean: Any = [0.0] * num_channels
    std: Any = [1.0] * num_channels
    if getattr(processor, "do_normalize", True):
        mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    means, stds = _per_channel(mean, num_channels), _per_channel(std, num_channels)
    if len(means) != num_channels or len(stds) != num_channels:
        return None
    return [value / scale for value in means], [value / scale for value in stds]


def _per_channel(values: Any, num_channels: int) -> list[float]:
    """Returns one value per channel; none where there are others than one or one per channel."""
    given = [float(v) for v in values] if isinstance(values, Iterable) else []
    if isinstance(values, int | float):
        given = [float(values)]
    return given * num_channels if len(given) == 1 else given


def _interpolation(processor: Any) -> str | None:
    """Returns the name of the resampling by which a processor resizes, where it says."""
    config = getattr(processor, "data_config", None)
    if isinstance(config, Mapping):
        return str(config.get("interpolation") or "") or None
    resample = getattr(processor, "resample", None)
    if resample is None or not getattr(processor, "do_resize", False):
        return None
    return _RESAMPLING.get(int(resample), str(resample))
