"""The commit marker of a graph as bytes, and what it knows of each file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from depara.errors import SchemaError
from depara.store.schemas import SCHEMA_VERSION
from depara.types import Note, ProbeRange


@dataclass(frozen=True)
class FileFact:
    """What the marker knows of one file: size in bytes, sha256 and number of rows."""

    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True)
class GraphMarker:
    """The commit marker of a graph: readers trust a graph only when it is there.

    ``ranges`` are the probe ranges of the node files in order; ``seconds`` and
    ``peak_memory_bytes`` are what the whole model cost when this graph was computed.
    ``conditioning`` says how well float32 resolves the maps (None: not measured), ``notes`` what
    was noticed while the graph was computed. ``precision`` says what a graph was ``computed_in``
    that might be computed in several, and how its first probes agreed with fp32
    (`depara.extraction.precision.Agreement`); None: in that of its settings.
    """

    graph_key: str
    model_id: str
    layer: str
    num_probes: int
    num_pixels: int
    num_features: int
    probe_set: str
    ranges: tuple[ProbeRange, ...]
    files: dict[str, FileFact]
    settings: dict[str, Any]
    seconds: float
    peak_memory_bytes: int
    conditioning: float | None = None
    notes: tuple[Note, ...] = ()
    precision: dict[str, Any] | None = None

    @property
    def computed_in(self) -> str | None:
        """The arithmetic of the graph; None where its marker does not tell."""
        found = (self.precision or {}).get("computed_in", self.settings.get("precision"))
        return None if found is None else str(found)

    def encode(self) -> bytes:
        """Returns the marker as JSON bytes."""
        tree = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        if self.precision is None:
            del tree["precision"]
        tree["ranges"] = [[r.start, r.stop] for r in self.ranges]
        tree["checksum"] = json_checksum(tree)
        return json.dumps(tree, indent=1).encode()

    @classmethod
    def decode(cls, data: bytes, name: str) -> GraphMarker:
        """Returns the marker of JSON bytes.

        Raises:
            SchemaError: damaged, or written by another version.
        """
        try:
            tree = json.loads(data)
            version, checksum = tree["schema_version"], tree.pop("checksum", None)
            if version != SCHEMA_VERSION:
                raise SchemaError(f"{name} has schema version {version}, not {SCHEMA_VERSION}")
            if checksum is not None and checksum != json_checksum(tree):
                raise SchemaError(f"{name} does not match its own checksum")
            del tree["schema_version"]
            tree["ranges"] = tuple(ProbeRange(*pair) for pair in tree["ranges"])
            tree["files"] = {file: FileFact(**fact) for file, fact in tree["files"].items()}
            tree["notes"] = tuple(Note(**note) for note in tree.get("notes", ()))
            return cls(**tree)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise SchemaError(f"{name} is no readable graph marker: {error}") from error


def json_checksum(tree: Mapping[str, Any]) -> str:
    """Returns the sha256 of a JSON object, hex; it stands in the object as ``checksum``."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
