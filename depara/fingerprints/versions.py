"""Versions of installed packages, read from their metadata without importing them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from depara._version import __version__

ABSENT = "absent"


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Returns the version of each distribution (``absent`` when not installed), and depara's."""
    return {"depara": __version__, **{name: package_version(name) for name in packages}}


def package_version(name: str) -> str:
    """Returns the version of one distribution, or ``absent``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT
