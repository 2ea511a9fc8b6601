"""Whether the hubs that models come from can be reached: asked once, not per file with retries.

A cached model opens without a network: where the hub does not answer, its libraries are told to
read their cache alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from depara.errors import ModelError
from depara.models.foreign import one_line
from depara.redaction import redact

_WAIT_S = 10.0
"""For an answer; without a network the name of a host alone may take as long to be looked up."""
_REMEMBERED_S = 60.0
"""After so long a hub that could not be reached is asked again: networks come back."""
_NOBODY = (407, 502, 503, 504)
"""What a proxy answers in place of a host that it does not reach, or does not let be reached."""
_MISSING = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")

_silent_until: dict[str, tuple[float, str]] = {}
_answered: set[str] = set()
_lock = threading.Lock()


def silence(place: str, ask: Callable[[], object]) -> str | None:
    """Returns why a place on the network cannot be reached, or None when it answers.

    A place that answered is not asked again in this process; one that did not, after a minute.

    Args:
        place: its address, as messages name it.
        ask: raises where there is no answer; any answer will do.
    """
    with _lock:
        if place in _answered:
            return None
        until, reason = _silent_until.get(place, (0.0, ""))
        if time.monotonic() < until:
            return reason
        found = _asked(ask)
        if found is None:
            _answered.add(place)
        else:
            _silent_until[place] = (time.monotonic() + _REMEMBERED_S, found)
        return found


def _asked(ask: Callable[[], object]) -> str | None:
    outcome: list[str | None] = []

    def run() -> None:
        try:
            ask()
        # Each client raises types of its own; whatever it is, there was no answer.
        except Exception as error:  # noqa: BLE001
            outcome.append(redact(one_line(error)))
        else:
            outcome.append(None)

    # A look-up of a name cannot be given a time limit: it is left behind when it takes too long.
    thread = threading.Thread(target=run, daemon=True, name="hub probe")
    thread.start()
    thread.join(_WAIT_S)
    return outcome[0] if outcome else f"no answer within {_WAIT_S:.0f} s"


def url_silence(url: str) -> str | None:
    """Returns why the host of a URL cannot be reached (by the environment's proxies), or None."""

    def ask() -> None:
        try:
            with urlopen(Request(url, method="HEAD"), timeout=_WAIT_S):
                pass
        except HTTPError:
            pass  # an answer

    return silence(url.split("/")[2], ask)


@contextmanager
def hub_access(name: str, way_out: str) -> Iterator[None]:
    """Runs code that may ask the Hugging Face hub; where that is silent, of its cache alone.

    ``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and the proxies of the environment hold.

    Args:
        name: of the model, for the message.
        way_out: what to write instead of a hub name, for the message.

    Raises:
        ModelError: the hub is silent and the cache has not what is needed.
    """
    try:
        from huggingface_hub import constants, get_session
    except ImportError:  # what then fails says which package is missing
        yield
        return
    if constants.is_offline_mode():
        reason: str | None = "HF_HUB_OFFLINE is set"
        fix = "unset HF_HUB_OFFLINE"
    else:
        reason = silence(constants.ENDPOINT, lambda: _ask(get_session(), constants.ENDPOINT))
        reason = reason and f"the hub {constants.ENDPOINT} cannot be reached ({reason})"
        fix = "set HF_ENDPOINT to a mirror or HTTPS_PROXY to a proxy"
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or reason is not None
    try:
        yield
    except ModelError as error:
        if not _is_missing(error):
            raise
        reason = reason or f"the hub {constants.ENDPOINT} answers, but does not give it"
        raise type(error)(
            f"{name} is not in the cache {os.fspath(constants.HF_HUB_CACHE)} and {reason}: {fix}, "
            f"copy the cache from a machine with a network, or {way_out}"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _ask(session: Any, endpoint: str) -> None:
    answer = session.head(endpoint, timeout=_WAIT_S)
    if answer.status_code in _NOBODY:
        raise OSError(f"HTTP status {answer.status_code}")


def _is_missing(error: BaseException) -> bool:
    """Whether an error, or a cause of it, is that the cache has no such file."""
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__name__ in _MISSING or "couldn't connect to" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
