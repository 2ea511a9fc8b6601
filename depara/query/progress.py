"""How a query tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much is: 0 of 0 where that is not known."""


def silent(what: str, done: int, total: int) -> None:
    """Tells nobody."""
