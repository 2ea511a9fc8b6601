"""One model in the scan file's own form, without a scan around it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from depara.config.load import parse_scan, read_text, read_yaml
from depara.config.places import CommandFolder
from depara.config.schema import ModelConfig
from depara.errors import ConfigError, near_names
from depara.weights_names import weights_stem

_KEYS = ("models", "defaults")


def load_model_entry(uri: str) -> ModelConfig:
    """Returns the model of a YAML file with one entry below ``models``; local paths are absolute.

    Args:
        uri: path or URI of the file.

    Raises:
        ConfigError: unreadable, no YAML, not one model, or a field that does not validate.
    """
    return parse_model_entry(read_text(uri, "model file"), name=uri)


def parse_model_entry(text: str, name: str = "model file") -> ModelConfig:
    """Returns the model of a YAML text; see `load_model_entry`."""
    tree = read_yaml(text, name)
    if not isinstance(tree, Mapping) or "models" not in tree:
        raise ConfigError(f"{name} must be a mapping with one entry below 'models'")
    others = [str(key) for key in tree if key not in _KEYS]
    if others:
        hint = near_names(others[0], _KEYS)
        raise ConfigError(
            f"{name}: {', '.join(others)} cannot be given: all settings are those of the scan; "
            + (hint or "leave only 'models', and 'defaults' where wanted")
        )
    return _validated(tree, name)


def model_entry(fields: Mapping[str, Any]) -> ModelConfig:
    """Returns the model of the fields of one entry; without an ``id`` it is named by its weights,
    else by its source.

    Raises:
        ConfigError: a field does not validate, or neither source nor id is given.
    """
    named = {key: value for key, value in fields.items() if value is not None}
    if "source" not in named:
        raise ConfigError("a model needs a source, such as torchvision:resnet18")
    named.setdefault("id", _name(str(named["source"]), named.get("weights")))
    return _validated({"models": [named]}, "model")


def _validated(tree: Mapping[str, Any], name: str) -> ModelConfig:
    whole = yaml.safe_dump({"probes": {"source": "."}, **tree}, allow_unicode=True)
    models = parse_scan(whole, name=name, folder=CommandFolder.here()).config.models
    if len(models) != 1:
        raise ConfigError(f"{name} has {len(models)} models: a query is of one")
    if models[0].null_of is not None:
        raise ConfigError(f"{name}: null_of is for the twins of a scan: leave it out")
    return models[0]


def _name(source: str, weights: Any) -> str:
    is_file = isinstance(weights, str) and ("/" in weights or "." in weights)
    text = weights_stem(str(weights)) if is_file else re.split(r"[:/]", source)[-1]
    return re.sub(r"[^A-Za-z0-9._+\-]", "_", text).lstrip("._+-")[:128] or "model"
