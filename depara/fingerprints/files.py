"""Identities of files, told without reading them: size and times, or the object store's ETag.

Remote files are asked for by folder: a thousand weights below one prefix cost one listing.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from depara.errors import ConfigError
from depara.locations import is_remote, local_path, remote_filesystem
from depara.redaction import redact
from depara.retries import persist

Identity = tuple[int | None, str]
"""Size in bytes, and what changes with the content: an ETag, or times."""

_REQUESTS_AT_ONCE = 16
_PACKAGE = "package://"
_NO_LISTING = ("http", "https")
_STAMPS = (
    # What storages call a checksum of the content, then what they call the time of its change.
    *("ETag", "etag", "md5Hash", "content_md5", "Content-MD5"),
    *("LastModified", "Last-Modified", "last_modified", "mtime", "updated", "modified"),
)


def file_identities(
    uris: Iterable[str], prefixes: Iterable[str] = ()
) -> dict[str, Identity | None]:
    """Returns the identity of every file; None for one that is missing or that nobody can tell of.

    Local files, and those of ``package://``, are told by size, modification time and the time of
    any change, which no program can set back, as copying and unpacking do with the former;
    symbolic links by their target. Remote ones cost one listing per parent folder, or one request
    where a single file of a folder is asked for.

    Args:
        uris: local paths, ``package://`` and remote URIs.
        prefixes: remote folders that hold many of the files at any depth, to be listed whole.
    """
    wanted = sorted(set(uris))
    identities: dict[str, Identity | None] = _local_identities(
        [uri for uri in wanted if not is_remote(uri)]
    )
    by_scheme: defaultdict[str, list[str]] = defaultdict(list)
    for uri in wanted:
        if is_remote(uri):
            by_scheme[uri.partition("://")[0]].append(uri)
    folders = list(prefixes)
    for scheme, remote in by_scheme.items():
        own = [folder for folder in folders if folder.partition("://")[0] == scheme]
        identities |= _remote_identities(remote, own)
    return identities


def folder_identity(folder: Path) -> list[tuple[str, Identity]] | None:
    """Returns the relative path and identity of all visible files below a local folder, sorted.

    None when one of them cannot be told. Files and folders that start with a dot are left out.
    """
    found = []
    try:
        for name in visible_files(str(folder)):
            identity = _local_identity(os.path.join(folder, name))
            if identity is None:
                return None
            found.append((name, identity))
    except OSError:
        return None
    return sorted(found)


def visible_files(folder: str) -> list[str]:
    """Returns the paths relative to a local folder, with slashes, of all files below it.

    Dot files are left out; links are followed, each folder once.

    Raises:
        OSError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise error

    found: list[str] = []
    seen: set[str] = set()
    for place, subfolders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        # In this order, so that of two links to one folder always the same is followed.
        subfolders[:] = sorted(
            n for n in subfolders if not n.startswith(".") and n != "__pycache__"
        )
        inside = os.path.relpath(place, folder).replace(os.sep, "/") + "/"
        prefix = inside.removeprefix("./")
        found += [prefix + name for name in sorted(names) if not name.startswith(".")]
    return found


def _local_identities(uris: Iterable[str]) -> dict[str, Identity | None]:
    packages: dict[str, str | None] = {}
    identities: dict[str, Identity | None] = {}
    for uri in uris:
        path: str | None
        if uri.startswith(_PACKAGE):
            package, _, inside = uri.removeprefix(_PACKAGE).partition("/")
            if package not in packages:
                packages[package] = _package_folder(package)
            root = packages[package]
            path = None if root is None else os.path.join(root, inside)
        else:
            path = str(local_path(uri))
        identities[uri] = None if path is None else _local_identity(path)
    return identities


def _package_folder(package: str) -> str | None:
    # The folder of ``a.b`` is looked for in that of ``a``: finding it as a module imports ``a``.
    top, _, inner = package.partition(".")
    try:
        return str(local_path(f"{_PACKAGE}{top}/{inner.replace('.', '/')}"))
    except ConfigError:
        return None


def _local_identity(path: str) -> Identity | None:
    target = ""
    try:
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            target = os.path.basename(os.path.realpath(path))
            facts = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return facts.st_size, f"{facts.st_mtime_ns} {facts.st_ctime_ns} {target}".rstrip()


@dataclass(frozen=True)
class _Request:
    """One call that tells of one file, of a folder's files, or of all files below a prefix."""

    filesystem: Any
    verb: Literal["info", "ls", "find"]
    path: str

    def answer(self) -> dict[str, Identity]:
        """Returns the identities by path; none when the storage refuses, whatever the reason."""
        try:
            entries = persist("list", redact(self.path), self._entries)
        # Each back end raises types of its own. What is wrong is reported, with its message, by
        # the stage that then opens the file.
        except Exception:  # noqa: BLE001
            return {}
        told = {path: told_identity(entry) for path, entry in entries.items()}
        return {path: identity for path, identity in told.items() if identity is not None}

    def _entries(self) -> dict[str, dict[str, Any]]:
        if self.verb == "info":
            return {self.path: self.filesystem.info(self.path)}
        if self.verb == "ls":
            listed = self.filesystem.ls(self.path, detail=True)
            return {str(entry["name"]): entry for entry in listed}
        return dict(self.filesystem.find(self.path, detail=True))


def told_identity(entry: Mapping[str, Any]) -> Identity | None:
    """Returns the identity in a file's entry of an fsspec listing; None when it does not tell."""
    if entry.get("type") != "file":
        return None
    for key in _STAMPS:
        if entry.get(key):
            # Some servers quote an ETag in one kind of answer and not in the other.
            return entry.get("size"), f"{key.lower()} {entry[key]}".replace('"', "")
    return None


def _remote_identities(uris: list[str], prefixes: list[str]) -> dict[str, Identity | None]:
    """Returns the identities of files of one scheme."""
    try:
        filesystem = remote_filesystem(uris[0])
    except ConfigError:
        return dict.fromkeys(uris)
    filesystem.invalidate_cache()
    paths = {uri: str(filesystem._strip_protocol(uri)) for uri in uris}
    folders = [str(filesystem._strip_protocol(prefix)).rstrip("/") for prefix in prefixes]
    lists = not uris[0].startswith(tuple(f"{scheme}://" for scheme in _NO_LISTING))
    requests = _requests(filesystem, sorted(set(paths.values())), folders if lists else [], lists)
    told: dict[str, Identity] = {}
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="fingerprints") as pool:
        for answer in pool.map(_Request.answer, requests):
            told |= answer
    return {uri: told.get(path) for uri, path in paths.items()}


def _requests(filesystem: Any, paths: list[str], folders: list[str], lists: bool) -> list[_Request]:
    """Returns the fewest requests that tell of all paths."""
    requests: list[_Request] = []
    for folder in folders:
        inside = [path for path in paths if path.startswith(f"{folder}/")]
        if inside:
            requests.append(_Request(filesystem, "find", folder))
            paths = [path for path in paths if not path.startswith(f"{folder}/")]
    siblings: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        siblings[filesystem._parent(path) if lists else path].append(path)
    for parent, members in siblings.items():
        if len(members) == 1:
            requests.append(_Request(filesystem, "info", members[0]))
        else:
            requests.append(_Request(filesystem, "ls", parent))
    return requests
