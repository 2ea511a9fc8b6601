"""The registry of model sources, by the word before the colon."""

from __future__ import annotations

from functools import cache

from depara.catalog import SOURCES, load
from depara.errors import ModelError, near_names
from depara.models.source import Source


def find_source(source: str) -> tuple[Source, str]:
    """Returns the source and the model's name in it, of ``torchvision:NAME`` and the like.

    Raises:
        ModelError: no such source, or no name.
    """
    kind, _, name = source.partition(":")
    if kind in SOURCES and name:
        return _source(kind), name
    *forms, last = (row.form for row in SOURCES.values())
    expected = f"{', '.join(forms)} or {last}"
    hint = near_names(kind, SOURCES)
    raise ModelError(
        f"{source!r} names no model: expected {expected}" + (f"; {hint}" if hint else "")
    )


@cache
def _source(kind: str) -> Source:
    source: Source = load(SOURCES[kind].code)()
    return source
