"""Which files of a Hugging Face repository hold the weights, and what is said of one without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depara.errors import ModelError, WeightsError
from depara.models.file_kinds import foreign_kind
from depara.models.shards import weight_files
from depara.weights_names import INDEX_SUFFIX, has_weights_suffix

_SAFE = "model.safetensors"
_PICKLED = "pytorch_model.bin"
_CONFIG = "config.json"
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_OTHER_FRAMEWORKS = ("tf_model.h5", "flax_model.msgpack", "saved_model.pb")
_SHOWN = 4


def check_config(name: str, folder: Path) -> None:
    """Proves that a local folder has a config.

    Args:
        name: what follows ``hf:``, for messages.
        folder: where the config should be.

    Raises:
        ModelError: it has none, with what it holds instead and what to name.
    """
    path = folder / _CONFIG
    if not path.is_file():
        raise ModelError(f"hf:{name}: {str(folder)!r} has no {_CONFIG}: {_instead(name, folder)}")
    other = foreign_kind(path)
    if other is not None and "JSON file" not in other:
        raise ModelError(f"hf:{name}: {_CONFIG} {other}")
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError):
        return  # transformers says what is wrong with it
    if isinstance(content, Mapping) and "model_type" not in content and "architecture" in content:
        raise ModelError(f"hf:{name} is a model of timm: write source: timm:local-dir:{folder}")


def pickled_weights(name: str, folder: Path) -> Path | None:
    """Returns the file of a local folder to be read as a pickle, or None where safetensors are.

    Raises:
        WeightsError: there are no weights, a shard is missing, or a file is of another kind.
    """
    for file_name in (_SAFE, _PICKLED):
        for path in (folder / file_name, folder / f"{file_name}{INDEX_SUFFIX}"):
            if path.is_file():
                _check_kinds(path)
                return path if file_name == _PICKLED else None
    raise WeightsError(f"hf:{name}: {str(folder)!r} has no {_SAFE}: {_instead(name, folder)}")


def _check_kinds(path: Path) -> None:
    for file in weight_files(path, str(path)):
        with file.open("rb") as opened:
            is_safetensors = opened.read(9)[4:] == b"\x00\x00\x00\x00{"
        other = None if is_safetensors else foreign_kind(file)
        if other is not None:
            raise WeightsError(f"weights {str(file)!r}: {other}")


def hub_pickle(name: str, hub: Mapping[str, Any]) -> Path | None:
    """Returns the ``pytorch_model.bin`` of a hub repository that has no safetensors, else None.

    Args:
        name: of the repository.
        hub: revision and subfolder, where given.
    """
    from transformers.utils.hub import cached_file

    def found(file_name: str) -> str | None:
        path: str | None = cached_file(
            name,
            file_name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
            **hub,
        )
        return path

    if found(_SAFE) or found(f"{_SAFE}{INDEX_SUFFIX}"):
        return None
    path = found(_PICKLED)
    return Path(path) if path else None


def _instead(name: str, folder: Path) -> str:
    """Returns what a folder without a config or weights holds, and what to do about it."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    names = [entry.name for entry in entries]
    if any(adapter in names for adapter in _ADAPTERS):
        return (
            "it holds an adapter alone (LoRA or the like): merge it into its base model where it "
            "was made (peft: model.merge_and_unload().save_pretrained(NEW_FOLDER)) and name that"
        )
    inner = [entry for entry in entries if entry.is_dir()]
    for entry in inner:
        if (entry / _CONFIG).is_file():
            return f"write source: hf:{entry}"
    files = [*entries, *(file for each in inner for file in sorted(each.iterdir()))]
    weights = [entry for entry in files if has_weights_suffix(entry.name) and entry.is_file()]
    if _CONFIG in names and weights:
        return f"write weights: {weights[0]}"
    if weights:
        return (
            f"weights alone are no model: name what builds it as the source, and weights: "
            f"{weights[0]}"
        )
    frameworks = [entry for entry in names if entry in _OTHER_FRAMEWORKS]
    if frameworks:
        return (
            f"{frameworks[0]} is of another framework: save it as safetensors with PyTorch, where "
            "both are installed"
        )
    listed = ", ".join(names[:_SHOWN]) or "nothing"
    return f"it holds {listed}: name the folder that save_pretrained wrote"
