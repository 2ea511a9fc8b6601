"""How maps must lie on disk for a comparison to read them fastest: today's files against others.

    python -m benchmarks.map_layouts [--quick]

A tile of all pairs, read from node files as they are written (zstd, every file's checksum compared
as it is read), from the same files without compression, from those mapped (one page each, its
values taken where they lie), and from raw float16 files, mapped. The rounds of all layouts follow
each other; what counts is the ratio to today's. A layout is worth its place from 1.2 on. Mapped
files are taken as they are, without a checksum: that is what their figures leave out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from benchmarks._report import machine_line, write_report
from benchmarks.reduce import Case, make_graphs
from depara.graph import edge_index
from depara.similarity import similarity_tile
from depara.similarity.stored import StoredBlock
from depara.store.artifacts import GraphMarker
from depara.store.graphs import CommittedGraph, GraphWriter
from depara.store.layout import nodes_file
from depara.store.storage import Storage
from depara.types import Float16, Float32, NodeMaps, ProbeRange

WORTH = 1.2
ROOMY_BYTES = 16 << 30


class MappedBlock(StoredBlock):
    """Graphs whose maps are taken from mapped memory; their edges are read as they are."""

    def __init__(self, stored: StoredBlock, maps_GNP: list[Float16]) -> None:
        super().__init__(stored._graphs)
        self.maps_GNP = maps_GNP

    def read_maps(self, probes: ProbeRange, graphs: slice) -> list[Float16]:
        """Returns views."""
        return [maps_NP[probes.start : probes.stop] for maps_NP in self.maps_GNP[graphs]]


def store(case: Case, folder: Path, maps: Float16, edges: Float32) -> StoredBlock:
    """Returns the graphs as a scan stores them."""
    storage = Storage(str(folder))
    ids = [f"{probe:064x}" for probe in range(case.probes)]
    pairs = edge_index(case.probes)
    graphs = []
    for place in range(case.graphs):
        key = f"{place:032x}"
        writer = GraphWriter(storage, key)
        for probes in case.ranges():
            part = np.ascontiguousarray(maps[place, probes.start : probes.stop])
            nodes = NodeMaps(part, np.ones(len(probes), np.float32))
            writer.write_nodes(probes, ids[probes.start : probes.stop], nodes)
        writer.write_edges(pairs, edges[place])
        ranges = tuple(case.ranges())
        marker = GraphMarker(
            key, "m", "l", case.probes, case.pixels, 1, "0", ranges, writer._facts, {}, 0.0, 0
        )
        graphs.append(CommittedGraph(storage, marker))
    return StoredBlock(graphs)


def rewritten(case: Case, block: StoredBlock, folder: Path) -> StoredBlock:
    """Returns the same graphs in files without compression, each column in one page."""
    storage = Storage(str(folder))
    graphs = []
    for graph in block._graphs:
        writer = GraphWriter(storage, graph.marker.graph_key)
        place = f"graphs/{graph.marker.graph_key[:2]}/{graph.marker.graph_key}"
        for probes in case.ranges():
            source = Path(graph.storage.location(f"{place}/{nodes_file(probes)}"))
            target = folder / place / nodes_file(probes)
            target.parent.mkdir(parents=True, exist_ok=True)
            table = pq.read_table(source)
            page = 4 * len(probes) * case.pixels
            pq.write_table(
                table, target, compression="none", use_dictionary=False, data_page_size=page
            )
            writer._adopt(nodes_file(probes), len(probes), lambda _: None)
        writer.write_edges(edge_index(case.probes), graph.read_edges())
        marker = GraphMarker(**{**vars(graph.marker), "files": writer._facts})
        graphs.append(CommittedGraph(storage, marker))
    return StoredBlock(graphs)


def mapped_pages(case: Case, block: StoredBlock, maps: Float16) -> MappedBlock:
    """Returns views into the pages of uncompressed files of one range, found by their values."""
    found = []
    for place, graph in enumerate(block._graphs):
        key = graph.marker.graph_key
        (probes,) = case.ranges()
        path = Path(graph.storage.location(f"graphs/{key[:2]}/{key}/{nodes_file(probes)}"))
        count = case.probes * case.pixels
        at = path.read_bytes().index(maps[place].tobytes())
        data = np.memmap(path, np.uint8, "r")[at : at + 2 * count]
        found.append(np.frombuffer(data, np.float16).reshape(case.probes, case.pixels))
    return MappedBlock(block, found)


def mapped_raw(case: Case, block: StoredBlock, folder: Path, maps: Float16) -> MappedBlock:
    """Returns views into raw files."""
    found = []
    for place in range(case.graphs):
        path = folder / f"{place}.npy"
        np.save(path, maps[place])
        found.append(np.load(path, mmap_mode="r"))
    return MappedBlock(block, found)


def bytes_of(folder: Path) -> int:
    """Returns the bytes of the node files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if "edges" not in path.name)


