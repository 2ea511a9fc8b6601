"""Numbers as text that a page unpacks at once: quantised, a few base64 digits each.

A column is ``{"n", "digits", "low", "step", "text"}``: value ``i`` is ``low + step * q``, where q
is written with ``digits`` digits of base64, the most significant first; all ones are null. It
is base64 of a stream of big-endian bits, and needs neither a number parser nor a data URI, which
browsers open twenty times slower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BITS = 6
_DIGITS = np.frombuffer(ALPHABET, dtype=np.uint8)

Column = dict[str, Any]


def real_column(values: ArrayLike, digits: int) -> Column:
    """Returns real numbers as a column; what is not finite is null.

    The error is at most half a step: the range of the values divided by ``64**digits - 2``.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    known = flat[np.isfinite(flat)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    step = (high - low) / (64**digits - 2) or 1.0
    return _column(flat, low, step, digits)


def whole_column(values: ArrayLike) -> Column:
    """Returns whole numbers as a column, exact, with as few digits as they need; NaN is null."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    known = flat[np.isfinite(flat)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    digits = 1
    while 64**digits - 2 < high - low:
        digits += 1
    return _column(flat, low, 1.0, digits)


def column_values(column: Mapping[str, Any]) -> NDArray[np.float64]:
    """Returns the numbers of a column, NaN for null: what the page sees."""
    digits = int(column["digits"])
    places = np.zeros(256, dtype=np.int64)
    places[_DIGITS] = np.arange(64)
    codes = places[np.frombuffer(column["text"].encode("ascii"), dtype=np.uint8)]
    whole = np.zeros(int(column["n"]), dtype=np.int64)
    for one in codes.reshape(-1, digits).T:
        whole = whole * 64 + one
    values = column["low"] + column["step"] * whole.astype(np.float64)
    return np.where(whole == 64**digits - 1, np.nan, values)


def _column(flat: NDArray[np.float64], low: float, step: float, digits: int) -> Column:
    null = 64**digits - 1
    is_known = np.isfinite(flat)
    whole = np.full(flat.size, null, dtype=np.int64)
    whole[is_known] = np.rint((flat[is_known] - low) / step).astype(np.int64)
    shifts = _BITS * np.arange(digits - 1, -1, -1)
    codes = (whole[:, None] >> shifts) & 63
    text = _DIGITS[codes].tobytes().decode("ascii")
    return {"n": flat.size, "digits": digits, "low": low, "step": step, "text": text}
