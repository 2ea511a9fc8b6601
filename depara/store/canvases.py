"""Decoded probes in a storage: chunks of canvases, read once by each worker for all its models."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from depara.errors import DamagedCanvasesError, SchemaError, StoreError
from depara.identity import pixels_id, short_hash
from depara.store.artifact_schemas import CANVASES
from depara.store.artifacts import decode_table, encode_table
from depara.store.layout import canvases_path, probe_set_path
from depara.store.storage import Storage
from depara.types import UInt8


@dataclass(frozen=True)
class CanvasChunk:
    """One file of canvases: its path in the storage and the probes in it, in order."""

    path: str
    probe_ids: tuple[str, ...]


@dataclass(frozen=True)
class ProbeSet:
    """The probes of a scan in index order, and the files that hold their canvases."""

    key: str
    side: int
    probe_ids: tuple[str, ...]
    chunks: tuple[CanvasChunk, ...]

    def __len__(self) -> int:
        return len(self.probe_ids)


def write_probe_set(storage: Storage, probe_set: ProbeSet) -> None:
    """Writes the probe set, named by its key; one that is there is of the same probes."""
    storage.replace(probe_set_path(probe_set.key), json.dumps(asdict(probe_set)).encode())


def read_probe_set(storage: Storage, key: str) -> ProbeSet:
    """Returns a probe set by its key.

    Raises:
        StoreError: missing or damaged.
    """
    location = storage.location(probe_set_path(key))
    try:
        tree = json.loads(storage.read(probe_set_path(key)))
        chunks = tuple(CanvasChunk(c["path"], tuple(c["probe_ids"])) for c in tree["chunks"])
        return ProbeSet(tree["key"], tree["side"], tuple(tree["probe_ids"]), chunks)
    except FileNotFoundError as error:
        raise StoreError(f"{location} is missing: scan again to decode the probes") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{location} is damaged: remove it and scan again") from error


def write_canvases(storage: Storage, probe_ids: Sequence[str], canvas_NSS3: UInt8) -> CanvasChunk:
    """Writes canvases (N, S, S, 3) uint8 as one file named by its content; returns where."""
    side = canvas_NSS3.shape[1]
    assert canvas_NSS3.shape == (len(probe_ids), side, side, 3)
    path = canvases_path(short_hash([list(probe_ids), side]))
    rows = [canvas.tobytes() for canvas in canvas_NSS3]
    table = pa.table([pa.array(probe_ids, pa.string()), pa.array(rows, pa.binary())], CANVASES)
    data = encode_table(table, {"side": str(side)})
    if not storage.create(path, data) and storage.read_or_none(path) != data:
        storage.replace(path, data)  # it was damaged: its name stands for its content
    return CanvasChunk(path, tuple(probe_ids))


def read_canvases(
    storage: Storage, probe_set: ProbeSet, out_NSS3: Any, *, discard: bool = True
) -> None:
    """Fills `out` (N, S, S, 3) uint8, an array or memory map, with the canvases in index order.

    Each canvas is compared with its probe id, which is its sha256. A damaged file is removed,
    unless `discard` is off.

    Raises:
        DamagedCanvasesError: a file is missing or damaged; decode the probes anew.
    """
    place = {probe_id: index for index, probe_id in enumerate(probe_set.probe_ids)}
    side = probe_set.side
    found = np.zeros(len(probe_set), dtype=bool)
    for chunk in probe_set.chunks:
        for probe_id, canvas in _read_chunk(storage, chunk.path, discard=discard):
            index = place.get(probe_id)
            if index is not None:
                out_NSS3[index] = canvas.reshape(side, side, 3)
                found[index] = True
    if not found.all():
        missing = probe_set.probe_ids[int(np.argmin(found))]
        raise DamagedCanvasesError(f"the canvas of probe {missing} is in no file: scan again")


def read_canvases_of(storage: Storage, probe_set: ProbeSet, indices: Sequence[int]) -> UInt8:
    """Returns the canvases (n, S, S, 3) uint8 of some probes; only files that hold them are read.

    Raises:
        DamagedCanvasesError: a file is missing or damaged; it stays as it is.
    """
    wanted = {probe_set.probe_ids[index] for index in indices}
    found: dict[str, UInt8] = {}
    for chunk in probe_set.chunks:
        if wanted.intersection(chunk.probe_ids) - found.keys():
            chunk_canvases = _read_chunk(storage, chunk.path, discard=False)
            found |= {one: canvas for one, canvas in chunk_canvases if one in wanted}
    if missing := sorted(wanted - found.keys()):
        raise DamagedCanvasesError(f"the canvas of probe {missing[0]} is in no file: scan again")
    side = probe_set.side
    canvases = [found[probe_set.probe_ids[index]].reshape(side, side, 3) for index in indices]
    return np.stack(canvases) if canvases else np.zeros((0, side, side, 3), dtype=np.uint8)


def _read_chunk(storage: Storage, path: str, *, discard: bool) -> Iterator[tuple[str, UInt8]]:
    location = storage.location(path)
    try:
        table = decode_table(storage.read(path), CANVASES, location)
        for probe_id, canvas in zip(table["probe_id"], table["canvas"], strict=True):
            pixels = np.frombuffer(canvas.as_buffer(), dtype=np.uint8)
            side = math.isqrt(len(pixels) // 3)
            if pixels_id(pixels.data, (side, side, 3)) != probe_id.as_py():
                raise SchemaError(f"{location}: the canvas of probe {probe_id} is not what it was")
            yield probe_id.as_py(), pixels
    except FileNotFoundError as error:
        raise DamagedCanvasesError(f"{location} is missing: scan again") from error
    except (SchemaError, pa.ArrowException) as error:
        if not discard:
            raise DamagedCanvasesError(f"{error}; scan again to have it written anew") from error
        storage.remove([path])
        raise DamagedCanvasesError(f"{error}; it was removed: scan again") from error
