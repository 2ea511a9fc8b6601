"""Models of Hugging Face transformers: ``hf:FOLDER`` or ``hf:HUB/NAME``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depara.errors import ModelError, OutOfMemoryError, WeightsError
from depara.models.checkpoint import read_checkpoint
from depara.models.data_config import declared_by_data_config
from depara.models.foreign import foreign_code
from depara.models.hf_files import check_config, hub_pickle, pickled_weights
from depara.models.hub import hub_access
from depara.models.image_processor import declared_by_processor
from depara.models.readings import choice, wrapped_readings
from depara.models.source import (
    DeclaredInput,
    Filled,
    Pretrained,
    Source,
    checked_module,
    missing_extra,
    square_side,
)
from depara.models.state_dict import StateDict, find_state_dict

_HUB_KWARGS = ("revision", "subfolder")
_SHOWN = 5
_ENCODER_OF_MASKED = {"vit_mae": "ViTModel"}
"""By model type, the class that runs the same weights on whole images."""
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
        with _hub(name):
            config = _config(name, kwargs)
        with foreign_code(f"hf:{name} cannot be built"):
            built = _auto_class(config).from_config(config, trust_remote_code=False)
        return _vision_tower(checked_module(f"hf:{name}", built))

    def pretrained(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None
    ) -> Pretrained:
        """Returns the module as ``from_pretrained`` loads it.

        From safetensors; where there are none, from ``pytorch_model.bin`` read with
        ``weights_only=True``.
        """
        hub = {key: kwargs[key] for key in _HUB_KWARGS if key in kwargs}
        with _hub(name):
            config = _config(name, kwargs)
            auto_class = _auto_class(config)
            where = _folder_or_name(name)
            folder = Path(where, str(hub.get("subfolder", "")))
            is_local = Path(where).is_dir()
            pickled = pickled_weights(name, folder) if is_local else hub_pickle(where, hub)
            if pickled is not None:
                state = find_state_dict(read_checkpoint(pickled, str(pickled)), None)
                return Pretrained(self.load(name, kwargs, state).module)
            module, _ = _from_pretrained(
                auto_class, name, where, config=config, trust_remote_code=False, **hub
            )
        return Pretrained(_vision_tower(module))

    def load(self, name: str, kwargs: Mapping[str, Any], state: StateDict) -> Filled:
        """Returns the module with a checkpoint's tensors; names of older versions are understood.

        The names are those of the files that ``save_pretrained`` writes.
        """
        with _hub(name):
            config = _config(name, kwargs)
        with foreign_code(f"hf:{name} cannot be built"), torch.device("meta"):
            # The auto classes need a folder or name; the class itself takes tensors.
            model_class = type(_auto_class(config).from_config(config, trust_remote_code=False))
        errors: list[WeightsError] = []
        for rank in sorted({each.rank for each in state.all}):
            likely = [each for each in state.all if each.rank == rank]
            tried = (_first_filled(model_class, name, config, each, errors) for each in likely)
            fits = [filled for filled in tried if filled is not None]
            if len(fits) > 1:
                raise WeightsError(choice([filled.reading for filled in fits]))
            if fits:
                return replace(fits[0], module=_vision_tower(fits[0].module))
        raise errors[0]

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

    def licence(self, name: str, weights_name: str | None, module: nn.Module) -> str | None:
        """Returns the ``license`` in the head of a local folder's model card, ``README.md``."""
        card = Path(os.path.expanduser(name), "README.md")
        if not card.is_file():
            return None
        head = card.read_text("utf-8", errors="replace").partition("\n---")[0]
        found = re.search(r"^license:[ \t]*([^\s#]+)", head, re.MULTILINE)
        return found[1].strip("\"'") if found and head.startswith("---") else None


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


def _first_filled(
    model_class: Any, name: str, config: Any, state: StateDict, errors: list[WeightsError]
) -> Filled | None:
    """Returns the module in the plainest reading that fits; what the others raise is collected."""
    for reading in wrapped_readings(state):
        try:
            module, unexpected = _from_pretrained(
                model_class, name, None, config=config, state_dict=dict(reading.tensors)
            )
        except WeightsError as error:
            errors.append(error)
            continue
        if not unexpected:
            return Filled(module, reading)
        errors.append(
            WeightsError(
                f"hf:{name}: the weights do not fit {type(module).__name__}: {len(unexpected)} "
                f"unexpected: {', '.join(unexpected[:_SHOWN])}"
            )
        )
    return None


def _hub(name: str) -> AbstractContextManager[None]:
    """Runs what may ask the hub for a model."""
    if Path(os.path.expanduser(name)).is_dir():
        return nullcontext()
    return hub_access(f"hf:{name}", "name a local folder (source: hf:FOLDER)")


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
    where = _folder_or_name(name)
    if Path(where).is_dir():
        check_config(name, Path(where, str(kwargs.get("subfolder", ""))))
    with foreign_code(f"hf:{name}: its config cannot be read"):
        config, unused = transformers.AutoConfig.from_pretrained(
            where,
            return_unused_kwargs=True,
            **{**kwargs, "trust_remote_code": False},
        )
    unknown = sorted(set(unused) - {*_HUB_KWARGS, "trust_remote_code"})
    if unknown:
        raise ModelError(
            f"hf:{name}: {type(config).__name__} has no field {', '.join(map(repr, unknown))}"
        )
    _refuse_masked(name, where, config)
    return config


def _refuse_masked(name: str, where: str, config: Any) -> None:
    """Refuses models that hide random patches of every image, with the entry of their encoder."""
    encoder = _ENCODER_OF_MASKED.get(str(getattr(config, "model_type", "")))
    if encoder is None:
        return
    size = getattr(config, "image_size", 224)
    side = size[0] if isinstance(size, list | tuple) else size
    raise ModelError(
        f"hf:{name}: a {config.model_type} model draws a random mask for every image, in eval mode "
        "too (mask_ratio: 0 still shuffles the patches): open its encoder, which has the same "
        f"weights, as source: python:transformers:{encoder}.from_pretrained, kwargs: "
        f"{{pretrained_model_name_or_path: {where}, add_pooling_layer: false}}, "
        f"input: {{side: {side}}}"
    )


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
    with _hub(name), foreign_code("its image processor cannot be read"):
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
