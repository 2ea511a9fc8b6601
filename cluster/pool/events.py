"""What the loop says of its work while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from depara.types import Failure


@dataclass(frozen=True)
class Event:
    """Something to show: kind is ready, started, unit (done), group, lost, requeued or tick.

    ``failure`` is what a group has failed by, if it has.
    """

    kind: str
    group: str = ""
    detail: str = ""
    unit: str = ""
    failure: Failure | None = None


OnEvent = Callable[[Event], None]
