"""Outputs for tests of their upkeep: scanned once, copied for each test, and damaged on purpose."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from depara.store.storage import Storage
from tests.jobs.inline import scan_inline, tiny

DAY_S = 86400.0


def make_output(folder: Path, photos: Path) -> Path:
    """Scans ``one`` of models a and b, ``two`` of b and c, ``three`` of c with fewer probes."""
    models = {"a": tiny("a", 0), "b": tiny("b", 1), "c": tiny("c", 2)}
    fewer = {"probes": {"source": str(photos), "count": 10}}
    scan_inline(str(folder), photos, [models["a"], models["b"]], scan_id="one")
    scan_inline(str(folder), photos, [models["b"], models["c"]], scan_id="two")
    scan_inline(str(folder), photos, [models["c"]], scan_id="three", **fewer)
    return folder


def copy_output(source: Path, target: Path) -> Path:
    """A copy with the times of the original."""
    return Path(shutil.copytree(source, target))


def upload(source: Path, storage: Storage) -> None:
    """Writes all files of a local output to another one."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            storage.create(path.relative_to(source).as_posix(), path.read_bytes())


def age(folder: Path, days: float, pattern: str = "**/*") -> None:
    """Makes files older than they are."""
    for path in folder.glob(pattern):
        if path.is_file():
            seconds = path.stat().st_mtime - days * DAY_S
            os.utime(path, (seconds, seconds))


def graph_of(root: Path, scan_id: str, model_id: str, layer: str = "code") -> Path:
    """The folder of one graph of a scan."""
    layers = pq.read_table(root / "scans" / scan_id / "layers.parquet").to_pylist()
    keys = [r["graph_key"] for r in layers if (r["model_id"], r["layer"]) == (model_id, layer)]
    return root / "graphs" / keys[0][:2] / keys[0]


def keys_of(root: Path, scan_id: str) -> set[str]:
    """The keys of all graphs of a scan."""
    table = pq.read_table(root / "scans" / scan_id / "layers.parquet")
    return set(table["graph_key"].to_pylist())


def node_files(graph: Path) -> list[Path]:
    """The node files of a graph, in order."""
    return sorted(graph.glob("nodes-*.parquet"))


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    """Changes what a JSON file holds; a checksum over its content, where it has one, goes."""
    tree = json.loads(path.read_bytes())
    tree.pop("checksum", None)
    change(tree)
    path.write_text(json.dumps(tree))


def flip(path: Path) -> None:
    """Flips one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """Cuts a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Writes a changed table in the place of a Parquet file, its metadata as they were."""
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def vouch(path: Path, *, rows: int | None = None) -> None:
    """Makes the marker of a graph, or the manifest of a scan, state what a file is by now."""
    data = path.read_bytes()
    fact = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    fact |= {} if rows is None else {"rows": rows}
    marker, manifest = path.parent / "graph.json", path.parent / "manifest.json"
    if marker.exists():
        edit_json(marker, lambda tree: tree["files"][path.name].update(fact))
    else:
        edit_json(manifest, lambda tree: tree["tables"][path.stem].update(fact))
