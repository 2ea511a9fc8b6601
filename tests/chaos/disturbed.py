"""`jobs.scan` with a disturbance inside the driver: `python -m tests.chaos.disturbed HOW ...`.

HOW is one of
``jump:SECONDS``    the wall clock jumps by so many seconds soon after the scan began;
``kill-before:NAME`` the driver is killed when it is about to write a file of this name;
``kill-after:NAME``  the driver is killed when it has just written one.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import cluster.scan
from depara.store.storage import Storage
from jobs.scan import app

_WRITES = ("create", "ensure", "replace", "swap")


def main() -> None:
    """Disturbs and scans."""
    how, _, argument = sys.argv.pop(1).partition(":")
    if how == "jump":
        jump(float(argument))
    else:
        kill_at_write(argument, before=how == "kill-before")
    app()


def jump(seconds: float) -> None:
    """Lets both clocks of the driver that tell the time of day jump a second after the scan began,
    however long the driver took to begin it."""
    tell_date, tell_s = cluster.scan.utc_now, time.time
    jumps_at_s = math.inf

    def passed() -> float:
        return seconds if time.monotonic() > jumps_at_s else 0.0

    def date() -> Any:
        nonlocal jumps_at_s
        if jumps_at_s == math.inf:
            jumps_at_s = time.monotonic() + 1.0
        return tell_date() + timedelta(seconds=passed())

    def posix_s() -> float:
        return tell_s() + passed()

    cluster.scan.utc_now = date
    time.time = posix_s


def kill_at_write(name: str, *, before: bool) -> None:
    """Lets this process be killed around the first write of a file of this name."""

    def deadly(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Storage, path: str, *args: Any, **kwargs: Any) -> Any:
            is_it = path.rpartition("/")[2] == name
            if is_it and before:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = write(self, path, *args, **kwargs)
            if is_it:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return wrapped

    for method in _WRITES:
        setattr(Storage, method, deadly(getattr(Storage, method)))


if __name__ == "__main__":
    main()
