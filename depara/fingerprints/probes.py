"""The fingerprint of a draw of probes: of everything that the probe set depends on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from depara.config import ProbesConfig
from depara.fingerprints.files import file_identities
from depara.fingerprints.versions import package_versions
from depara.identity import short_hash
from depara.locations import is_glob, is_remote
from depara.types import ProbeRef

PROBES_VERSION = 2
"""Raised when unchanged images give other canvases: all are then decoded again."""

_ROW = re.compile(r"(.+\.parquet)#\d+", re.IGNORECASE | re.DOTALL)
_PACKAGES = ("numpy", "pillow", "pillow-heif", "pyarrow")
_TOLD_BY_REFS = ("boxes_column", "box_labels_column", "annotations")


def probes_fingerprint(
    refs: Sequence[ProbeRef], config: ProbesConfig, canvas_side: int
) -> str | None:
    """Returns a fingerprint (32 hexadecimal digits) of the probe set, or None: decode it.

    Two equal fingerprints mean that decoding would give the same probes and the same failures. It
    covers the candidates in the order of the draw with their labels and objects, the identity of
    the file behind each, the settings of the draw, the canvas side, and the versions of what
    decodes.

    None means that a file cannot be told without reading it: one is missing, or its storage does
    not answer. Decoding then reports it.

    Args:
        refs: all candidates, in the order in which they are drawn.
        config: the ``probes`` section; its source is told by the references.
        canvas_side: px.
    """
    files = [_file(ref.uri) for ref in refs]
    identities = file_identities(files, _remote_folders(config, files))
    if any(identities[file] is None for file in files):
        return None
    content = {
        "probes_version": PROBES_VERSION,
        "canvas_side": canvas_side,
        "config": config.model_dump(mode="json", exclude={"source", *_TOLD_BY_REFS}),
        "versions": package_versions(_PACKAGES),
        "refs": [_told(ref) for ref in refs],
        "files": identities,
    }
    return short_hash(content)


def _told(ref: ProbeRef) -> list[Any]:
    """What a reference says; keys without objects must not move."""
    objects = [] if ref.objects is None else [ref.objects]
    return [ref.uri, ref.label, ref.column, *objects]


def _file(uri: str) -> str:
    """The file behind a reference; of a Parquet row, the Parquet file."""
    row = _ROW.fullmatch(uri)
    return row[1] if row else uri


def _remote_folders(config: ProbesConfig, files: Sequence[str]) -> Iterator[str]:
    """Yields the remote folders among the sources.

    They were listed whole to find the images, so that to list them again costs no more, while
    their sub-folders one by one may be a thousand classes.
    """
    sources = [config.source] if isinstance(config.source, str) else config.source
    for source in sources:
        folder = source.rstrip("/") + "/"
        is_folder = is_remote(source) and not is_glob(source)
        if is_folder and any(file.startswith(folder) for file in files):
            yield source
