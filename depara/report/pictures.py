"""Attributions and graphs of some models as small pictures, within a size limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from depara.results import ScanResults


@dataclass(frozen=True)
class Gallery:
    """Pictures; ``num_bytes`` of them as text."""

    num_bytes: int = 0

    def record(self, places: Mapping[str, int]) -> dict[str, Any] | None:
        return None


def make_gallery(scan: ScanResults, order: Sequence[str], count: int | None) -> Gallery:
    """Returns the pictures."""
    return Gallery()
