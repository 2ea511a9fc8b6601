"""HTTP/1.1 messages as they are on the wire, for a proxy that changes as little as it can."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

HOP_HEADERS = {b"connection", b"expect", b"keep-alive", b"proxy-connection"}
"""Headers about one connection only, which are not passed on."""

_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass
class Message:
    """A request or an answer: first line, header lines as they came, whole body."""

    start: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """Returns the value of a header, its name in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def encoded(self, without: set[bytes] = HOP_HEADERS) -> bytes:
        lines = [key + b": " + value for key, value in self.headers if key.lower() not in without]
        return b"\r\n".join([self.start, *lines, b"", b""]) + self.body


class Upstream:
    """The connection to the server that belongs to one client's connection."""

    def __init__(self, host: str | None, port: int | None) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, method: str) -> Message:
        """Returns the server's answer; a connection that the server closed meanwhile is renewed."""
        for is_last in (self._streams is None, True):
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            try:
                writer.write(request)
                await writer.drain()
                answer = await read_answer(reader, method)
            except (OSError, asyncio.IncompleteReadError):
                self.close()
                if is_last:
                    raise
                continue
            if (answer.header(b"connection") or b"").lower() == b"close":
                self.close()
            return answer
        raise AssertionError

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Message | None:
    """Returns the next request of a connection, or None at its end."""
    try:
        message = await _read_head(reader)
    except asyncio.IncompleteReadError:
        return None
    if (message.header(b"expect") or b"").lower() == b"100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    message.body = await _read_body(reader, message)
    return message


async def read_answer(reader: asyncio.StreamReader, method: str) -> Message:
    """Returns the answer to a request of this method."""
    while True:
        message = await _read_head(reader)
        status = message.start.split(b" ")[1]
        if status != b"100":
            break
    if method != "HEAD" and status not in (b"204", b"304"):
        message.body = await _read_body(reader, message)
    return message


async def _read_head(reader: asyncio.StreamReader) -> Message:
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head[:-4].split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return Message(start, [(name, value.strip()) for name, _, value in pairs])


async def _read_body(reader: asyncio.StreamReader, message: Message) -> bytes:
    """Returns the body as it is on the wire, chunk marks included."""
    if (message.header(b"transfer-encoding") or b"").lower() == b"chunked":
        parts = []
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            parts += [line, await reader.readexactly(size + 2)]
            if not size:
                return b"".join(parts)
    return await reader.readexactly(int(message.header(b"content-length") or 0))


def reset(writer: asyncio.StreamWriter) -> bool:
    """Ends a connection with RST, not FIN."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()
    return False
