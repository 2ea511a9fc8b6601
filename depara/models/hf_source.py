"""Models of Hugging Face transformers: ``hf:FOLDER`` or ``hf:HUB/NAME``, safetensors only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depara.errors import ModelError, OutOfMemoryError, WeightsError
from depara.models.data_config import declared_by_data_config
from depara.models.foreign import foreign_code
from depara.models.image_processor import declared_by_processor
from depara.models.source import (
    DeclaredInput,
    Pretrained,
    Source,
    checked_module,
    missing_extra,
    square_side,
)
from depara.models.state_dict import StateDict

_HUB_KWARGS = ("revision", "subfolder")
_SHOWN = 5
_NO_JSON = "valid JSON"
"""In transformers' error about a file that is there and damaged, of the type of an absent one."""
_REMOTE_CODE = "custom code"
"""In transformers' error about a processor that is code of its repository."""


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise missing_extra("hf", "transformers", "hf") from error
    return transformers


class HuggingFaceSource(Source):
    """``hf:NAME_OR_FOLDER``: an image classifier where the config says so, else the bare model.

    Of a model of images and text, such as CLIP, only the vision tower is taken. Code from the hub
    is never run.
    """

    def build(self, name: str, kwargs: Mapping[str, Any]) -> nn.Module:
        """Returns the untrained module of the config."""
        config = _config(name, kwargs)
        with foreign_code(f"hf:{name} cannot be built"):
            built = _auto_class(config).from_config(config, trust_remote_code=False)
        return _vision_tower(checked_module(f"hf:{name}", built))

    def pretrained(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None
    ) -> Pretrained:
        """Returns the module as ``from_pretrained`` loads it from safetensors."""
        hub = {key: kwargs[key] for key in _HUB_KWARGS if key in kwargs}
        config = _config(name, kwargs)
        auto_class = _auto_class(config)
        where = _folder_or_name(name)
        module, _ = _from_pretrained(
            auto_class, name, where, config=config, trust_remote_code=False, **hub
        )
        return Pretrained(_vision_tower(module))

    def load(self, name: str, kwargs: Mapping[str, Any], state: StateDict) -> nn.Module:
        """Returns the module with a checkpoint's tensors; names of older versions are understood.

        The names are those of the files that ``save_pretrained`` writes.
        """
        config = _config(name, kwargs)
        with foreign_code(f"hf:{name} cannot be built"), torch.device("meta"):
            # The auto classes need a folder or name; the class itself takes tensors.
            model_class = type(_auto_class(config).from_config(config, trust_remote_code=False))
        module, unexpected = _from_pretrained(
            model_class, name, None, config=config, state_dict=dict(state.tensors)
        )
        if unexpected:
            raise WeightsError(
                f"hf:{name}: the weights do not fit {type(module).__name__}: {len(unexpected)} "
                f"unexpected: {', '.join(unexpected[:_SHOWN])}"
            )
        return _vision_tower(module)

    def declared_input(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None, module: nn.Module
    ) -> DeclaredInput:
        """Returns what the image processor does to pixels, and its side or that of the config."""
        config = getattr(module, "config", None)
        channels = int(getattr(config, "num_channels", None) or 3)
        declared = _declared_pixels(name, kwargs, channels)
        side, wide = square_side(getattr(config, "image_size", None))
        if "image_size" in kwargs or (declared.side is None and not declared.side_problem):
            problem = f"its config has an image_size of {wide} px" if wide else ""
            origin = f"image_size of {type(config).__name__}"
            declared = replace(declared, side=side, side_origin=origin, side_problem=problem)
        return declared


def _declared_pixels(name: str, kwargs: Mapping[str, Any], channels: int) -> DeclaredInput:
    nothing = DeclaredInput(num_channels=channels)
    if channels not in (1, 3):
        return nothing
    try:
        fields = _processor_fields(name, kwargs)
        for key in ("data_config", "pretrained_cfg"):
            if isinstance(fields.get(key), Mapping):
                return declared_by_data_config(fields[key], f"{key} of its processor", channels)
        processor = _image_processor(name, kwargs)
    except OutOfMemoryError:
        raise
    except ModelError as error:
        return replace(nothing, problem=str(error))
    if processor is None:
        return nothing
    return declared_by_processor(processor, channels, fields)


