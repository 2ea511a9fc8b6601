"""Models of timm: ``timm:NAME`` or ``timm:NAME.TAG``, with its data config as declared input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from torch import nn

from depara.errors import ModelError, WeightsError, near_names
from depara.models.data_config import declared_by_data_config
from depara.models.foreign import foreign_code
from depara.models.hub import hub_access
from depara.models.source import (
    DeclaredInput,
    Pretrained,
    Source,
    checked_module,
    missing_extra,
)

_HUB_ORIGINS = ("hf-hub:", "hf_hub:")


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise missing_extra("timm", "timm", "timm") from error
    return timm


def _config_name(config: Mapping[str, Any], name: str) -> str:
    """Returns architecture and tag of a pretrained config: a bare name takes the default tag's."""
    architecture, tag = config.get("architecture"), config.get("tag")
    if not architecture:
        return f"timm:{name}"
    return f"timm:{architecture}.{tag}" if tag else f"timm:{architecture}"


class TimmSource(Source):
    """``timm:NAME``; ``weights`` may be a pretrained tag of the model such as ``a1_in1k``."""

    def build(self, name: str, kwargs: Mapping[str, Any]) -> nn.Module:
        """Returns the untrained module (see the base class)."""
        return self._create(name, kwargs, pretrained=False, error_type=ModelError)

    def pretrained(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None
    ) -> Pretrained:
        """Returns the module as ``timm.create_model(..., pretrained=True)`` loads it."""
        if weights_name is not None:
            name = f"{name.partition('.')[0]}.{weights_name}"
        return Pretrained(self._create(name, kwargs, pretrained=True, error_type=WeightsError))

    def declared_input(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None, module: nn.Module
    ) -> DeclaredInput:
        """Returns input size, mean and std of timm's data config."""
        own = getattr(module, "pretrained_cfg", None) or {}
        config = _timm().data.resolve_model_data_config(module)
        # timm fills in ImageNet's values, which are not declared.
        config |= {part: own.get(part) for part in ("mean", "std")}
        if "img_size" in kwargs:
            size = kwargs["img_size"]
            sides = [size] * 2 if isinstance(size, int) else list(size)
            config["input_size"] = (config["input_size"][0], *sides)
        declared = declared_by_data_config(
            config, f"data config of {_config_name(own, name)}", kwargs.get("in_chans")
        )
        return replace(declared, side_origin="kwargs" if "img_size" in kwargs else "")

    def licence(self, name: str, weights_name: str | None, module: nn.Module) -> str | None:
        """Returns the ``license`` of the pretrained config."""
        own = getattr(module, "pretrained_cfg", None) or {}
        return own.get("license") or None

    def weight_names(self, name: str) -> Sequence[str]:
        """Returns the pretrained tags of the architecture."""
        architecture = name.partition(".")[0]
        listed = _timm().list_pretrained(f"{architecture}.*")
        return [model.partition(".")[2] for model in listed]

    def _create(
        self,
        name: str,
        kwargs: Mapping[str, Any],
        *,
        pretrained: bool,
        error_type: type[ModelError],
    ) -> nn.Module:
        timm = _timm()
        architecture = name.partition(".")[0]
        if ":" not in name and not timm.is_model(architecture):
            hint = near_names(architecture, timm.list_models())
            raise ModelError(f"timm has no model {name!r}" + (f": {hint}" if hint else ""))
        action = "its pretrained weights cannot be loaded" if pretrained else "cannot be built"
        # Of a local folder, or without pretrained weights, nothing is asked of the hub.
        asks = pretrained or name.startswith(_HUB_ORIGINS)
        hub = hub_access(f"timm:{name}", "give weights a file") if asks else nullcontext()
        with hub, foreign_code(f"timm:{name} {action}", error_type):
            return checked_module(
                f"timm:{name}", timm.create_model(name, pretrained=pretrained, **kwargs)
            )
