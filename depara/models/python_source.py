"""Models of the user's own code: ``python:package.module:callable``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from depara.errors import ModelError, near_names
from depara.models.foreign import foreign_code
from depara.models.process_state import process_kept, seeded
from depara.models.source import DeclaredInput, Pretrained, Source, checked_module


class PythonSource(Source):
    """``python:package.module:callable``; the callable may be dotted, as in ``Net.from_name``.

    The working directory is importable. The callable's result is taken as it is: it may load
    weights of its own.
    """

    def build(self, name: str, kwargs: Mapping[str, Any]) -> nn.Module:
        """Returns what the callable returns for the keyword arguments."""
        builder = _resolved(name)
        with foreign_code(f"python:{name} cannot be built"):
            return checked_module(f"python:{name}", builder(**kwargs))

    def pretrained(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None
    ) -> Pretrained:
        """Returns what the callable returns, with the weights it has."""
        return Pretrained(self.build(name, kwargs))

    def declared_input(
        self, name: str, kwargs: Mapping[str, Any], weights_name: str | None, module: nn.Module
    ) -> DeclaredInput:
        """Returns mean and std of the module's ``pretrained_cfg``, as timm's modules have one.

        Its input size is not taken: code may have built the module for another one.
        """
        config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
        if not isinstance(config, Mapping):
            return DeclaredInput()
        mean, std = (tuple(float(v) for v in config.get(part) or ()) for part in ("mean", "std"))
        return DeclaredInput(
            mean=mean or None, std=std or None, origin=f"pretrained_cfg of {type(module).__name__}"
        )


def _resolved(name: str) -> Any:
    """Returns the callable that ``package.module:attribute.path`` names.

    Raises:
        ModelError: it cannot be imported, found, or called.
    """
    module_name, separator, path = name.partition(":")
    if not (module_name and separator and path):
        raise ModelError(f"python:{name}: expected python:package.module:callable")
    if not any(entry in ("", os.getcwd()) for entry in sys.path):
        sys.path.insert(0, os.getcwd())
    with foreign_code(f"python:{name}: {module_name!r} cannot be imported from {os.getcwd()}"):
        target = _imported(module_name)
    for attribute in path.split("."):
        if not hasattr(target, attribute):
            hint = near_names(attribute, dir(target))
            raise ModelError(
                f"python:{name}: {attribute!r} is not in {module_name!r}"
                + (f": {hint}" if hint else "")
            )
        target = getattr(target, attribute)
    if isinstance(target, nn.Module) or not callable(target):
        raise ModelError(
            f"python:{name}: {path!r} is a {type(target).__name__}, expected a callable that "
            "returns a torch.nn.Module"
        )
    return target


_ENVIRONMENTS: dict[str, dict[str, str]] = {}
"""Environment variables that a module's import set, by module: its own builders may read them."""


def _imported(module_name: str) -> Any:
    """Returns the module; what its import does to the process is undone, but for its variables.

    Every import starts from the same random state, so that a module that draws numbers when it is
    imported has the same ones in every process.
    """
    if module_name not in _ENVIRONMENTS:
        with process_kept(), seeded(0):
            before = dict(os.environ)
            importlib.import_module(module_name)
            _ENVIRONMENTS[module_name] = {
                key: value for key, value in os.environ.items() if before.get(key) != value
            }
    os.environ.update(_ENVIRONMENTS[module_name])  # until `open_model` puts it back
    return importlib.import_module(module_name)
