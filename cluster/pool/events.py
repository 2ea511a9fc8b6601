"""What the loop says of its work while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something to show: kind is ready, started, unit (done), group, lost, requeued or tick."""

    kind: str
    group: str = ""
    detail: str = ""
    unit: str = ""


OnEvent = Callable[[Event], None]
