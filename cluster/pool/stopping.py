"""A request to stop, as SIGTERM and Ctrl-C make it: seen by every loop, obeyed in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from depara.errors import ScanInterruptedError
from depara.retries import give_up_within

_STORAGE_WAIT_S = 10.0
"""After a signal, how long a storage that does not answer is still asked."""


class StopSignal:
    """Set once, from a signal handler or another thread; ``reason`` says by what."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""
        self.signal_number: int | None = None

    def request(self, reason: str, signal_number: int | None = None) -> None:
        """Asks everything to stop."""
        if not self._event.is_set():
            self.reason, self.signal_number = reason, signal_number
            self._event.set()

    @property
    def requested(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    @property
    def message(self) -> str:
        """What to tell the user: that it stopped, and how to go on."""
        return (
            f"interrupted ({self.reason}): what is committed stays; run the same command again and "
            "it goes on from there"
        )

    def check(self) -> None:
        """Raises when a stop is requested.

        Raises:
            ScanInterruptedError: says how to go on later.
        """
        if self.requested:
            raise ScanInterruptedError(self.message)


@contextmanager
def stopping_on_signals(stop: StopSignal) -> Iterator[None]:
    """SIGTERM and SIGINT request a stop; a second one ends the process at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        give_up_within(_STORAGE_WAIT_S)
        stop.request(signal.Signals(number).name, number)

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
