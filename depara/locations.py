"""Where things are: local paths, ``package://NAME/path`` and fsspec URIs such as ``s3://``.

Filesystems are built where they are used and never travel: one that holds keys must not be
pickled.
"""

from __future__ import annotations

import glob as local_glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from depara.errors import ConfigError

_GLOB_SIGNS = ("*", "?", "[")


def has_glob(uri: str) -> bool:
    """Whether the text holds a glob sign (``* ? [``)."""
    return any(sign in uri for sign in _GLOB_SIGNS)


def is_remote(uri: str) -> bool:
    """Whether the URI has a scheme that is neither ``file://`` nor ``package://``."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and scheme not in ("file", "package")


def local_path(uri: str) -> Path:
    """Returns the local path of a path, ``file://`` or ``package://NAME/path``.

    ``package://`` finds files that ship inside an installed Python package, without importing it.

    Raises:
        ConfigError: the package is not installed.
    """
    assert not is_remote(uri)
    if uri.startswith("package://"):
        package, _, inside = uri.removeprefix("package://").partition("/")
        try:
            spec = find_spec(package)
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                f"{uri}: the Python package {package!r} is not installed: "
                f"pip install {package.replace('_', '-')}"
            )
        return Path(next(iter(spec.submodule_search_locations)), inside)
    return Path(os.path.expanduser(uri.removeprefix("file://")))


def remote_filesystem(uri: str) -> Any:
    """Returns a new fsspec filesystem for a remote URI; credentials come from the environment.

    Raises:
        ConfigError: no filesystem is known for the scheme.
    """
    import fsspec

    scheme = uri.partition("://")[0]
    options: dict[str, Any] = {"use_listings_cache": False} if scheme in ("s3", "s3a") else {}
    try:
        return fsspec.filesystem(scheme, **options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"{uri}: no storage known for {scheme!r}: {error}") from error


@contextmanager
def open_binary(uri: str) -> Iterator[IO[bytes]]:
    """Opens a file anywhere for reading bytes.

    Raises:
        FileNotFoundError, OSError: as the storage reports.
        ConfigError: unknown scheme or package.
    """
    if is_remote(uri):
        with remote_filesystem(uri).open(uri, "rb") as file:
            yield file
    else:
        with local_path(uri).open("rb") as file:
            yield file


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Gives a local path of the file: itself when local, else a temporary copy."""
    if not is_remote(uri):
        yield local_path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="depara-") as folder:
        target = Path(folder, Path(uri).name)
        with open_binary(uri) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 16 * 1024**2)
        yield target


def expand_glob(pattern: str) -> list[str]:
    """Returns the sorted files that a local, package or remote glob matches (``**`` recurses)."""
    if is_remote(pattern):
        scheme = pattern.partition("://")[0]
        filesystem = remote_filesystem(pattern)
        return sorted(f"{scheme}://{path}" for path in filesystem.glob(pattern))
    matches = local_glob.glob(str(local_path(pattern)), recursive=True)
    return sorted(match for match in matches if os.path.isfile(match))
