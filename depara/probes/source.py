"""Where probes come from: folders, globs, prefixes, text lists and Parquet files to references."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from depara.errors import ProbeError, near_names
from depara.locations import (
    expand_glob,
    has_glob,
    is_glob,
    is_remote,
    local_path,
    redact,
    remote_filesystem,
)
from depara.probes.image import IMAGE_SUFFIXES
from depara.probes.parquet import PARQUET_SUFFIX, list_rows
from depara.probes.storage import read_bytes, storage_errors
from depara.retries import persist
from depara.types import ProbeRef

_LIST_SUFFIX = ".txt"
_ACCEPTED = (
    f"a folder, a glob, a URI prefix, an image ({' '.join(IMAGE_SUFFIXES)}), a text list "
    f"({_LIST_SUFFIX}) or a Parquet file ({PARQUET_SUFFIX})"
)


@dataclass(frozen=True)
class _Columns:
    image: str | None
    label: str | None


def list_probes(
    source: str | Sequence[str], *, column: str | None = None, label_column: str | None = None
) -> list[ProbeRef]:
    """Returns where every image of the source is, by ascending URI, each URI once; decodes nothing.

    A source is one of these, or a list of them:

    - a folder, local, ``package://NAME/path`` or a remote prefix (``s3://bucket/prefix``): all
      files below it with an image suffix, hidden ones left out. When at least two of its
      sub-folders hold images, the sub-folder's name is the label. Without any image, its Parquet
      files are taken.
    - a glob of images or Parquet files, local, ``package://`` or remote.
    - a ``.txt`` file: one path or URI per line, relative to the list's own folder, and optionally a
      tab and a label; blank lines and lines that start with ``#`` are skipped.
    - a ``.parquet`` file with a column of encoded images: one probe per row.
    - one image.

    Local paths come back absolute, ``package://`` ones as they are.

    Args:
        source: see above.
        column: image column of Parquet files; None finds the only one.
        label_column: label column of Parquet files; None takes ``label`` when there is one.

    Raises:
        ProbeError: missing or unreadable source, one without images, or a Parquet file without the
            column.
        ConfigError: unknown scheme or package.
        StorageUnavailableError: a remote storage did not answer for too long.
    """
    sources = [source] if isinstance(source, str) else list(source)
    if not sources:
        raise ProbeError(f"probes.source is an empty list: name {_ACCEPTED}")
    columns = _Columns(column, label_column)
    refs: dict[str, ProbeRef] = {}
    for each in sources:
        for ref in _list_source(each, columns):
            refs.setdefault(ref.uri, ref)
    return sorted(refs.values(), key=lambda ref: ref.uri)


def _list_source(source: str, columns: _Columns) -> list[ProbeRef]:
    if not source.strip():
        raise ProbeError(f"probes.source is empty: name {_ACCEPTED}")
    if is_remote(source):
        return _list_remote(source, columns)
    path = local_path(source)
    if path.is_dir():
        names = _walk(source, path)
        return _list_folder(source, names, lambda name: _local_uri(source, path / name), columns)
    if path.exists():
        return _list_file(_local_uri(source, path), columns)
    if has_glob(source):
        return _list_glob(source, columns)
    raise ProbeError(f"{source}: does not exist{_near_siblings(path)}: name {_ACCEPTED}")


def _list_remote(source: str, columns: _Columns) -> list[ProbeRef]:
    if is_glob(source):
        return _list_glob(source, columns)
    filesystem = remote_filesystem(source)
    root = filesystem._strip_protocol(source)
    is_named_file = _suffix(source) in (*IMAGE_SUFFIXES, _LIST_SUFFIX, PARQUET_SUFFIX)

    def find() -> list[str]:
        is_file = is_named_file and filesystem.isfile(root)
        return [root] if is_file else list(filesystem.find(root))

    with storage_errors(source):
        keys = persist("list", redact(source), find)
    if keys == [root]:
        return _list_file(source, columns)
    if not keys:
        raise ProbeError(f"{source}: does not exist or is empty: name {_ACCEPTED}")
    prefix = root.rstrip("/") + "/"
    names = [key.removeprefix(prefix) for key in keys]
    return _list_folder(
        source, names, lambda name: str(filesystem.unstrip_protocol(prefix + name)), columns
    )


def _list_file(uri: str, columns: _Columns) -> list[ProbeRef]:
    suffix = _suffix(uri)
    if suffix == _LIST_SUFFIX:
        return _read_list(uri)
    if suffix == PARQUET_SUFFIX:
        return list_rows(uri, columns.image, columns.label)
    if suffix in IMAGE_SUFFIXES:
        return [ProbeRef(uri)]
    raise ProbeError(f"{uri}: is no source of probes: name {_ACCEPTED}")


def _list_folder(
    source: str, names: Iterable[str], uri_of: Callable[[str], str], columns: _Columns
) -> list[ProbeRef]:
    """References of the visible files among the names, which are relative to the folder."""
    visible = [name for name in names if not any(p.startswith(".") for p in name.split("/"))]
    images = [name for name in visible if _suffix(name) in IMAGE_SUFFIXES]
    if not images:
        tables = [name for name in visible if _suffix(name) == PARQUET_SUFFIX]
        if tables:
            return _list_tables([uri_of(name) for name in tables], columns)
        raise ProbeError(
            f"{source}: holds no image among {len(visible)} files: looked in it and below for "
            f"{' '.join(IMAGE_SUFFIXES)}, and for {PARQUET_SUFFIX}"
        )
    classes = {name.partition("/")[0] for name in images if "/" in name}
    return [
        ProbeRef(uri_of(name), name.partition("/")[0] if len(classes) > 1 and "/" in name else None)
        for name in images
    ]


def _list_glob(pattern: str, columns: _Columns) -> list[ProbeRef]:
    with storage_errors(pattern):
        matches = expand_glob(pattern)
    images = [match for match in matches if _suffix(match) in IMAGE_SUFFIXES]
    tables = [match for match in matches if _suffix(match) == PARQUET_SUFFIX]
    if not images and not tables:
        raise ProbeError(
            f"{pattern}: matches {len(matches)} files and no image among them: looked for "
            f"{' '.join(IMAGE_SUFFIXES)} and {PARQUET_SUFFIX}"
        )
    if is_remote(pattern):
        return [ProbeRef(match) for match in images] + _list_tables(tables, columns)
    refs = [ProbeRef(_local_uri(pattern, Path(match))) for match in images]
    return refs + _list_tables([_local_uri(pattern, Path(match)) for match in tables], columns)


def _list_tables(uris: Iterable[str], columns: _Columns) -> list[ProbeRef]:
    return [ref for uri in uris for ref in list_rows(uri, columns.image, columns.label)]


def _read_list(uri: str) -> list[ProbeRef]:
    try:
        text = read_bytes(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProbeError(f"{uri}: is not UTF-8 text: save the list as UTF-8") from error
    refs = []
    for number, line in enumerate(text.split("\n"), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        path, _, label = (part.strip() for part in entry.partition("\t"))
        if "\t" in label:
            raise ProbeError(
                f"{uri}, line {number}: has more than one tab: write PATH, or PATH, tab, LABEL"
            )
        refs.append(ProbeRef(_resolve(uri, path), label or None))
    if not refs:
        raise ProbeError(f"{uri}: lists no image: write one path or URI per line")
    return refs


def _resolve(list_uri: str, entry: str) -> str:
    """The URI of an entry of a list, which may be relative to the list's folder."""
    if is_remote(entry) or entry.startswith("package://"):
        return entry
    if os.path.isabs(entry) or entry.startswith(("~", "file://")):
        return os.path.abspath(local_path(entry))
    if "://" in list_uri:
        scheme, _, inside = list_uri.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(posixpath.dirname(inside), entry))}"
    return os.path.abspath(os.path.join(os.path.dirname(list_uri), entry))


def _local_uri(source: str, path: Path) -> str:
    """The path made absolute, or as ``package://`` where the source is: good on all machines."""
    if not source.startswith("package://"):
        return os.path.abspath(path)
    package = source.removeprefix("package://").partition("/")[0]
    inside = os.path.relpath(path, local_path(f"package://{package}"))
    return f"package://{package}/{Path(inside).as_posix()}"


def _walk(source: str, root: Path) -> Iterator[str]:
    """Yields the files below a folder as relative POSIX paths; follows links, each folder once."""

    def refuse(error: OSError) -> None:
        raise ProbeError(f"{source}: cannot be listed: {error}: check its permissions") from error

    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        yield from (Path(folder, name).relative_to(root).as_posix() for name in files)


def _near_siblings(path: Path) -> str:
    try:
        hint = near_names(path.name, os.listdir(path.parent))
    except OSError:
        return ""
    return f"; {hint}" if hint else ""


def _suffix(uri: str) -> str:
    return posixpath.splitext(uri)[1].lower()