def _folder_or_name(name: str) -> str:
    """Returns an existing local folder, or the name of a hub repository.

    Raises:
        ModelError: the name is written as a path, but there is no such folder.
    """
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"hf:{name}: no such folder (a hub name is written owner/name)")
    return name


def _config(name: str, kwargs: Mapping[str, Any]) -> Any:
    if kwargs.get("trust_remote_code"):
        raise ModelError(f"hf:{name}: trust_remote_code runs code from the hub and is refused")
    transformers = _transformers()
    with foreign_code(f"hf:{name}: its config cannot be read"):
        config, unused = transformers.AutoConfig.from_pretrained(
            _folder_or_name(name),
            return_unused_kwargs=True,
            **{**kwargs, "trust_remote_code": False},
        )
    unknown = sorted(set(unused) - {*_HUB_KWARGS, "trust_remote_code"})
    if unknown:
        raise ModelError(
            f"hf:{name}: {type(config).__name__} has no field {', '.join(map(repr, unknown))}"
        )
    return config


def _auto_class(config: Any) -> Any:
    transformers = _transformers()
    architectures = getattr(config, "architectures", None) or []
    if any("ForImageClassification" in architecture for architecture in architectures):
        return transformers.AutoModelForImageClassification
    return transformers.AutoModel


def _vision_tower(module: nn.Module) -> nn.Module:
    tower = getattr(module, "vision_model", None)
    has_text = getattr(getattr(module, "config", None), "text_config", None) is not None
    return tower if has_text and isinstance(tower, nn.Module) else module


def _from_pretrained(
    model_class: Any, name: str, location: str | None, **settings: Any
) -> tuple[nn.Module, list[str]]:
    """Returns the loaded module, proven complete, and the names that it had no use for."""
    with (
        foreign_code(f"hf:{name}: its weights cannot be loaded", WeightsError),
        _without_progress_bars(),
    ):
        built, report = model_class.from_pretrained(
            location, use_safetensors=True, output_loading_info=True, **settings
        )
    module = checked_module(f"hf:{name}", built)
    _prove_complete(name, module, report)
    return module, sorted(str(key) for key in report.get("unexpected_keys", ()))


def _prove_complete(name: str, module: nn.Module, report: Mapping[str, Any]) -> None:
    """Refuses a checkpoint that leaves tensors at random; an absent pooler is taken off instead."""
    missing = sorted(str(key) for key in report.get("missing_keys", ()))
    mismatched = sorted(str(key) for key in report.get("mismatched_keys", ()))
    if missing and all(key.startswith("pooler.") for key in missing) and not mismatched:
        module.pooler = None  # type: ignore[assignment]
        return
    if missing or mismatched:
        shown = ", ".join((missing + mismatched)[:_SHOWN])
        raise WeightsError(
            f"hf:{name}: the weights do not fit {type(module).__name__}: {len(missing)} missing, "
            f"{len(mismatched)} of another shape: {shown}"
        )


def _processor_fields(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the file of the image processor holds, empty where there is none.

    Raises:
        ModelError: there is one, and it cannot be read.
    """
    base = _transformers().image_processing_utils.BaseImageProcessor
    read = _unless_absent(base.get_image_processor_dict, name, kwargs)
    return dict(read[0]) if read else {}


def _image_processor(name: str, kwargs: Mapping[str, Any]) -> Any:
    """Returns the image processor that lies beside the model, or None where none does.

    Raises:
        ModelError: there is one, and it cannot be read.
    """
    build = partial(_transformers().AutoImageProcessor.from_pretrained, trust_remote_code=False)
    return _unless_absent(build, name, kwargs)


def _unless_absent(read: Callable[..., Any], name: str, kwargs: Mapping[str, Any]) -> Any:
    hub = {key: kwargs[key] for key in _HUB_KWARGS if key in kwargs}
    with foreign_code("its image processor cannot be read"):
        try:
            return read(_folder_or_name(name), **hub)
        except OSError as error:
            if _NO_JSON in str(error):
                raise
            return None
        except ValueError as error:
            if _REMOTE_CODE not in str(error):
                raise
            raise ModelError(
                "its image processor is code of its repository, which is not run"
            ) from error


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    logging = _transformers().utils.logging
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()
