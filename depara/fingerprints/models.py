"""The fingerprint of a model: of everything that its `ModelCard` depends on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from depara.config import ModelConfig
from depara.fingerprints.code import CodeReader
from depara.fingerprints.files import Identity, file_identities, folder_identity
from depara.fingerprints.hub import cached_commit
from depara.fingerprints.versions import package_versions
from depara.identity import short_hash
from depara.locations import is_remote, local_path
from depara.weights_names import INDEX_SUFFIX, has_weights_suffix

CARD_VERSION = 3
"""Raised when opening an unchanged model gives another `ModelCard`: all are then opened again."""

_PACKAGES = {
    "torchvision": ("torch", "torchvision"),
    "timm": ("torch", "torchvision", "timm", "safetensors"),
    "hf": ("torch", "torchvision", "transformers", "timm", "safetensors"),
    "python": ("torch",),
}
"""The packages that build and load the models of a source."""

_WITH_WEIGHT_NAMES = ("torchvision", "timm")
_RANDOM = "random:"


class _UntoldError(Exception):
    """Something that the model depends on cannot be told cheaply."""


@dataclass
class _Parts:
    """What of the world outside the scan file one model depends on."""

    files: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)


def model_fingerprints(
    models: Sequence[ModelConfig], *, canvas_side: int, features: str
) -> dict[str, str | None]:
    """Returns a fingerprint (32 hexadecimal digits) per model id; None for one that must be opened.

    Two equal fingerprints mean that `describe_model` would give the same card, but for the measured
    seconds. It covers the model's entry in the scan file, the canvas side, the feature reduction,
    the versions of the packages it comes from, the identity of its weights file, of a local folder
    that it comes from and of files that its keyword arguments name, and the code of ``python:``
    sources. Names of pretrained weights are told by the package's version.

    None means that something cannot be told without opening the model: a file that is missing or
    whose storage does not answer, code that is not found, a ``python:`` source without weights
    (what its callable loads, only it knows), or a remote URI among the keyword arguments. The
    stage that opens the model then reports what is wrong, if anything is.

    Args:
        models: entries with distinct ids.
        canvas_side: px.
        features: ``flatten`` or ``gap``.
    """
    reader = CodeReader()
    parts: dict[str, _Parts | None] = {}
    for model in models:
        try:
            parts[model.id] = _parts(model, reader)
        except _UntoldError:
            parts[model.id] = None
    needed = {uri for each in parts.values() if each for uri in each.files}
    identities = file_identities(needed)
    setting = {"card_version": CARD_VERSION, "canvas_side": canvas_side, "features": features}
    versions = package_versions(sorted({name for names in _PACKAGES.values() for name in names}))
    return {
        model.id: _fingerprint(model, parts[model.id], setting, versions, identities)
        for model in models
    }


def _fingerprint(
    model: ModelConfig,
    parts: _Parts | None,
    setting: Mapping[str, Any],
    versions: Mapping[str, str],
    identities: Mapping[str, Identity | None],
) -> str | None:
    if parts is None or any(identities[uri] is None for uri in parts.files):
        return None
    packages = ("depara", *_PACKAGES[model.source.partition(":")[0]])
    if (model.weights or "").lower().endswith(".safetensors"):
        packages = (*packages, "safetensors")
    content = {
        **setting,
        **parts.facts,
        "files": {uri: identities[uri] for uri in parts.files},
        "versions": {name: versions[name] for name in packages},
    }
    try:
        return short_hash({**content, "config": model.model_dump(mode="json")})
    except (TypeError, ValueError):  # keyword arguments that YAML knows and JSON does not
        return None


def _parts(model: ModelConfig, reader: CodeReader) -> _Parts:
    kind, _, name = model.source.partition(":")
    if kind not in _PACKAGES or not name:
        raise _UntoldError
    parts = _Parts()
    if kind == "python":
        if model.weights is None:
            raise _UntoldError
        parts.facts["code"] = _told(reader.digest(name.partition(":")[0]))
    elif kind == "hf":
        parts.facts |= _repository(name, model.kwargs.get("revision"))
    elif kind == "timm":
        parts.facts |= _timm_repository(name)
    weights = model.weights
    if weights and not weights.startswith(_RANDOM) and not _is_weights_name(kind, weights):
        parts.files.add(weights)
        if weights.endswith(INDEX_SUFFIX):  # its shards may change without it
            _told(None if is_remote(weights) else weights)
            parts.facts["shards"] = _told(folder_identity(local_path(weights).parent))
    for text in _texts(model.kwargs):
        _add_named_files(text, parts)
    return parts


def _told(fact: Any) -> Any:
    if fact is None:
        raise _UntoldError
    return fact


def _repository(name: str, revision: object) -> dict[str, Any]:
    """The files of a local folder of Hugging Face's form, or the cached commit of a hub name."""
    folder = Path(os.path.expanduser(name))
    if folder.is_dir():
        return {"folder": _told(folder_identity(folder))}
    return {"commit": cached_commit(name, str(revision) if revision else None)}


def _timm_repository(name: str) -> dict[str, Any]:
    """The same for ``timm:local-dir:FOLDER`` and ``timm:hf-hub:NAME``; else nothing."""
    origin, separator, place = name.partition(":")
    if not separator:
        return {}
    if origin in ("hf-hub", "hf_hub"):
        repository, _, revision = place.partition("@")
        return {"commit": cached_commit(repository, revision or None)}
    return {"folder": _told(folder_identity(Path(place)))}


def _is_weights_name(kind: str, weights: str) -> bool:
    """Whether it can only be a name such as ``IMAGENET1K_V2``, which the package resolves."""
    if kind not in _WITH_WEIGHT_NAMES or "/" in weights or os.path.exists(weights):
        return False
    return not has_weights_suffix(weights)


def _texts(value: object) -> Iterator[str]:
    """Yields all texts among keyword arguments, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _add_named_files(text: str, parts: _Parts) -> None:
    """Adds the file or folder that a keyword argument names, such as timm's `checkpoint_path`."""
    if is_remote(text):
        raise _UntoldError
    suffix = PurePosixPath(text).suffix.lower()
    path = os.path.expanduser(text)
    if text.startswith(("package://", "file://")):
        parts.files.add(text)
    elif "/" in text and os.path.isdir(path):
        folders = parts.facts.setdefault("argument_folders", {})
        folders[text] = _told(folder_identity(Path(path)))
    elif ("/" in text or suffix) and os.path.exists(path):
        parts.files.add(text)
    elif os.path.isabs(path) or has_weights_suffix(text):
        raise _UntoldError  # it may be there on the workers
