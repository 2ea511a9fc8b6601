"""Taking credentials out of texts that people, logs and files will hold."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from urllib.parse import quote

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"(SECRET|PASSWORD|PASSWD|(SECRET|ACCESS|ACCOUNT|API)_?KEY(_ID)?|CONNECTION_STRING"
    r"|(SESSION|SAS|ACCESS|AUTH|HF)_?TOKEN)$"
)
_SECRET_FIELDS = {"key", "secret", "token", "password", "username", "sas_token", "account_key"}
_SHORTEST = 8
"""Shorter values are ordinary words; no service hands out such keys."""

_USERINFO = re.compile(r"(?<=://)[^/\s\"']+@")
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
_SIGNED = re.compile(
    r"(?i)(X-Amz-(?:Credential|Signature|Security-Token)|AWSAccessKeyId|Signature|Credential"
    r"|sig|token)=[^&\s,\"']+"
)


def redact(text: str) -> str:
    """Returns the text with credentials replaced by ``***``.

    Taken out are the values of environment variables and of fsspec's settings that hold keys,
    secrets and tokens, user and password in URLs (``scheme://user:password@host``), the signed
    parts of request URLs, and whatever looks like an AWS access key id.
    """
    for value in _secrets():
        for form in (value, quote(value, safe="", errors="surrogatepass")):
            text = text.replace(form, HIDDEN)
    text = _USERINFO.sub(f"{HIDDEN}@", text)
    text = _KEY_ID.sub(HIDDEN, text)
    return _SIGNED.sub(rf"\1={HIDDEN}", text)


def _secrets() -> Iterator[str]:
    """Yields the secret values that this process knows, the longest first."""
    values = {value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper())}
    values.update(_fsspec_secrets())
    yield from sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True)


def _fsspec_secrets() -> Iterator[str]:
    if "fsspec" not in sys.modules:
        return
    from fsspec.config import conf

    for options in list(conf.values()):
        if isinstance(options, dict):
            for name, value in options.items():
                if name.lower() in _SECRET_FIELDS and isinstance(value, str):
                    yield value