def rounds(work: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Returns the least seconds, by the wall and of the processor, of each; rounds take turns."""
    best = {name: (float("inf"), float("inf")) for name in work}
    for _ in range(repeats):
        for name, call in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            spent = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = (min(best[name][0], spent[0]), min(best[name][1], spent[1]))
    return best


def measure(case: Case, folder: Path) -> list[str]:
    """Returns the lines of the table."""
    maps, edges = make_graphs(case)
    stored = store(case, folder / "stored", maps, edges)
    plain = rewritten(case, stored, folder / "plain")
    (folder / "raw").mkdir()
    blocks = {
        "today's: zstd Parquet, decoded": stored,
        "Parquet without compression, copied": plain,
        "Parquet without compression, mapped": mapped_pages(case, plain, maps),
        "raw float16, mapped": mapped_raw(case, stored, folder / "raw", maps),
        "in memory": MappedBlock(stored, list(maps)),
    }

    def tile(block: StoredBlock) -> np.ndarray:
        return similarity_tile(
            block, block, num_probes=case.probes, memory_bytes=case.memory_bytes
        ).node_AB

    expected = tile(stored)
    for name, block in blocks.items():
        np.testing.assert_array_equal(tile(block), expected, err_msg=name)
    times = rounds({n: (lambda b=b: tile(b)) for n, b in blocks.items()}, case.repeats)
    today_s, today_cpu_s = times["today's: zstd Parquet, decoded"]
    sizes = {"today's": bytes_of(folder / "stored"), "Parquet without": bytes_of(folder / "plain")}
    sizes["raw"] = bytes_of(folder / "raw")
    lines = [
        "| layout | s | CPU s | times as fast | by CPU | MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, (wall_s, cpu_s) in times.items():
        size = next((f"{v / 1e6:.0f}" for k, v in sizes.items() if name.startswith(k)), "")
        lines.append(
            f"| {name} | {wall_s:.2f} | {cpu_s:.2f} | {today_s / wall_s:.2f} | "
            f"{today_cpu_s / cpu_s:.2f} | {size} |"
        )
    return lines


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, not written")
    options = parser.parse_args(arguments)
    graphs, side, repeats = (60, 28, 2) if options.quick else (150, 56, 3)
    case = Case(graphs, 200, side, 200, 0, ROOMY_BYTES, repeats)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        table = measure(case, Path(folder))
    lines = [
        machine_line("pyarrow"),
        "",
        f"{case.graphs} graphs x {case.probes} probes x {case.side}x{case.side} maps, one node "
        f"file of {case.range_probes} probes a graph, in the page cache; one BLAS thread. A layout "
        f"is worth its place from {WORTH:g} times as fast on. Nodes and edges of all pairs; "
        "edges are read alike; a mapped file's checksum is not compared.",
        "",
        *table,
    ]
    command = " ".join(["python -m benchmarks.map_layouts", *arguments])
    write_report("map_layouts", command, lines, quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
