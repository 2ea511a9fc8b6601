"""A clock of processor time: that of this process and of all that it has started, dead ones too.

Where others use the machine as well, seconds on the wall are those of the load; these are not.
Linux alone: it looks at ``/proc``.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

_LOOK_EVERY_S = 0.25
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_PARENT, _USER, _SYSTEM, _STARTED = 1, 11, 12, 19
"""Fields of ``/proc/PID/stat`` behind the name, see proc(5)."""


class CpuClock:
    """Returns processor seconds when called; between calls it looks often, so that little of a
    process that ends is lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ticks: dict[tuple[int, int], int] = {}
        threading.Thread(target=self._look_on, daemon=True, name="cpu-clock").start()

    def __call__(self) -> float:
        """Returns the seconds that all of them have used until now."""
        with self._lock:
            self._look()
            return sum(self._ticks.values()) / _TICKS_PER_S

    def _look_on(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LOOK_EVERY_S):
            with self._lock:
                self._look()

    def _look(self) -> None:
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:  # it has ended
                    continue
                found[int(folder.name)] = [int(fields[place]) for place in _FIELDS]
        mine = {os.getpid()}
        grown = True
        while grown:
            more = {pid for pid, (parent, *_) in found.items() if parent in mine}
            grown = not more <= mine
            mine |= more
        for pid in mine & found.keys():
            _, user, system, started = found[pid]
            self._ticks[pid, started] = user + system


_FIELDS = (_PARENT, _USER, _SYSTEM, _STARTED)
