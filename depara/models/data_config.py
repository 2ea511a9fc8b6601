"""The input that a data config of timm's form declares: input_size, mean, std, crop, resampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from depara.models.source import DeclaredInput, not_applied, one_per_channel, square_side


def declared_by_data_config(
    config: Mapping[str, Any], origin: str, num_channels: int | None = None
) -> DeclaredInput:
    """Returns side, mean and std of a data config; None for those that it does not hold.

    Args:
        config: ``input_size`` is channels, height and width; mean and std are of pixels in [0, 1].
        origin: what holds it.
        num_channels: of the model; None takes those of the input size.
    """
    size = config.get("input_size") or (3,)
    channels = num_channels or int(size[0])
    side, wide = square_side(size[1:])
    mean, std = (
        one_per_channel(config[part], channels) if config.get(part) else None
        for part in ("mean", "std")
    )
    mode = config.get("crop_mode") or "center"
    central = mode == "center"
    unusual = () if central else (f"{mode} instead of a central crop",)
    return DeclaredInput(
        side=side,
        mean=mean,
        std=std,
        num_channels=channels,
        origin=origin,
        side_problem=f"its data config gives {wide} px" if wide else "",
        not_applied=(
            *not_applied(config.get("crop_pct") if central else None, config.get("interpolation")),
            *unusual,
        ),
    )
