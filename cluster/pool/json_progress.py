"""Progress as structured logs: one JSON object per line, for collectors of logs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from cluster.pool.progress import PLAIN_EVERY_S, Reporter
from depara.texts import all_storable


def _utc_now() -> datetime:
    return datetime.now(UTC)


class JsonReporter(Reporter):
    """A line when a phase begins, for each note and failure, and for progress at most every 30 s.

    Every line has ``time`` (ISO, UTC), ``level`` and ``event``: ``phase``, ``progress``, ``note``,
    ``failed`` or ``end``. A phase says ``total`` and ``what``; progress has the fields of the
    reporter's `snapshot` without the phases that are over; notes and failures have a ``message``.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        super().__init__(clock)
        self._stream = stream or sys.stdout
        self._shown_s = clock()
        self._now = now

    def phase(self, name: str, total: int, what: str) -> None:
        """Starts a phase, and says so."""
        super().phase(name, total, what)
        self._shown_s = self._clock()
        self._write("phase", phase=name, total=total, what=what)

    def note(self, message: str) -> None:
        """Writes one message at once."""
        self._write("note", message=message)

    def fail(self, message: str) -> None:
        """Counts and writes a failure."""
        self.failures += 1
        self._write("failed", "error", message=message, failures=self.failures)

    def refresh(self) -> None:
        """Writes the state when the last one is 30 s old."""
        if self._clock() - self._shown_s >= PLAIN_EVERY_S:
            self._shown_s = self._clock()
            self._write("progress", **self._state())

    def close(self) -> None:
        """Writes how far the last phase came."""
        self._write("end", **self._state())

    def _state(self) -> dict[str, Any]:
        tree = self.snapshot()
        phases = tree.pop("phases")
        return {**(phases[-1] if phases else {}), **tree}

    def _write(self, event: str, level: str = "info", /, **fields: Any) -> None:
        line = {
            "time": self._now().isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            **all_storable(fields),
        }
        print(json.dumps(line), file=self._stream, flush=True)
