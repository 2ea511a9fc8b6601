"""A reverse proxy on loopback that delivers the faults of object storages, by seed and number."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from benchmarks.lab.wire import HOP_HEADERS, Message, Upstream, read_request, reset

KINDS = ("slow_down", "internal_error", "reset", "reset_after", "timeout", "truncated")
"""What can be delivered in place of an answer.

- slow_down: 503 SlowDown, without asking the server.
- internal_error: 500 InternalError, without asking the server.
- reset: the connection is reset, without asking the server.
- reset_after: the server does what is asked, then the connection is reset without an answer.
- timeout: the server does what is asked, its answer is withheld for `hold_s`, then the connection
  is closed.
- truncated: half of the answer's body, then the connection is closed; without a body, as
  reset_after.
"""

_REFUSALS = {
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "internal_error": (500, "InternalError", "We encountered an internal error."),
    "not_implemented": (501, "NotImplemented", "A header you provided is not implemented."),
}
_CONDITIONS = {b"if-match", b"if-none-match"}


@dataclass
class Counts:
    """What went through: by method, by kind of path, and the faults by kind."""

    requests: Counter[str] = field(default_factory=Counter)
    paths: Counter[tuple[str, str]] = field(default_factory=Counter)
    bytes_in: Counter[str] = field(default_factory=Counter)
    bytes_out: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(self.requests.values())


class FaultProxy:
    """Stands before an S3 endpoint and lets each kind of fault happen at a rate.

    The client's Host header reaches the server as it is, and with it the client's signature holds.

    Args:
        endpoint: ``http://host:port`` of the server.
        rate: probability of each kind, of each request: 0.05 and all six kinds make 30 % faulty.
        kinds: which of `KINDS`.
        seed: the fault of request number n is a function of the seed and n alone.
        first: so many requests at the start have a fault for certain, of the kinds in turn.
        only: which requests may have one, by method and path with query; others are not numbered.
        hold_s: how long `timeout` withholds; longer than the client's read timeout.
        conditions: what becomes of If-Match and If-None-Match: ``pass``; ``strip`` takes them away,
            as for a server that ignores them (one that checks signatures refuses the request);
            ``refuse`` answers 501 NotImplemented.
    """

    def __init__(
        self,
        endpoint: str,
        rate: float = 0.05,
        kinds: Sequence[str] = KINDS,
        seed: int = 0,
        *,
        first: int = 0,
        only: Callable[[str, str], bool] = lambda method, path: True,
        hold_s: float = 5.0,
        conditions: Literal["pass", "strip", "refuse"] = "pass",
    ) -> None:
        assert set(kinds) <= set(KINDS)
        assert rate * len(kinds) <= 1
        self.rate, self.kinds, self.seed, self.first = rate, tuple(kinds), seed, first
        self.only, self.hold_s, self.conditions = only, hold_s, conditions
        self.counts = Counts()
        self._upstream = (urlsplit(endpoint).hostname, urlsplit(endpoint).port)
        self._number = 0
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> FaultProxy:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()
        self._call(self._end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def aim(self, first: int, only: Callable[[str, str], bool]) -> None:
        """Starts to number requests anew, of which these are to fail; see the class."""
        self.first, self.only, self._number = first, only, 0

    def down(self) -> None:
        """Refuses connections from now on, and resets those that stand."""
        self._call(self._close())

    def up(self) -> None:
        """Accepts connections, on the same port as before."""
        self._call(self._listen())

    def fault_of(self, number: int) -> str | None:
        """Returns the kind of fault of the request of this number, counted from 0; None: none."""
        if number < self.first:
            return self.kinds[number % len(self.kinds)]
        place = random.Random(f"{self.seed} {number}").random()
        index = int(place / self.rate) if self.rate else len(self.kinds)
        return self.kinds[index] if index < len(self.kinds) else None

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        assert self._server is None
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, reuse_address=True
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            reset(writer)

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream = Upstream(*self._upstream)
        try:
            while request := await read_request(reader, writer):
                if not await self._answer(request, writer, upstream):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the proxy ends
        finally:
            self._writers.discard(writer)
            upstream.close()
            writer.close()

    async def _answer(
        self, request: Message, writer: asyncio.StreamWriter, upstream: Upstream
    ) -> bool:
        """Answers one request, or delivers a fault; whether the connection goes on."""
        method, path, _ = request.start.decode("latin-1").split(" ", 2)
        self._count(method, path, request)
        fault = self._draw(method, path)
        if self.conditions == "refuse" and any(request.header(name) for name in _CONDITIONS):
            fault = "not_implemented"
        if fault in _REFUSALS:
            writer.write(_refusal(method, *_REFUSALS[fault]).encoded())
            await writer.drain()
            return True
        if fault == "reset":
            return reset(writer)
        dropped = HOP_HEADERS | (_CONDITIONS if self.conditions == "strip" else set())
        answer = await upstream.ask(request.encoded(dropped), method)
        if fault == "timeout":
            await asyncio.sleep(self.hold_s)
            return reset(writer)
        if fault == "reset_after" or (fault == "truncated" and not answer.body):
            return reset(writer)
        if fault == "truncated":
            answer.body = answer.body[: len(answer.body) // 2]
        self.counts.bytes_out[method] += len(answer.body)
        writer.write(answer.encoded())
        await writer.drain()
        return fault is None

    def _draw(self, method: str, path: str) -> str | None:
        if not self.only(method, path):
            return None
        fault = self.fault_of(self._number)
        self._number += 1
        if fault:
            self.counts.faults[fault] += 1
        return fault

    def _count(self, method: str, path: str, request: Message) -> None:
        self.counts.requests[method] += 1
        self.counts.paths[method, path_kind(path)] += 1
        self.counts.bytes_in[method] += len(request.body)


def path_kind(path: str) -> str:
    """Returns what a request is about: list, delete, or the name of a file, numbers as a star."""
    split = urlsplit(path)
    if "list-type=" in split.query:
        return "list"
    if split.query.startswith("delete"):
        return "delete"
    name = unquote(split.path).rpartition("/")[2]
    return re.sub(r"[0-9a-f]{8,}|\d+", "*", name)


def _refusal(method: str, status: int, code: str, text: str) -> Message:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message></Error>"
    headers = [(b"Content-Type", b"application/xml"), (b"Content-Length", str(len(body)).encode())]
    sent = b"" if method == "HEAD" else body.encode()
    return Message(f"HTTP/1.1 {status} {code}".encode(), headers, sent)
