"""What things are called by: the one way in which ids and keys are made of contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depara.types import UInt8


def short_hash(value: Any) -> str:
    """Returns 32 hexadecimal digits of the sha256 of a JSON value, whatever the order of keys.

    Raises:
        TypeError, ValueError: the value has no JSON form.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def canvas_id(canvas_SS3: UInt8) -> str:
    """Returns the probe id of a canvas: the sha256 of its shape and bytes, 64 hex digits."""
    assert canvas_SS3.dtype == np.uint8
    return pixels_id(np.ascontiguousarray(canvas_SS3).data, canvas_SS3.shape)


def pixels_id(pixels: bytes | memoryview, shape: Sequence[int]) -> str:
    """Returns the `canvas_id` of a canvas' bytes; they need not fit the shape, as when damaged."""
    digest = hashlib.sha256("x".join(map(str, shape)).encode())
    digest.update(b":")
    digest.update(pixels)
    return digest.hexdigest()


def probe_set_key(probe_ids: Sequence[str], side: int) -> str:
    """Returns 32 hex digits that name a set of distinct canvases of one side, in whatever order."""
    return short_hash({"probe_ids": sorted(probe_ids), "side": side})


def mixed_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns numbers of which every bit depends on every bit of the given ones: a hash.

    The finaliser of splitmix64 (Steele, Lea & Flood, 2014): the same on every machine.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed
