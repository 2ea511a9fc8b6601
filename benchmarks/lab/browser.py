"""A headless Chromium, driven over a pipe: opens a page, asks it, and tells what it requested.

The DevTools protocol over file descriptors 3 and 4 (``--remote-debugging-pipe``) needs no port and
no package: messages are JSON, each ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--remote-debugging-pipe",
)
_ABOVE = 10
_TIMEOUT_S = 120.0


def find_chromium() -> str | None:
    """Returns the path of an installed Chromium, None without any; DEPARA_CHROMIUM names one."""
    named = os.environ.get("DEPARA_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(Exception):
    """The browser, or a script in the page, failed."""


class Browser:
    """One page in a Chromium of its own; use it in a ``with`` block."""

    def __init__(self, program: str, *, width: int = 1200, height: int = 900) -> None:
        self._program, self._size = program, (width, height)
        self._count, self._buffer = 0, b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, ours_out = _high_pipe()
        ours_in, theirs_out = _high_pipe()
        flags = [
            *FLAGS,
            f"--user-data-dir={self._folder.name}",
            f"--window-size={self._size[0]},{self._size[1]}",
        ]

        def place() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        self._process = subprocess.Popen(
            [self._program, *flags, "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=place,
            pass_fds=(3, 4),
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._read_fd, self._write_fd = ours_in, ours_out
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        found = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*self._size)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read_fd)
        os.close(self._write_fd)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Returns the result of a method of the DevTools protocol for this page."""
        return self._send(method, **params)

    def open(self, path: Path) -> float:
        """Opens a file and returns the seconds until its load event and its scripts have ended."""
        self.events.clear()
        started = time.perf_counter()
        answer = self.call("Page.navigate", url=path.resolve().as_uri())
        if "errorText" in answer:
            raise BrowserError(f"{path}: {answer['errorText']}")
        self._wait("Page.loadEventFired")
        self.ask("document.readyState")
        return time.perf_counter() - started

    def ask(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression, awaited where it is a promise.

        Raises:
            BrowserError: it throws.
        """
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"].get("exception", answer)))
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Presses a key, by its DOM name, such as ``Tab`` or ``ArrowDown``."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}
        codes |= {"ArrowDown": 40, "Home": 36, "End": 35}
        for kind in ("rawKeyDown", "keyUp"):
            code = codes.get(key, 0)
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=8 if shift else 0,
            )

    def resize(self, width: int, height: int) -> None:
        """Gives the page another size, CSS px."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def emulate(self, *, media: str = "", **features: str) -> None:
        """Emulates a medium (``print``) or media features such as ``prefers_color_scheme``."""
        found = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=found)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Writes a PNG of the page, or of what is in view."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(data["data"]))

    def pdf(self, path: Path) -> None:
        """Writes the page as it prints."""
        data = self.call("Page.printToPDF", printBackground=False)
        path.write_bytes(base64.b64decode(data["data"]))

    @property
    def requests(self) -> list[str]:
        """The addresses that the page has asked for since it was opened."""
        found = [one for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return [str(one["params"]["request"]["url"]) for one in found]

    @property
    def complaints(self) -> list[str]:
        """Exceptions, and errors that the browser logged, since the page was opened."""
        found = []
        for one in self.events:
            if one["method"] == "Runtime.exceptionThrown":
                found.append(str(one["params"]["exceptionDetails"]))
            elif one["method"] == "Log.entryAdded" and one["params"]["entry"]["level"] == "error":
                found.append(str(one["params"]["entry"]["text"]))
        return found

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write_fd, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _wait(self, event: str) -> None:
        while not any(one.get("method") == event for one in self.events):
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _TIMEOUT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read_fd], [], [], deadline - time.monotonic())
            data = os.read(self._read_fd, 1 << 20) if ready else b""
            if not data:
                raise BrowserError("Chromium ended, or does not answer")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


def _high_pipe() -> Sequence[int]:
    """Returns a pipe whose descriptors are above those that the browser listens to."""
    ends = os.pipe()
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in ends]
    for one in ends:
        os.close(one)
    return high
