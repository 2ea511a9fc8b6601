"""Models of torchvision: ``torchvision:NAME``, with its weights enums and their transforms."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from depara.errors import ModelError, WeightsError, near_names
from depara.models.foreign import foreign_code, one_line
from depara.models.hub import url_silence
from depara.models.source import (
    DeclaredInput,
    Filled,
    Pretrained,
    Source,
    checked_module,
    missing_extra,
    not_applied,
    square_side,
)
from depara.models.state_dict import StateDict

_BUILD_KWARGS: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "aux_logits": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "aux_logits": True, "init_weights": False},
}
"""How torchvision's own builders build these two before they load the official checkpoints."""

_DENSENET_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")
"""Names with a dot inside a module's name, as in the official DenseNet checkpoints."""


def _models() -> Any:
    try:
        import torchvision.models
    except ImportError as error:
        raise missing_extra("torchvision", "torchvision", "scan") from error
    return torchvision.models


class TorchvisionSource(Source):
    """``torchvision:NAME``; ``weights`` may be a name such as ``IMAGENET1K_V2`` or ``DEFAULT``."""

    def build(self, name: str, kwargs: Mapping[str, Any]) -> nn.Module:
        """Returns the untrained module (see the base class)."""
        return self._build(name, kwargs, self._weights(name, None))

    def pretrained(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None
    ) -> Pretrained:
        """Returns the untrained module and the official checkpoint, downloaded when not cached."""
        weights = self._weights(name, weights_name)
        if weights is None:
            raise WeightsError(f"torchvision:{name} has no pretrained weights: name a file")
        module = self._build(name, kwargs, weights)
        return Pretrained(module, _downloaded(str(weights.url)))

    def declared_input(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None, module: nn.Module
    ) -> DeclaredInput:
        """Returns crop size, mean and std of the weights' transforms."""
        weights = self._weights(name, weights_name)
        if weights is None:
            return DeclaredInput()
        transforms = weights.transforms()
        crop, resize = (getattr(transforms, f"{step}_size", None) for step in ("crop", "resize"))
        side, wide = square_side(kwargs.get("image_size", crop or resize))
        interpolation = getattr(getattr(transforms, "interpolation", None), "value", None)
        crop_fraction = crop[0] / resize[0] if crop and resize else None
        # A preset without mean and std (detection) hands plain pixels to a model that normalises.
        return DeclaredInput(
            side=side,
            mean=tuple(getattr(transforms, "mean", (0.0, 0.0, 0.0))),
            std=tuple(getattr(transforms, "std", (1.0, 1.0, 1.0))),
            origin=f"transforms of {weights}",
            side_origin="kwargs" if "image_size" in kwargs else "",
            side_problem=f"the transforms of {weights} give {wide} px" if wide else "",
            not_applied=not_applied(crop_fraction, interpolation),
        )

    def licence(self, name: str, weights_name: str | None, module: nn.Module) -> str | None:
        """Returns the ``license`` of the weights' metadata, which some have."""
        weights = self._weights(name, weights_name)
        return None if weights is None else weights.meta.get("license")

    def weight_names(self, name: str) -> Sequence[str]:
        """Returns the members of the model's weights enum, alone and after the enum's name."""
        enum = self._enum(name)
        members = list(enum.__members__)
        return members + [f"{enum.__name__}.{member}" for member in members]

    def fill(self, module: nn.Module, name: str, state: StateDict) -> Filled:
        """Returns the module with a checkpoint's tensors; DenseNets' old names are understood."""
        if name.startswith("densenet"):
            first, *others = map(_with_new_names, state.all)
            state = replace(first, others=tuple(others))
        return super().fill(module, name, state)

    def _enum(self, name: str) -> Any:
        models = _models()
        known = models.list_models()
        if name not in known:
            hint = near_names(name, known)
            raise ModelError(f"torchvision has no model {name!r}" + (f": {hint}" if hint else ""))
        return models.get_model_weights(name)

    def _weights(self, name: str, weights_name: str | None) -> Any:
        members = self._enum(name).__members__
        return members.get((weights_name or "DEFAULT").rpartition(".")[2])

    def _build(self, name: str, kwargs: Mapping[str, Any], weights: Any) -> nn.Module:
        builder = _models().get_model_builder(name)
        full: dict[str, Any] = {**_BUILD_KWARGS.get(name, {}), **_size_kwargs(name, weights)}
        if "weights_backbone" in inspect.signature(builder).parameters:
            full["weights_backbone"] = None
        full.update(kwargs)
        with foreign_code(f"torchvision:{name} cannot be built"):
            return checked_module(f"torchvision:{name}", builder(weights=None, **full))


def _with_new_names(state: StateDict) -> StateDict:
    renamed = {_DENSENET_KEY.sub(r"\1\2", key): tensor for key, tensor in state.tensors.items()}
    return replace(state, tensors=renamed)


def _size_kwargs(name: str, weights: Any) -> dict[str, Any]:
    """Returns the image size of the weights for models whose position embedding fixes it."""
    if not name.startswith("vit_") or weights is None:
        return {}
    return {"image_size": int(weights.meta["min_size"][0])}


def _downloaded(url: str) -> Path:
    """Returns the local file of an official checkpoint, from torch's hub cache or the network.

    Raises:
        WeightsError: it is not cached and cannot be downloaded.
    """
    file_name = Path(urlparse(url).path).name
    folder = Path(torch.hub.get_dir(), "checkpoints")
    target = folder / file_name
    if target.is_file():
        return target
    match = torch.hub.HASH_REGEX.search(file_name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        silence = url_silence(url)  # torch's own download waits without an end
        if silence is not None:
            raise OSError(silence)
        torch.hub.download_url_to_file(
            url, str(target), match.group(1) if match else None, progress=False
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{file_name} cannot be downloaded from {url}: {one_line(error)}: give weights a local "
            f"path of {file_name}, or put it into {folder}"
        ) from error
    return target
