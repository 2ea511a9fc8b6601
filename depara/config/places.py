"""Local paths of a scan file, made absolute once: workers run in other folders than the command."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from depara.errors import ConfigError
from depara.locations import has_glob, is_remote
from depara.weights_names import WEIGHTS_SUFFIXES

_FILE_SUFFIXES = (*WEIGHTS_SUFFIXES, ".tar", ".json")
_NAMING_SOURCES = ("torchvision", "timm")
"""Sources whose weights may be names that their library knows, which win over files."""

_FILE_URI = re.compile(r"file:(?://(?:localhost(?=/))?)?(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True)
class CommandFolder:
    """The folder that relative paths of a scan file are relative to."""

    path: str

    @classmethod
    def here(cls) -> CommandFolder:
        """Returns the folder where the command runs.

        Raises:
            ConfigError: it has been removed.
        """
        try:
            return cls(os.getcwd())
        except FileNotFoundError as error:
            raise ConfigError(
                "the folder where the command runs has been removed: cd into one that exists"
            ) from error

    def absolute(self, text: str, field: str) -> str:
        """Returns a local path as absolute, without ``file://``, ``~`` and ``$NAME``; a glob too.

        ``package://`` and remote URIs come back as they are. A name that exists is taken literally,
        whatever signs are in it.

        Raises:
            ConfigError: a variable or home folder that is not set, or a path of Windows.
        """
        if not text.strip() or text.startswith("package://") or is_remote(text):
            return text
        uri = _FILE_URI.fullmatch(text)
        literal = [text, uri[1], unquote(uri[1])] if uri else [text]
        existing = [path for path in literal if os.path.lexists(self._joined(path))]
        path = existing[0] if existing else _expanded(uri[1] if uri else text, field)
        joined = self._joined(path)
        plain = os.path.normpath(joined)
        # A `..` after a symbolic link leads elsewhere than the text says.
        is_same = os.path.realpath(plain) == os.path.realpath(joined)
        return plain if is_same else joined

    def _joined(self, path: str) -> str:
        return os.path.join(self.path, path)


def absolute_places(
    tree: Mapping[str, Any], folder: CommandFolder, default_output: str
) -> dict[str, Any]:
    """Returns the tree of a scan file with absolute local paths.

    These are ``output``, ``probes.source``, ``probes.annotations``, ``compute.spill_dir``, and the
    ``weights`` of models and of ``defaults``. What is of another type than it should be is left to
    the validation.

    Raises:
        ConfigError: as `CommandFolder.absolute`.
    """
    placed = dict(tree)
    output = placed.get("output", default_output)
    if isinstance(output, str):
        placed["output"] = folder.absolute(output, "output")
    _place_field(placed, "probes", "source", folder)
    _place_field(placed, "probes", "annotations", folder)
    _place_field(placed, "compute", "spill_dir", folder)
    defaults = placed.get("defaults")
    source = defaults.get("source", "") if isinstance(defaults, Mapping) else ""
    if isinstance(defaults, Mapping):
        placed["defaults"] = _place_weights(defaults, source, folder, "defaults")
    if isinstance(models := placed.get("models"), list):
        placed["models"] = [
            _place_weights(model, model.get("source", source), folder, f"models.{number}")
            if isinstance(model, Mapping)
            else model
            for number, model in enumerate(models)
        ]
    return placed


def _place_field(tree: dict[str, Any], section: str, field: str, folder: CommandFolder) -> None:
    fields, name = tree.get(section), f"{section}.{field}"
    value = fields.get(field) if isinstance(fields, Mapping) else None
    placed: Any = value
    if isinstance(value, str):
        placed = folder.absolute(value, name)
    elif isinstance(value, list):
        placed = [folder.absolute(v, name) if isinstance(v, str) else v for v in value]
    if placed != value:
        tree[section] = {**fields, field: placed}  # type: ignore[dict-item]


def _place_weights(
    model: Mapping[str, Any], source: object, folder: CommandFolder, place: str
) -> Mapping[str, Any]:
    weights = model.get("weights")
    if not isinstance(weights, str) or not _is_path(weights, str(source), folder):
        return model
    return {**model, "weights": folder.absolute(weights, f"{place}.weights")}


def _is_path(weights: str, source: str, folder: CommandFolder) -> bool:
    """Whether it names a file, and neither ``random:SEED`` nor weights that a library knows."""
    if weights.startswith("random:"):
        return False
    suffix = PurePosixPath(weights).suffix.lower()
    if "/" in weights or "\\" in weights or has_glob(weights) or suffix in _FILE_SUFFIXES:
        return True
    if source.partition(":")[0] in _NAMING_SOURCES:
        return False
    return bool(suffix) or os.path.exists(os.path.join(folder.path, weights))


def _expanded(path: str, field: str) -> str:
    """Returns a path that does not exist as it stands with its variables and home folder set in."""
    if _WINDOWS.match(path):
        raise ConfigError(
            f"{field}: {path!r} is a path of Windows, and this is another system: write it as it "
            "is seen here, such as /mnt/c/photos for C:\\photos under WSL"
        )

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in os.environ:
            raise ConfigError(
                f"{field}: {path!r} names the environment variable {name}, which is not set: set "
                "it, or write the path out"
            )
        return os.environ[name]

    text = _VARIABLE.sub(value, path)
    if not text.startswith("~"):
        return text
    home = os.path.expanduser(text)
    if home.startswith("~"):
        raise ConfigError(
            f"{field}: {path!r} names a home folder that is not known here: set HOME, or write "
            "the path out"
        )
    return home
