"""A gate that forward passes wait at: so a fault hits a unit that is surely under way.

The gate is a folder that test and workers share. `hold-NAME` in it, with the number of passes to
let through first, stops the model NAME; a model that waits says so in `waits-NAME-PID`, with the
process id of its node's raylet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.02


@dataclass(frozen=True)
class Waiting:
    """A model that waits at the gate: its worker's process id and that of the node's raylet."""

    name: str
    pid: int
    raylet_pid: int


@dataclass(frozen=True)
class Gate:
    """The test's side of the gate."""

    folder: Path

    @contextmanager
    def holding(self, *names: str, after: int = 0) -> Iterator[None]:
        """Holds these models once each has made `after` passes; lets them go at the end."""
        for name in names:
            _write(self.folder / f"hold-{name}", str(after))
        try:
            yield
        finally:
            self.release(*names)

    def release(self, *names: str) -> None:
        """Lets models go, and forgets that they waited."""
        for name in names:
            (self.folder / f"hold-{name}").unlink(missing_ok=True)
            for path in self.folder.glob(f"waits-{name}-*"):
                path.unlink(missing_ok=True)

    def waiting(self) -> list[Waiting]:
        """Returns who waits and is alive."""
        found = []
        for path in sorted(self.folder.glob("waits-*")):
            _, name, pid = path.name.split("-")
            if is_alive(int(pid)):
                found.append(Waiting(name, int(pid), int(path.read_text())))
        return found

    def wait_for(self, count: int = 1, timeout_s: float = 60.0) -> list[Waiting]:
        """Returns who waits as soon as `count` models do."""
        deadline_s = time.monotonic() + timeout_s
        while len(found := self.waiting()) < count:
            assert time.monotonic() < deadline_s, f"{len(found)} of {count} models came to the gate"
            time.sleep(_POLL_S)
        return found


def pass_gate(folder: Path, name: str, passes: int) -> None:
    """Waits while the gate holds `name`; the workers' side of the gate.

    Args:
        folder: of the gate.
        name: the model.
        passes: how many passes it has made.
    """
    hold = folder / f"hold-{name}"
    sign = folder / f"waits-{name}-{os.getpid()}"
    while True:
        try:
            if passes < int(hold.read_text()):
                return
        except FileNotFoundError:  # not held, or not any more
            sign.unlink(missing_ok=True)
            return
        if not sign.exists():
            _write(sign, str(os.getppid()))
        time.sleep(_POLL_S)


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _write(path: Path, text: str) -> None:
    """Writes a file that is never seen half-written."""
    staged = path.parent / f".{path.name}"
    staged.write_text(text)
    staged.rename(path)
