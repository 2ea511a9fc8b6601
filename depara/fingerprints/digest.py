"""One short name for a tree of plain values."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def short_digest(value: Any) -> str:
    """Returns 32 hexadecimal digits of the sha256 of a JSON value, whatever the order of keys.

    Raises:
        TypeError, ValueError: the value has no JSON form.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
