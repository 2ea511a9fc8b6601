"""The code behind ``python:`` sources, hashed without being imported."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder

from depara.fingerprints.files import visible_files
from depara.fingerprints.versions import Installed, installed, is_installed, package_version
from depara.identity import short_hash

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)[\w.]*[ \t]+import\b|import[ \t]+([\w., \t]+))",
    re.MULTILINE,
)
_SETTINGS_SUFFIXES = (".json", ".toml", ".yaml", ".yml")
"""Files beside the code that architectures are built from."""
_MAX_SETTINGS_BYTES = 1024**2
"""A larger one is data, not settings."""
_STANDARD = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_VERSIONED = ("depara",)
"""Packages whose code their own version stands for, wherever they are imported from."""


@dataclass(frozen=True)
class _Code:
    """The content of one top-level package or module, and the top-level names that it imports."""

    digest: str
    imports: frozenset[str]


class CodeReader:
    """Reads code from disk, each top-level package once; make a new one for each look."""

    def __init__(self) -> None:
        importlib.invalidate_caches()
        self._codes: dict[str, _Code | None] = {}
        self._digests: dict[str, str | None] = {}
        self._installed = installed()

    def digest(self, module: str) -> str | None:
        """Returns a hash of a module's code, or None when there is no such code to be read.

        It covers the whole top-level package, or the one file of a top-level module (``.py``
        files, and small settings files: JSON, TOML, YAML), and all packages and modules that it
        imports, those they import, and so on: the user's own by their content, installed ones by
        their version. The standard library is left out.

        Args:
            module: dotted name, such as ``package.module``.
        """
        top = module.partition(".")[0]
        if top not in self._digests:
            self._digests[top] = self._digest_of(top)
        return self._digests[top]

    def _digest_of(self, top: str) -> str | None:
        root = self._read(top)
        if root is None:
            return None
        parts: dict[str, str | None] = {top: root.digest}
        todo = set(root.imports)
        while todo:
            name = todo.pop()
            if name in parts or name in _VERSIONED:
                continue
            spec = _find(name)
            if _is_standard(spec):
                continue
            version = _version(name, self._installed) if _is_installed(spec) else None
            code = None if version else self._read(name)
            parts[name] = version or (code.digest if code else None)
            if code and not _is_installed(spec):
                todo |= code.imports
        return short_hash(parts)

    def _read(self, top: str) -> _Code | None:
        if top not in self._codes:
            try:
                self._codes[top] = _read_code(_find(top))
            except OSError:
                self._codes[top] = None
        return self._codes[top]


@lru_cache(maxsize=4096)
def _version(name: str, state: Installed) -> str | None:
    """Returns the distributions that bring a top-level name along, with their versions."""
    distributions = sorted(set(_distributions(state).get(name, ())))
    return " ".join(f"{each}=={package_version(each, state)}" for each in distributions) or None


@lru_cache(maxsize=1)
def _distributions(state: Installed) -> dict[str, list[str]]:
    """Returns the installed distributions by the top-level names that they bring along.

    It takes a second with some hundred packages, as the list of files of each is read.
    """
    return dict(metadata.packages_distributions())


def _find(top: str) -> ModuleSpec | None:
    """Returns where a top-level name would be imported from, by what Python itself asks.

    Not `importlib.util.find_spec`, which answers for a loaded module with whatever it was.
    """
    here = os.getcwd()
    if not any(entry in ("", here) for entry in sys.path):
        spec = PathFinder.find_spec(top, [here])  # as `python:` sources are imported
        if spec is not None:
            return spec
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(top, None)
        except (ImportError, AttributeError, ValueError):
            continue
        if spec is not None:
            return spec
    return None


def _location(spec: ModuleSpec | None) -> str | None:
    """The first folder of a package, the file of a module; None for what is built in."""
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return next(iter(spec.submodule_search_locations))
    return spec.origin if spec.has_location else None


def _is_installed(spec: ModuleSpec | None) -> bool:
    location = _location(spec)
    return location is not None and is_installed(location)


def _is_standard(spec: ModuleSpec | None) -> bool:
    """Whether Python brings it along; a name that is not found may yet be installed, and is not."""
    location = _location(spec)
    if location is None:
        return spec is not None
    return location.startswith(_STANDARD) and not _is_installed(spec)


def _read_code(spec: ModuleSpec | None) -> _Code | None:
    """Returns the code of a package or module; None when there is none.

    Raises:
        OSError: a file or folder cannot be read.
    """
    if spec is None or _location(spec) is None:
        return None
    contents: dict[str, str] = {}
    imports: set[str] = set()
    for name, path in _files(spec):
        with open(path, "rb") as file:
            data = file.read()
        contents[name] = hashlib.sha256(data).hexdigest()
        if path.endswith(".py"):
            imports |= _imported_names(data)
    return _Code(short_hash(contents), frozenset(imports))


def _files(spec: ModuleSpec) -> Iterator[tuple[str, str]]:
    """Yields a name that is the same wherever the package lies, and the path, of each file."""
    if not spec.submodule_search_locations:
        assert spec.origin is not None
        yield os.path.basename(spec.origin), spec.origin
        return
    # Of a namespace package there may be several, and the first one wins.
    for number, folder in enumerate(spec.submodule_search_locations):
        for name in visible_files(folder):
            path = os.path.join(folder, name)
            if name.endswith(".py") or _is_settings(path):
                yield f"{number}/{name}", path


def _is_settings(path: str) -> bool:
    return path.endswith(_SETTINGS_SUFFIXES) and os.path.getsize(path) <= _MAX_SETTINGS_BYTES


@lru_cache(maxsize=4096)
def _imported_names(source: bytes) -> frozenset[str]:
    """The top-level names that a source text imports; more than that does no harm, so no parser."""
    names: set[str] = set()
    for module, listed in _IMPORT.findall(source):
        for item in (module or listed).decode().split(","):
            words = item.split()
            if words:
                names.add(words[0].partition(".")[0])
    return frozenset(names)
