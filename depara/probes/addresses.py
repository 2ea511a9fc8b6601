"""Addresses of probes: what a name is relative to, and what its suffix is."""

from __future__ import annotations

import os
import posixpath

from depara.locations import is_remote, local_path
from depara.texts import unescaped


def suffix_of(uri: str) -> str:
    """Returns the last suffix of a path or URI in lower case, with its dot; empty without one."""
    return posixpath.splitext(uri)[1].lower()


def resolve(beside: str, entry: str) -> str:
    r"""Returns the URI of an entry of a list or table, which may be relative to that file's folder.

    A local name in which bytes that are not UTF-8 are written ``\xNN``, as tables have them, is
    found too.

    Args:
        beside: path or URI of the list or table.
        entry: path or URI.
    """
    if is_remote(entry) or entry.startswith("package://"):
        return entry
    if os.path.isabs(entry) or entry.startswith(("~", "file://")):
        return _existing(os.path.abspath(local_path(entry)))
    if "://" in beside and not beside.startswith("file://"):
        scheme, _, inside = beside.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(posixpath.dirname(inside), entry))}"
    return _existing(os.path.abspath(os.path.join(os.path.dirname(local_path(beside)), entry)))


def _existing(path: str) -> str:
    raw = unescaped(path)
    return raw if raw != path and not os.path.lexists(path) and os.path.lexists(raw) else path
