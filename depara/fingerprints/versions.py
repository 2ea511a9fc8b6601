"""Versions of installed packages, read from their metadata without importing them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata

from depara._version import __version__

ABSENT = "absent"

Installed = tuple[tuple[str, int], ...]
"""The folders that packages are installed in, and when one was last added to or taken from each."""

_INSTALLED = re.compile(r"(?:^|[/\\])(?:site|dist)-packages(?:[/\\]|$)")


def is_installed(path: str) -> bool:
    """Whether a path is that of an installed package, or of a folder of these."""
    return _INSTALLED.search(path) is not None


def installed() -> Installed:
    """Returns what installed packages are told by: they are looked at again when it changes."""
    folders = (entry for entry in sys.path if is_installed(entry))
    return tuple((entry, os.stat(entry).st_mtime_ns) for entry in folders if os.path.isdir(entry))


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Returns the version of each distribution (``absent`` when not installed), and depara's."""
    state = installed()
    return {"depara": __version__, **{name: package_version(name, state) for name in packages}}


@lru_cache(maxsize=4096)
def package_version(name: str, state: Installed) -> str:
    """Returns the version of one distribution, or ``absent``; ``state`` is `installed()`."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT
