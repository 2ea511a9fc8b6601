"""What is known of each graph beside its numbers: how well float32 resolves it, and its notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from depara.errors import SchemaError, StoreError
from depara.store.graphs import read_marker
from depara.store.scans import read_table
from depara.store.storage import Storage
from depara.types import Note

_READS_AT_ONCE = 16


@dataclass(frozen=True)
class GraphFacts:
    """Of one graph: ``conditioning``, None where it was not measured, its notes, and what it was
    ``computed_in``, None where that is not recorded."""

    conditioning: float | None = None
    notes: tuple[Note, ...] = ()
    computed_in: str | None = None


def read_graph_facts(
    storage: Storage, keys: Iterable[str], known: Mapping[str, GraphFacts]
) -> dict[str, GraphFacts]:
    """Returns the facts of committed graphs: known ones as they are, others from their markers.

    Raises:
        StorageUnavailableError: the storage does not answer.
    """
    wanted = list(dict.fromkeys(keys))
    unknown = [key for key in wanted if key not in known]

    def read(key: str) -> GraphFacts:
        try:
            marker = read_marker(storage, key)
        except SchemaError:  # damaged since it was compared: the next scan recomputes it
            return GraphFacts()
        if marker is None:
            return GraphFacts()
        return GraphFacts(marker.conditioning, marker.notes, marker.computed_in)

    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="facts") as pool:
        found = dict(zip(unknown, pool.map(read, unknown), strict=True))
    return {key: known[key] if key in known else found[key] for key in wanted}


def facts_of_scan(
    storage: Storage, manifest: Mapping[str, Any], layers: Iterable[Mapping[str, Any]]
) -> dict[str, GraphFacts]:
    """Returns the facts of a finished scan's graphs by key; none where it recorded no notes.

    Args:
        storage: the output.
        manifest: of the scan.
        layers: the rows of its ``layers`` table.

    Raises:
        StorageUnavailableError: the storage does not answer.
    """
    fact = manifest["tables"].get("notes")
    if fact is None:
        return {}
    try:
        rows = read_table(storage, str(manifest["scan_id"]), "notes", fact).to_pylist()
    except StoreError:
        return {}
    notes: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["stage"] == "extract":
            notes.setdefault(row["model_id"], []).append(row)
    return {
        layer["graph_key"]: GraphFacts(
            layer["conditioning"],
            tuple(
                Note(row["kind"], row["message"], row["layer"])
                for row in notes.get(layer["model_id"], ())
                if row["layer"] in (None, layer["layer"])
            ),
            layer["precision"],
        )
        for layer in layers
    }
