"""Every kind of damage that an output can have, and the words by which it is to be found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.maintenance.outputs import (
    edit_json,
    flip,
    graph_of,
    node_files,
    rewrite,
    truncate,
    vouch,
)


@dataclass(frozen=True)
class Damage:
    """``spoil`` returns the path of what it spoiled; ``quick``: `--fast` finds it too."""

    name: str
    spoil: Callable[[Path], Path]
    message: str
    quick: bool = False


def graph_file(name: str, spoil: Callable[[Path], object]) -> Callable[[Path], Path]:
    def run(root: Path) -> Path:
        path = graph_of(root, "two", "c") / name
        spoil(path)
        return path

    return run


def marker(change: Callable[[dict], object]) -> Callable[[Path], Path]:  # type: ignore[type-arg]
    return graph_file("graph.json", lambda path: edit_json(path, change))


def nodes(spoil: Callable[[Path], object]) -> Callable[[Path], Path]:
    def run(root: Path) -> Path:
        path = node_files(graph_of(root, "two", "c"))[1]
        spoil(path)
        return path

    return run


def table(name: str, spoil: Callable[[Path], object]) -> Callable[[Path], Path]:
    def run(root: Path) -> Path:
        path = root / "scans" / "two" / name
        spoil(path)
        return path

    return run


def manifest(change: Callable[[dict], object]) -> Callable[[Path], Path]:  # type: ignore[type-arg]
    return table("manifest.json", lambda path: edit_json(path, change))


def probe_set(spoil: Callable[[Path], object]) -> Callable[[Path], Path]:
    def run(root: Path) -> Path:
        key = json.loads((root / "scans/two/manifest.json").read_text())["probe_set"]
        path = root / "canvases" / "sets" / f"{key}.json"
        spoil(path)
        return path

    return run


def recounted(text: str) -> str:
    return text.replace('"num_probes": 12', '"num_probes": 13')


def chunk(spoil: Callable[[Path], object]) -> Callable[[Path], Path]:
    def run(root: Path) -> Path:
        key = json.loads((root / "scans/two/manifest.json").read_text())["probe_set"]
        record = json.loads((root / "canvases" / "sets" / f"{key}.json").read_text())
        path = root / record["chunks"][0]["path"]
        spoil(path)
        return path

    return run


def from_other(path: Path) -> None:
    """Puts the file of the same name of another graph here, and lets the marker vouch for it."""
    other = graph_of(path.parents[3], "two", "b") / path.name
    shutil.copyfile(other, path)
    vouch(path)


def vouched(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        rewrite(path, change)
        vouch(path)

    return run


def no_parquet(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)
    vouch(path)


def shifted(rows: pa.Table) -> pa.Table:
    return rows.set_column(1, rows.field(1), pa.array(np.arange(len(rows)), pa.int32()))


def swapped_ids(rows: pa.Table) -> pa.Table:
    ids = rows["probe_id"].to_pylist()
    return rows.set_column(0, rows.field(0), pa.array([*reversed(ids)], pa.string()))


def other_pixels(rows: pa.Table) -> pa.Table:
    pixels = [bytes([255 - value for value in row[:1]]) + row[1:] for row in rows[1].to_pylist()]
    return rows.set_column(1, rows.field(1), pa.array(pixels, pa.binary()))


def other_scan(path: Path) -> None:
    shutil.copyfile(path.parents[1] / "one" / path.name, path)
    vouch(path, rows=pq.read_metadata(path).num_rows)


def drop_chunk(tree: dict) -> None:  # type: ignore[type-arg]
    tree["chunks"][0]["probe_ids"].pop()


DAMAGES = [
    # The marker of a graph.
    Damage("marker cut", graph_file("graph.json", truncate), "cannot be used: .*no readable", True),
    Damage(
        "marker is a number",
        graph_file("graph.json", lambda path: path.write_text("5")),
        "cannot be used",
        True,
    ),
    Damage(
        "marker of tomorrow",
        marker(lambda tree: tree.update(schema_version="9")),
        "cannot be used: .*schema version 9",
        True,
    ),
    Damage(
        "marker with words for numbers",
        marker(lambda tree: tree.update(num_probes="many")),
        "cannot be used",
        True,
    ),
    Damage(
        "marker edited by hand",
        graph_file("graph.json", lambda p: p.write_text(p.read_text().replace('"c"', '"d"'))),
        "cannot be used: .*does not match its own checksum",
        True,
    ),
    Damage(
        "marker of another graph",
        marker(lambda tree: tree.update(graph_key="ab" * 16)),
        "is of another graph: expected [0-9a-f]{32}, got abab",
        True,
    ),
    Damage(
        "other layer",
        marker(lambda tree: tree.update(layer="block1")),
        "its settings are not those that its key was made of",
        True,
    ),
    Damage(
        "other settings",
        marker(lambda tree: tree["settings"].update(precision="fp64")),
        "its settings are not those that its key was made of",
        True,
    ),
    Damage(
        "gap between ranges",
        marker(lambda tree: tree["ranges"].pop(0)),
        "its probe ranges leave a gap or overlap at 000006-000012: expected start 0, got 6",
        True,
    ),
    Damage(
        "ranges end early",
        marker(lambda tree: tree["ranges"].pop()),
        "its probe ranges end elsewhere than its probes: expected 12, got 6",
        True,
    ),
    Damage(
        "fewer probes than the set has",
        marker(lambda tree: tree.update(num_probes=6, ranges=[[0, 6]])),
        "it has another number of probes than probe set [0-9a-f]{32}: expected 12, got 6",
        True,
    ),
    Damage(
        "marker forgets a file",
        marker(lambda tree: tree["files"].pop("grams.parquet")),
        r"lacks files of a graph.*: grams\.parquet",
        True,
    ),
    # The files of a graph.
    Damage("nodes missing", nodes(Path.unlink), "is missing", True),
    Damage("edges missing", graph_file("edges.parquet", Path.unlink), "is missing", True),
    Damage("nodes cut", nodes(truncate), r"has another size: expected \d+ bytes, got \d+", True),
    Damage("grams empty", graph_file("grams.parquet", lambda p: p.write_bytes(b"")), "size", True),
    Damage("nodes with a flipped bit", nodes(flip), "checksum in graph.json: expected sha256"),
    Damage(
        "features with a flipped bit", graph_file("features.parquet", flip), "does not match its"
    ),
    Damage("nodes of another graph", nodes(from_other), "is of another graph: expected"),
    Damage("edges of another graph", graph_file("edges.parquet", from_other), "of another graph"),
    Damage(
        "a row less than the marker says",
        graph_file("edges.parquet", vouched(lambda rows: rows.slice(1))),
        "has another number of rows than graph.json states: expected 66, got 65",
    ),
    Damage(
        "a row less, and the marker says so",
        marker(lambda tree: tree["files"]["edges.parquet"].update(rows=65)),
        r"states a wrong number of rows of edges\.parquet: expected 66, got 65",
        True,
    ),
    Damage("no Parquet", graph_file("edges.parquet", no_parquet), "is no readable Parquet file"),
    Damage(
        "nodes of another range",
        nodes(vouched(shifted)),
        "not those of its range, in order: expected index 6 to 11, got 0 to 5",
    ),
    Damage(
        "nodes of other probes",
        nodes(vouched(swapped_ids)),
        "probe 6 is not that of probe set [0-9a-f]{32}: expected [0-9a-f]{64}, got [0-9a-f]{64}",
    ),
    # A finished scan.
    Damage("manifest cut", table("manifest.json", truncate), "cannot be used: .*is damaged", True),
    Damage(
        "manifest is a list",
        table("manifest.json", lambda path: path.write_text("[1]")),
        "cannot be used: .*no JSON object",
        True,
    ),
    Damage(
        "manifest of another scan",
        manifest(lambda tree: tree.update(scan_id="one")),
        "cannot be used: .*is of another scan, 'one'",
        True,
    ),
    Damage(
        "manifest with another count",
        table("manifest.json", lambda path: path.write_text(recounted(path.read_text()))),
        "cannot be used: .*does not match its own checksum",
        True,
    ),
    Damage(
        "manifest without tables",
        manifest(lambda tree: tree.pop("tables")),
        "cannot be used: .*names no table of layers",
        True,
    ),
    Damage(
        "manifest without a checksum",
        manifest(lambda tree: tree["tables"]["models"].pop("sha256")),
        "says nothing of the bytes, rows, sha256 of models",
        True,
    ),
    Damage("table missing", table("similarity.parquet", Path.unlink), "is missing", True),
    Damage("table cut", table("layers.parquet", truncate), "has another size: expected", True),
    Damage("table with a flipped bit", table("models.parquet", flip), "checksum in the manifest"),
    Damage(
        "table with a row less",
        table("similarity.parquet", vouched(lambda rows: rows.slice(1))),
        "has another number of rows than the manifest states: expected 12, got 11",
    ),
    Damage("no table", table("similarity.parquet", no_parquet), "is no readable Parquet file"),
    Damage(
        "table of another scan",
        table("models.parquet", other_scan),
        "is of another scan: expected two, got one",
    ),
    # The probes.
    Damage("probe set missing", probe_set(Path.unlink), "cannot be used: .*is missing", True),
    Damage("probe set cut", probe_set(truncate), "cannot be used: .*damaged", True),
    Damage(
        "probe set of other probes",
        probe_set(lambda path: edit_json(path, lambda tree: tree["probe_ids"].pop())),
        "its probes are not those that its key was made of",
        True,
    ),
    Damage(
        "probe set of numbers",
        probe_set(lambda path: edit_json(path, lambda tree: tree["probe_ids"].append(7))),
        "cannot be used: .*other things than texts",
        True,
    ),
    Damage(
        "a probe without a canvas",
        probe_set(lambda path: edit_json(path, drop_chunk)),
        "1 of its probes are in no file of canvases, first [0-9a-f]{64}",
        True,
    ),
    Damage("canvases missing", chunk(Path.unlink), "is missing", True),
    Damage("canvases cut", chunk(truncate), "is no readable Parquet file"),
    Damage(
        "a changed pixel",
        chunk(lambda path: rewrite(path, other_pixels)),
        "a canvas is not that of its probe: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}",
    ),
    Damage(
        "canvases of fewer probes",
        chunk(lambda path: rewrite(path, lambda rows: rows.slice(1))),
        "its probes are not those that probe set [0-9a-f]{32} states",
    ),
]
