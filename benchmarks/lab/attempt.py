"""One attempt at a scan: `jobs.scan` as a process of its own, watched line by line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
PHASES = ("probes", "models", "graphs", "similarity", "analysis")
_UNIT = re.compile(r"unit (started|done): (.+) (extract \S+|commit|resolve|decode)$")
_PHASE = re.compile(r"(\w+): \d+ (images|models opened|units|tiles|tasks)$")


@dataclass(frozen=True)
class Line:
    """A printed line and when, in seconds since the process started."""

    text: str
    at_s: float


class Attempt:
    """A scan that runs; ends with it, and with the `with` block at the latest.

    Args:
        arguments: of `jobs.scan`.
        env: beside that of this process.
        module: what is run in place of `jobs.scan`.
        before: command in front of it all.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        module: str = "jobs.scan",
        before: Sequence[str] = (),
    ) -> None:
        self.lines: list[Line] = []
        self._news = threading.Condition()
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self.wait()

    @property
    def pid(self) -> int:
        """Of the driver."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return "\n".join(line.text for line in self.lines)

    @property
    def is_running(self) -> bool:
        """Whether the driver lives."""
        return self._process.poll() is None

    def units(self, event: str = "started") -> Counter[str]:
        """Returns how often each unit, as ``GROUP UNIT``, was started (or done)."""
        return find_units(self.output, event)

    def phases(self) -> list[tuple[str, float]]:
        """Returns the phases that were begun and when, in seconds since the start."""
        found = ((_PHASE.match(line.text), line.at_s) for line in self.lines)
        return [(m[1], at_s) for m, at_s in found if m]

    def wait_until(self, is_so: Callable[[], bool], what: str, timeout_s: float = 90.0) -> None:
        """Waits until something about the lines is so; fails when the driver ends before."""
        deadline_s = time.monotonic() + timeout_s
        with self._news:
            while not is_so():
                left_s = deadline_s - time.monotonic()
                assert self._reader.is_alive(), f"ended before {what}:\n{self.output}"
                assert left_s > 0, f"no sign of {what} in {timeout_s} s:\n{self.output}"
                self._news.wait(min(left_s, 0.5))

    def wait_for(self, part: str, timeout_s: float = 90.0) -> None:
        """Waits for a line that contains `part`."""
        self.wait_until(lambda: part in self.output, repr(part), timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the driver alone, which must be alive."""
        assert self.is_running, f"ended before {number.name}:\n{self.output}"
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 150.0) -> int:
        """Returns the exit code once the driver has ended; a signal's is negative."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end after {timeout_s} s:\n{self.output}") from None
        # A child that outlives the driver may keep the pipe open: what the driver said is read.
        self._reader.join(10)
        if not self._reader.is_alive() and self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def complete(self, code: int = 0, timeout_s: float = 150.0) -> Self:
        """Waits for the end, which must be this exit code."""
        got = self.wait(timeout_s)
        assert got == code, f"exit code {got}, expected {code}:\n{self.output}"
        assert "Traceback" not in self.output, self.output
        return self

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            with self._news:
                self.lines.append(Line(text.rstrip("\n"), time.monotonic() - self._started_s))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def find_units(output: str, event: str = "started") -> Counter[str]:
    """Returns how often each unit, as ``GROUP UNIT``, was started (or done) by a scan's output."""
    found = (_UNIT.search(line) for line in output.splitlines())
    return Counter(f"{m[2]} {m[3]}" for m in found if m and m[1] == event)


def units_twice(outputs: Sequence[str]) -> int:
    """Returns how many units were started again: the work that a fault has cost."""
    total = sum(map(find_units, outputs), Counter[str]())
    return sum(count - 1 for count in total.values())
