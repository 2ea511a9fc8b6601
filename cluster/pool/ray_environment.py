"""What the environment tells Ray: the cluster's address, and the folder of a local one.

Both are tried here first: Ray waits for minutes, or names no setting.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from depara.errors import ClusterError

_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
"""The longest name that the system gives to a socket."""

_BELOW_BYTES = len("/ray/session_2026-01-31_02-00-00_000000_1234567/sockets/plasma_store.12")
"""What Ray puts below the temporary folder, at its longest."""

_ANSWER_S = 5.0
_FRAME_TYPE, _SETTINGS = 3, 4
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
"""The start of every HTTP/2 connection, as Ray's are, with an empty frame of settings; the answer
begins with such a frame (RFC 9113, 3.4)."""

_SHORT = "/tmp"
_VARIABLES = ("RAY_TMPDIR", "TMPDIR")


def cluster_address() -> str | None:
    """Returns the address in ``RAY_ADDRESS``; None without one, where a local Ray is started."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return None if address in ("", "local") else address


def check_address(address: str) -> None:
    """Tells an address where no cluster can be; what else is wrong there, Ray tells.

    Raises:
        ClusterError: nothing listens, or something of another kind; with the way out.
    """
    scheme, separator, place = address.rpartition("://")
    host, colon, port = place.rpartition(":")
    if separator and scheme != "ray":
        raise ClusterError(
            f"RAY_ADDRESS={address} is no address of a cluster: that is HOST:PORT (the port of "
            "`ray start --head`, by default 6379). For job commands set RAY_API_SERVER_ADDRESS "
            "instead"
        )
    if not (colon and port.isdigit()):
        return  # `auto`, or a form that Ray itself explains
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S) as connection:
            answer = b"" if separator or os.environ.get("RAY_USE_TLS") else _greet(connection)
    except OSError as error:
        raise ClusterError(
            f"RAY_ADDRESS={address}: nothing answers there ({error.strerror or error}): start the "
            "cluster, correct the address, or unset RAY_ADDRESS to run on this machine alone"
        ) from error
    if len(answer) > _FRAME_TYPE and answer[_FRAME_TYPE] != _SETTINGS:
        raise ClusterError(
            f"RAY_ADDRESS={address} is another server, such as Ray's dashboard, and no cluster: "
            "give the port of `ray start --head`, by default 6379"
        )


def _greet(connection: socket.socket) -> bytes:
    """The first bytes of the answer, if one comes."""
    try:
        connection.sendall(_HTTP2_GREETING)
        return connection.recv(16)
    except OSError:
        return b""


@contextlib.contextmanager
def ray_folder() -> Iterator[str | None]:
    """Gives the folder for a local Ray, or None for the one that Ray takes by itself.

    Where the temporary folder's name is too long for sockets, as batch systems set it, that is a
    link with a short name: what Ray writes still lies where ``TMPDIR`` says. The link is removed
    at the end.

    Raises:
        ClusterError: the temporary folder cannot be used.
    """
    name = next((name for name in _VARIABLES if name in os.environ), None)
    folder = os.environ[name] if name else _SHORT
    shown = f"{name}={folder}" if name else folder
    _check_usable(folder, shown)
    if len(os.fsencode(os.path.abspath(folder))) + _BELOW_BYTES <= _SOCKET_BYTES:
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            made = tempfile.TemporaryDirectory(prefix="depara-", dir=_SHORT)
            link = Path(stack.enter_context(made), "t")
            link.symlink_to(os.path.abspath(folder))
        except OSError as error:
            raise ClusterError(
                f"{shown} is too long for the sockets of a local Ray: their names have at most "
                f"{_SOCKET_BYTES} bytes, which leaves {_SOCKET_BYTES - _BELOW_BYTES} for the "
                f"folder, and no short link to it can be made in {_SHORT} ({error.strerror}): set "
                "RAY_TMPDIR to a folder with a short name that you may write to"
            ) from error
        yield str(link / "ray")


def _check_usable(folder: str, shown: str) -> None:
    """Writes a small file in the folder, which is made when it is missing.

    Raises:
        ClusterError: it cannot be written, with the reason.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        raise ClusterError(
            f"a local Ray cannot write to its temporary folder {shown}: {error.strerror or error}: "
            "set RAY_TMPDIR to a folder on a local disk that exists, has room, and that you may "
            "write to"
        ) from error
