"""Sketches beside their graphs: a cache, made of a committed graph when it is first asked for.

No commit marker knows the file. It says itself which graph it is of and of which files, each of its
pages has a checksum, and a file that is not as it should be is as if it were not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from depara.errors import SchemaError
from depara.identity import short_hash
from depara.store.artifact_schemas import SKETCH
from depara.store.artifacts import check_artifact, encode_table
from depara.store.layout import SKETCH_FILE, sketch_path
from depara.store.markers import GraphMarker
from depara.store.storage import Storage
from depara.types import Float32

SKETCH_VERSION = "1"
"""Raised when cells or signs change: older sketches are then made anew."""

ROW_CELLS = 256
"""Cells of a row, which share a scale."""

_MAPS = "maps"


@dataclass(frozen=True)
class Cells:
    """Rows of cells as int8, with the scale of each: ``cells = values * scale``."""

    values: NDArray[np.int8]
    scales: Float32

    @classmethod
    def of(cls, cells: NDArray[np.floating]) -> Cells:
        """Returns cells ``(rows, width)``, rounded."""
        scales = (np.abs(cells).max(axis=1, initial=0.0) / 127).astype(np.float32)
        steps = np.where(scales > 0, scales, 1).astype(np.float64)
        values = np.clip(np.rint(cells / steps[:, None]), -127, 127)
        return cls(values.astype(np.int8), scales)

    def floats(self) -> Float32:
        """Returns the cells in single precision."""
        found: Float32 = self.values.astype(np.float32)
        found *= self.scales[:, None]
        return found


@dataclass(frozen=True)
class GraphSketch:
    """What is kept of one graph: its maps by probe, and its vectors of pairs by name.

    ``norms`` are the vectors' own, which say how far their estimates may be off. ``errors`` are
    estimate less exact value of the graph compared with itself, by term.
    """

    maps: Cells
    vectors: Mapping[str, Cells]
    norms: Mapping[str, float]
    errors: Mapping[str, float]

    def vector(self, name: str) -> Float32:
        """Returns the cells of one vector."""
        return self.vectors[name].floats().reshape(-1)


def encode_sketch(marker: GraphMarker, sketch: GraphSketch) -> bytes:
    """Returns the file of a sketch."""
    parts = {_MAPS: sketch.maps, **sketch.vectors}
    counts = [len(cells.scales) for cells in parts.values()]
    values = np.concatenate([cells.values for cells in parts.values()]).reshape(-1)
    columns = [
        pa.array(np.repeat(list(parts), counts).tolist(), pa.string()),
        np.concatenate([np.arange(count, dtype=np.int32) for count in counts]),
        np.concatenate([cells.scales for cells in parts.values()]),
        pa.FixedSizeBinaryArray.from_buffers(
            SKETCH.field("values").type, sum(counts), [None, pa.py_buffer(values)]
        ),
    ]
    metadata = {
        "graph_key": marker.graph_key,
        "sketch_version": SKETCH_VERSION,
        "graph_files": _files_hash(marker),
        "norms": json.dumps(dict(sketch.norms)),
        "errors": json.dumps(dict(sketch.errors)),
    }
    return encode_table(pa.table(columns, schema=SKETCH), metadata)


def decode_sketch(data: bytes, key: str, name: str) -> tuple[GraphSketch, dict[str, str]]:
    """Returns the sketch of a file, and what the file says of itself.

    Raises:
        SchemaError: damaged, of another graph, or of another form.
    """
    table = check_artifact(data, key, None, SKETCH, name)
    said = {one.decode(): text.decode() for one, text in (table.schema.metadata or {}).items()}
    parts, scales = table["part"].to_numpy(), table["scale"].to_numpy()
    joined = b"".join(table["values"].to_pylist())
    values = np.frombuffer(joined, dtype=np.int8).reshape(-1, ROW_CELLS)
    starts = [0, *(np.flatnonzero(parts[1:] != parts[:-1]) + 1), len(parts)]
    cells = {
        str(parts[start]): Cells(values[start:stop], scales[start:stop])
        for start, stop in pairwise(starts)
        if start < stop
    }
    try:
        norms, errors = json.loads(said["norms"]), json.loads(said["errors"])
        maps = cells.pop(_MAPS)
    except (KeyError, ValueError) as error:
        raise SchemaError(f"{name} is no sketch of a graph: {error!r} is missing") from error
    return GraphSketch(maps, cells, norms, errors), said


def read_sketch(storage: Storage, marker: GraphMarker) -> GraphSketch | None:
    """Returns the sketch of a graph; None where it is missing, damaged, or of other files.

    Raises:
        StoreError: the storage does not answer.
    """
    data = storage.read_or_none(sketch_path(marker.graph_key))
    if data is None:
        return None
    try:
        sketch, said = decode_sketch(data, marker.graph_key, SKETCH_FILE)
    except SchemaError:
        return None
    is_mine = said.get("graph_files") == _files_hash(marker)
    is_now = said.get("sketch_version") == SKETCH_VERSION
    is_whole = len(sketch.maps.scales) == marker.num_probes
    return sketch if is_mine and is_now and is_whole else None


def write_sketch(storage: Storage, marker: GraphMarker, sketch: GraphSketch) -> None:
    """Writes the sketch of a graph, over one that may be there.

    Raises:
        StoreError: the location cannot be written.
    """
    storage.replace(sketch_path(marker.graph_key), encode_sketch(marker, sketch))


def _files_hash(marker: GraphMarker) -> str:
    return short_hash({name: fact.sha256 for name, fact in marker.files.items()})
