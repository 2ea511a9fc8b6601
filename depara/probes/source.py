"""Where probes come from: folders, globs, prefixes, text lists and Parquet files to references."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
from depara.probes.addresses import resolve, suffix_of
from depara.probes.coco import annotated
from depara.probes.columns import BoxColumns
from depara.probes.foreign import LeftOut, count_left_out, describe_left_out, kind_of_name
from depara.probes.formats import IMAGE_SUFFIXES
from depara.probes.parquet import PARQUET_SUFFIX, list_rows, parse_row_uri
from depara.probes.storage import read_bytes, storage_errors
from depara.retries import persist
from depara.types import ProbeRef

_LIST_SUFFIX = ".txt"
_ACCEPTED = (
    f"a folder, a glob, a URI prefix, an image ({' '.join(IMAGE_SUFFIXES)}), a text list "
    f"({_LIST_SUFFIX}) or a Parquet file ({PARQUET_SUFFIX})"
)


@dataclass(frozen=True)
class FoundProbes:
    """The images of a source by ascending URI, and the files beside them that were left out."""

    refs: tuple[ProbeRef, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class _Search:
    """The columns to look for in tables, and the names of the files that were left out so far."""

    image: str | None
    label: str | None
    boxes: BoxColumns | None = None
    left_out: set[str] = field(default_factory=set)


def find_probes(
    source: str | Sequence[str],
    *,
    column: str | None = None,
    label_column: str | None = None,
    boxes: BoxColumns | None = None,
    annotations: str | None = None,
) -> FoundProbes:
    """Returns where every image of the source is, each URI once, and what else lies there.

    Decodes nothing.

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
        boxes: columns of Parquet files with the objects of each picture; None: there are none.
        annotations: COCO file with the objects of pictures, see `depara.probes.coco`.

    Raises:
        ProbeError: missing or unreadable source, one without images, a Parquet file without the
            column, or annotations that are none of these images.
        ConfigError: unknown scheme or package.
        StorageUnavailableError: a remote storage did not answer for too long.
    """
    sources = [source] if isinstance(source, str) else list(source)
    if not sources:
        raise ProbeError(f"probes.source is an empty list: name {_ACCEPTED}")
    search = _Search(column, label_column, boxes)
    refs: dict[str, ProbeRef] = {}
    for each in sources:
        for ref in _list_source(each, search):
            refs.setdefault(ref.uri, ref)
    rows = (parse_row_uri(uri) for uri in refs)
    used = {*refs, *(row.file for row in rows if row is not None)}
    found = sorted(refs.values(), key=lambda ref: ref.uri)
    if annotations is not None:
        found = annotated(found, annotations)
        used.add(annotations)
    if boxes is not None and all(ref.objects is None for ref in found):
        raise ProbeError(
            f"probes.boxes_column {boxes.boxes!r}: no picture of {source!r} has a list of boxes: "
            "name a Parquet file that has, or leave boxes_column out"
        )
    return FoundProbes(
        tuple(found),
        count_left_out(search.left_out - used),
    )


def _list_source(source: str, search: _Search) -> list[ProbeRef]:
    if not source.strip():
        raise ProbeError(f"probes.source is empty: name {_ACCEPTED}")
    if is_remote(source):
        return _list_remote(source, search)
    path = local_path(source)
    if path.is_dir():
        names = _walk(source, path)
        return _list_folder(source, names, lambda name: _local_uri(source, path / name), search)
    if path.exists():
        return _list_file(_local_uri(source, path), search)
    if has_glob(source):
        return _list_glob(source, search)
    raise ProbeError(f"{source}: does not exist{_near_siblings(path)}: name {_ACCEPTED}")


def _list_remote(source: str, search: _Search) -> list[ProbeRef]:
    if is_glob(source):
        return _list_glob(source, search)
    filesystem = remote_filesystem(source)
    root = filesystem._strip_protocol(source)
    is_named_file = suffix_of(source) in (*IMAGE_SUFFIXES, _LIST_SUFFIX, PARQUET_SUFFIX)

    def find() -> list[str]:
        is_file = is_named_file and filesystem.isfile(root)
        return [root] if is_file else list(filesystem.find(root))

    with storage_errors(source):
        keys = persist("list", redact(source), find)
    if keys == [root]:
        return _list_file(source, search)
    if not keys:
        raise ProbeError(f"{source}: does not exist or is empty: name {_ACCEPTED}")
    prefix = root.rstrip("/") + "/"
    names = [key.removeprefix(prefix) for key in keys]
    return _list_folder(
        source, names, lambda name: str(filesystem.unstrip_protocol(prefix + name)), search
    )


def _list_file(uri: str, search: _Search) -> list[ProbeRef]:
    suffix = suffix_of(uri)
    if suffix == _LIST_SUFFIX:
        return _read_list(uri)
    if suffix == PARQUET_SUFFIX:
        return _list_tables(uri, [uri], search)
    if suffix in IMAGE_SUFFIXES:
        return [ProbeRef(uri)]
    kind = kind_of_name(uri)
    known = f" but of the kind {kind.name} ({kind.way_out})" if kind else ""
    raise ProbeError(f"{uri}: is no source of probes{known}: name {_ACCEPTED}")


def _list_folder(
    source: str, names: Iterable[str], uri_of: Callable[[str], str], search: _Search
) -> list[ProbeRef]:
    """References of the visible files among the names, which are relative to the folder."""
    visible = [name for name in names if not any(p.startswith(".") for p in name.split("/"))]
    images = [name for name in visible if suffix_of(name) in IMAGE_SUFFIXES]
    if not images:
        tables = _data_tables(visible)
        if tables:
            others = [name for name in visible if suffix_of(name) != PARQUET_SUFFIX]
            search.left_out.update(uri_of(name) for name in others)
            return _list_tables(source, [uri_of(name) for name in tables], search)
        raise ProbeError(
            f"{source}: holds no image among {len(visible)} files: looked in it and below for "
            f"{' '.join(IMAGE_SUFFIXES)}, and for {PARQUET_SUFFIX}{_what_is_there(visible)}"
        )
    search.left_out.update(uri_of(name) for name in set(visible).difference(images))
    classes = {name.partition("/")[0] for name in images if "/" in name}
    return [
        ProbeRef(uri_of(name), name.partition("/")[0] if len(classes) > 1 and "/" in name else None)
        for name in images
    ]


def _data_tables(names: Sequence[str]) -> list[str]:
    """The Parquet files among the names, without the own ones of writers (``_delta_log/...``)."""
    tables = [name for name in names if suffix_of(name) == PARQUET_SUFFIX]
    return [n for n in tables if not any(p.startswith("_") for p in n.split("/"))] or tables


def _list_glob(pattern: str, search: _Search) -> list[ProbeRef]:
    with storage_errors(pattern):
        matches = expand_glob(pattern)
    images = [match for match in matches if suffix_of(match) in IMAGE_SUFFIXES]
    tables = [match for match in matches if suffix_of(match) == PARQUET_SUFFIX]
    if not images and not tables:
        raise ProbeError(
            f"{pattern}: matches {len(matches)} files and no image among them: looked for "
            f"{' '.join(IMAGE_SUFFIXES)} and {PARQUET_SUFFIX}{_what_is_there(matches)}"
        )

    def uri_of(match: str) -> str:
        return match if is_remote(pattern) else _local_uri(pattern, Path(match))

    search.left_out.update(uri_of(match) for match in set(matches).difference(images, tables))
    refs = [ProbeRef(uri_of(match)) for match in images]
    return refs + _list_tables(pattern, [uri_of(match) for match in tables], search)


def _list_tables(source: str, uris: Sequence[str], search: _Search) -> list[ProbeRef]:
    """The rows of some Parquet files; shards without rows are passed over."""
    refs = [ref for uri in uris for ref in list_rows(uri, search.image, search.label, search.boxes)]
    if uris and not refs:
        which = uris[0] if len(uris) == 1 else f"{source}: each of {len(uris)} Parquet files"
        raise ProbeError(f"{which}: has no rows: name a Parquet file that holds images")
    return refs


def _what_is_there(names: Iterable[str]) -> str:
    left_out = count_left_out(names)
    return f"; found were {describe_left_out(left_out)}" if left_out else ""


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
        refs.append(ProbeRef(resolve(uri, path), label or None))
    if not refs:
        raise ProbeError(f"{uri}: lists no image: write one path or URI per line")
    return refs


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
