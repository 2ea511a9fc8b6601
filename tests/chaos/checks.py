"""What must hold after every fault: the tables of an undisturbed run, and a sound store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pandas.api.types import is_float_dtype

from depara import open_scan
from depara.store.layout import GRAPHS, MARKER_FILE
from depara.store.markers import GraphMarker
from depara.store.schemas import TABLES
from depara.store.storage import Storage

Tables = dict[str, pd.DataFrame]
Committed = dict[str, tuple[GraphMarker, dict[str, tuple[int, int, int]]]]
"""Marker and files of graphs by folder; inode, time of change (ns), and bytes of each file."""

TOLERANCE = 5e-6
"""Single precision: what is compared later is in tiles of other sizes, which round otherwise."""
Z_TOLERANCE = 1e-3
"""Of distances from chance in deviations, which are small: tiles of other sizes round otherwise."""
_PER_RUN = {"models": ["seconds", "peak_memory_bytes", "seconds_per_probe", "status"]}


def read_tables(output: str, scan_id: str | None = None) -> Tables:
    """Returns all tables of a finished scan, the latest unless another is named."""
    scan = open_scan(output, scan_id)
    return {name: scan.table(name) for name in TABLES}


def differences(got: Tables, expected: Tables) -> list[str]:
    """Returns in words where tables differ: rows, order, texts, floats beyond single precision."""
    found = []
    for name, table in expected.items():
        dropped = _PER_RUN.get(name, [])
        mine, other = got[name].drop(columns=dropped), table.drop(columns=dropped)
        if list(mine.columns) != list(other.columns) or len(mine) != len(other):
            found.append(f"{name}: {mine.shape} instead of {other.shape}")
            continue
        found += [f"{name}.{column}: {text}" for column in other if (
            text := _difference(mine[column], other[column]))]  # fmt: skip
    return found


def _difference(got: pd.Series, expected: pd.Series) -> str:
    if is_float_dtype(expected.dtype):
        a, b = got.to_numpy(float), expected.to_numpy(float)
        tolerance = Z_TOLERANCE if str(expected.name).endswith("_z") else TOLERANCE
        same = np.isclose(a, b, rtol=0, atol=tolerance, equal_nan=True)
        same |= np.isclose(a, b, rtol=tolerance, atol=0)
        if same.all():
            return ""
        return f"{(~same).sum()} values differ, such as {a[~same][0]} and not {b[~same][0]}"
    same = [_is_same(x, y) for x, y in zip(got, expected, strict=True)]
    return "" if all(same) else f"{same.count(False)} values differ"


def _is_same(got: Any, expected: Any) -> bool:
    if isinstance(expected, np.ndarray):
        return got.shape == expected.shape and np.allclose(got, expected, TOLERANCE, TOLERANCE)
    return bool(got == expected or (pd.isna(got) and pd.isna(expected)))


def without_models(tables: Tables, names: Collection[str]) -> Tables:
    """Returns the tables without the rows of some models, which failed."""
    return {
        name: table[~table["model_id"].isin(names)].reset_index(drop=True)
        if "model_id" in table
        else table
        for name, table in tables.items()
    }


def unsound(output: str, failed_models: Collection[str] = ()) -> list[str]:
    """Returns in words what a finished scan should not have left behind.

    Every file stands under its final name and is whole: markers vouch for their files, nothing
    stands beside those, tables parse, nobody is recorded as running. Models that failed may leave
    node files.
    """
    storage = Storage(output)
    files = {path: storage.read(path) for path in storage.walk("")}
    found = [f"temporary file {path}" for path in hidden_files(output)]
    found += [f"left over: {path}" for path in files if path.startswith("running/")]
    markers = {path.rpartition("/")[0]: path for path in files if path.endswith(MARKER_FILE)}
    vouched = set(markers.values())
    for folder, path in markers.items():
        marker = GraphMarker.decode(files[path], path)
        for name, fact in marker.files.items():
            data = files.get(f"{folder}/{name}")
            vouched.add(f"{folder}/{name}")
            if data is None or len(data) != fact.bytes or _sha256(data) != fact.sha256:
                found.append(f"committed but not whole: {folder}/{name}")
    if not failed_models:
        found += [
            f"orphan: {path}"
            for path in files
            if path.startswith(f"{GRAPHS}/") and path not in vouched
        ]
    found += [f"no Parquet: {path}: {why}" for path, data in files.items() if (
        why := _parquet_error(path, data))]  # fmt: skip
    return found + _wrong_tables(files) + _verify(output)


def _wrong_tables(files: dict[str, bytes]) -> list[str]:
    """Tables of finished scans that are not what their manifest says."""
    found = []
    for path, data in files.items():
        if path.endswith("/manifest.json"):
            folder = path.rpartition("/")[0]
            for name, fact in json.loads(data)["tables"].items():
                table = files.get(f"{folder}/{name}.parquet")
                if table is None or _sha256(table) != fact["sha256"]:
                    found.append(f"finished but not whole: {folder}/{name}.parquet")
    return found


def _verify(output: str) -> list[str]:
    from depara.maintenance import verify_output

    return [f"depara verify: {problem}" for problem in verify_output(Storage(output)).problems]


def hidden_files(output: str) -> list[str]:
    """Returns the files of a local output that a writer meant to rename or link."""
    if "://" in output:
        return []  # an object appears whole or not at all
    found = {str(path) for path in Path(output).rglob(".*") if path.is_file()}
    return sorted(found - {f"{output}/.latest.json.lock"})  # empty, and locked by its handle


def committed(output: str) -> Committed:
    """Returns the committed graphs of a local output, with what betrays that a file is touched."""
    found = {}
    for path in Path(output).glob(f"{GRAPHS}/*/*/{MARKER_FILE}"):
        marker = GraphMarker.decode(path.read_bytes(), str(path))
        stats = {file.name: file.stat() for file in path.parent.iterdir()}
        facts = {n: (s.st_ino, s.st_mtime_ns, s.st_size) for n, s in stats.items()}
        found[str(path.parent)] = (marker, facts)
    return found


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _parquet_error(path: str, data: bytes) -> str:
    if not path.endswith(".parquet"):
        return ""
    import pyarrow as pa

    try:
        pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        return str(error)
    return ""
