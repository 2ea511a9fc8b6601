"""The input of one model, resolved: what the scan file says, else its source, else ImageNet's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from depara.config.schema import InputConfig
from depara.errors import ModelError
from depara.models.source import DeclaredInput, one_per_channel
from depara.types import IMAGENET_MEAN, IMAGENET_STD, ChannelOrder, InputSpec, Note

INPUT_NOTE = "input"
"""Kind of the note of a model whose input is assumed in part."""

_SCAN_FILE = "scan file"
_ASSUMED = "assumed (ImageNet)"
_DEFAULT = "default"
_CANVAS = "canvas side"


@dataclass(frozen=True)
class ResolvedInput:
    """An input, where each part was found (``origins``), and a note where one is assumed."""

    spec: InputSpec
    origins: str
    notes: tuple[Note, ...]


def resolve_input(given: InputConfig, declared: DeclaredInput, canvas_side: int) -> ResolvedInput:
    """Returns the input of a model and where each part of it comes from.

    Args:
        given: the scan file's ``input``, which wins.
        declared: what the model's source says.
        canvas_side: px; the input's side where neither names one.

    Raises:
        ModelError: what is declared cannot be honoured, and the scan file does not replace it; or
            mean and std do not fit each other or the model's channels.
    """
    if declared.num_channels not in (None, 1, 3):
        raise ModelError(
            f"takes {declared.num_channels} channels: a canvas gives three (RGB) or one (luminance)"
        )
    side, side_from = _side(given, declared, canvas_side)
    mean, mean_from = _values("mean", given, declared)
    std, std_from = _values("std", given, declared)
    expected = (declared.num_channels,) if declared.num_channels else (1, 3)
    if len(mean) != len(std) or len(mean) not in expected:
        raise ModelError(
            f"input.mean has {len(mean)} values and input.std {len(std)}, expected "
            f"{' or '.join(map(str, expected))} of each (three are colours, one is luminance): "
            "give both"
        )
    if not all(math.isfinite(value) for value in mean) or not all(0 < v < math.inf for v in std):
        raise ModelError(
            f"mean {list(mean)} and std {list(std)} ({mean_from}) are no normalisation: set "
            "input.mean and input.std"
        )
    order, order_from = _order(given, declared, assumed=_ASSUMED in (mean_from, std_from))
    if len(mean) == 1:
        order = "rgb"
    parts = {"side": side_from, "channels": order_from, "mean": mean_from, "std": std_from}
    origins = _grouped(parts)
    if declared.not_applied:
        origins += f"; not applied, the canvas stands for it: {', '.join(declared.not_applied)}"
    return ResolvedInput(InputSpec(side, mean, std, order), origins, _notes(parts))


def _side(given: InputConfig, declared: DeclaredInput, canvas_side: int) -> tuple[int, str]:
    if given.side is not None:
        return given.side, _SCAN_FILE
    if declared.side_problem:
        raise ModelError(
            f"{declared.side_problem}, only squares are supported: set input.side to the side of a "
            "square that it can take"
        )
    if declared.side is not None:
        return declared.side, declared.side_origin or declared.origin
    return canvas_side, _CANVAS


def _values(
    name: str, given: InputConfig, declared: DeclaredInput
) -> tuple[tuple[float, ...], str]:
    """Returns the values of ``mean`` or ``std``, of pixels in [0, 1], and where they come from."""
    in_file = given.mean if name == "mean" else given.std
    if in_file is not None:
        return tuple(value / (given.scale or 1.0) for value in in_file), _SCAN_FILE
    if declared.problem:
        raise ModelError(
            f"{declared.problem}: what its pixels should be is not known; say it in the scan file "
            "by input.mean and input.std (and input.channel_order, input.scale where not rgb, 1)"
        )
    in_source = declared.mean if name == "mean" else declared.std
    if in_source is not None:
        return in_source, declared.origin
    imagenet = IMAGENET_MEAN if name == "mean" else IMAGENET_STD
    return one_per_channel(imagenet, declared.num_channels or 3), _ASSUMED


def _order(
    given: InputConfig, declared: DeclaredInput, *, assumed: bool
) -> tuple[ChannelOrder, str]:
    if given.channel_order is not None:
        return given.channel_order, _SCAN_FILE
    if declared.mean is not None and not declared.problem:
        return declared.channel_order, declared.origin
    return "rgb", _ASSUMED if assumed else _DEFAULT


def _grouped(parts: dict[str, str]) -> str:
    """Returns ``side: A; mean, std: B``: the parts by their origin."""
    named: dict[str, list[str]] = {}
    for part, origin in parts.items():
        named.setdefault(origin, []).append(part)
    return "; ".join(f"{', '.join(names)}: {origin}" for origin, names in named.items())


def _notes(parts: dict[str, str]) -> tuple[Note, ...]:
    assumed = [part for part in ("channels", "mean", "std") if parts[part] == _ASSUMED]
    if not assumed:
        return ()
    return (
        Note(
            INPUT_NOTE,
            f"{', '.join(assumed)} of the input are not declared and assumed to be ImageNet's: a "
            "model that was trained otherwise gets wrong numbers; write its "
            "input: {mean: [...], std: [...]} into the scan file (ImageNet's too, where right)",
        ),
    )
