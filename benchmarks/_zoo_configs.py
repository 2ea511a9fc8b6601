"""Small configs of Hugging Face vision types, made from their defaults.

The default of most types is a model of a hundred million parameters at 224 px. Plain transformers
are made narrow and shallow by the names of their fields; what does not follow the common names has
its own row in `SPECIAL`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MAPPINGS = (
    "IMAGE_CLASSIFICATION",
    "BACKBONE",
    "IMAGE",
    "ZERO_SHOT_IMAGE_CLASSIFICATION",
    "MASKED_IMAGE_MODELING",
)
"""The auto classes whose types take images."""

NARROW = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "projection_dim": 32,
}
"""Set where a config has the field with a larger whole number, and its heads are one number."""

SPECIAL: dict[str, dict[str, Any]] = {
    "bit": {"depths": [1, 1, 2, 1], "hidden_sizes": [128, 128, 256, 256], "embedding_size": 32},
    "dinov2": {"patch_size": 16},
    "efficientnet": {"width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640},
    "hiera": {"depths": [1, 2, 2, 1], "embed_dim": 32},
    "imagegpt": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 4096},
    "levit": {"hidden_sizes": [64, 96, 128], "num_attention_heads": [2, 3, 4], "depths": [2, 2, 2]},
    "mlcd": {"patch_size": 16, "num_key_value_groups": 1},
    "mlcd_vision_model": {"patch_size": 16, "num_key_value_groups": 1},
    "aimv2_vision_model": {"patch_size": 16},
    "regnet": {"hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 2, 1], "groups_width": 16},
    "resnet": {"hidden_sizes": [64, 96, 128, 192], "depths": [2, 2, 2, 2]},
    "rf_detr_dinov2": {"patch_size": 16},
    "rt_detr_resnet": {"hidden_sizes": [64, 96, 128, 192], "depths": [2, 2, 2, 2]},
    "swin": {"window_size": 2, "embed_dim": 24, "depths": [2, 2, 2, 2]},
    "maskformer-swin": {"window_size": 2},
    "donut-swin": {"window_size": 2},
    "swin2sr": {"embed_dim": 48, "depths": [2, 2], "num_heads": [2, 2], "image_size": 32},
    "tipsv2_vision_model": {"patch_size": 16},
    "vitpose_backbone": {"patch_size": [16, 16]},
}
"""Fields of types that the common names do not reach."""


class NoConfigError(Exception):
    """The type's own config class takes neither its defaults nor the small ones."""


def vision_types() -> list[str]:
    """Returns the Hugging Face types that take images, by what transformers registers."""
    from transformers.models.auto import configuration_auto, modeling_auto

    found: set[str] = set()
    for mapping in MAPPINGS:
        found.update(getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES"))
    found.update(name for name in modeling_auto.MODEL_MAPPING_NAMES if _is_vision_tower(name))
    return sorted(found & set(configuration_auto.CONFIG_MAPPING_NAMES))


def write_config(model_type: str, folder: Path, side: int | None) -> None:
    """Writes ``config.json`` of a small model of a type.

    Args:
        model_type: as transformers registers it.
        folder: that exists.
        side: px; of the config's image size where it has one. None: the type's default.

    Raises:
        NoConfigError: the config class raises.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    config_class = transformers.CONFIG_MAPPING[model_type]
    try:
        config = config_class(**_narrowed(config_class(), side) | SPECIAL.get(model_type, {}))
    except Exception as error:
        raise NoConfigError(f"no small config: {type(error).__name__}: {error}") from error
    named = modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.get(model_type)
    if named is not None:
        config.architectures = [named if isinstance(named, str) else named[0]]
    config.save_pretrained(folder)


def _is_vision_tower(name: str) -> bool:
    return name.endswith(("_vision_model", "_vision")) or "vit" in name.split("_")


def _narrowed(config: Any, side: int | None) -> dict[str, Any]:
    """The fields to build a config with, so that what it derives from them fits."""
    fields: dict[str, Any] = {}
    if isinstance(getattr(config, "num_attention_heads", None), int):
        for name, value in NARROW.items():
            present = getattr(config, name, None)
            if isinstance(present, int) and not isinstance(present, bool) and present > value:
                fields[name] = value
    size = getattr(config, "image_size", None)
    if side is not None and isinstance(size, int):
        fields["image_size"] = side
    elif side is not None and isinstance(size, list | tuple) and len(size) == 2:
        fields["image_size"] = [side, side]
    for name in getattr(config, "sub_configs", {}):
        part = getattr(config, name, None)
        inner = {} if part is None else _narrowed(part, side)
        if inner:
            fields[name] = {"model_type": part.model_type, **inner}
    return fields
