"""The canvases of a probe set as one array, ready to be cut into ranges."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from depara.ledger import part_bytes
from depara.store.canvases import ProbeSet, read_canvases, read_probe_set
from depara.store.storage import Storage
from depara.types import UInt8


def load_canvases(
    storage: Storage,
    key: str,
    *,
    memory_bytes: int,
    spill_dir: str | None = None,
    discard: bool = True,
) -> tuple[ProbeSet, UInt8]:
    """Returns a probe set and its canvases ``N S S 3``: in memory when small, else on local disk.

    Args:
        storage: the output.
        key: of the probe set.
        memory_bytes: `compute.memory`, a part of which canvases may take.
        spill_dir: where the rest goes; None is the usual place.
        discard: remove a damaged file of canvases, so that the next scan writes it anew.

    Raises:
        StoreError: the probe set is missing or damaged.
        DamagedCanvasesError: a file of canvases is.
    """
    probe_set = read_probe_set(storage, key)
    shape = (len(probe_set), probe_set.side, probe_set.side, 3)
    if int(np.prod(shape)) <= part_bytes(memory_bytes, "canvases"):
        canvas_NSS3: Any = np.empty(shape, dtype=np.uint8)
    else:
        # Mapped below.
        file = tempfile.TemporaryFile(dir=spill_dir)  # noqa: SIM115
        canvas_NSS3 = np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
    read_canvases(storage, probe_set, canvas_NSS3, discard=discard)
    return probe_set, canvas_NSS3
