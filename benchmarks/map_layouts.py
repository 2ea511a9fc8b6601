"""How maps must lie on disk for a comparison to read them fastest: today's files against others.

    python -m benchmarks.map_layouts [--quick]

One tile of the plan of 10^4 graphs against 2,000 targets with the default memory and 16 workers:
nodes and edges, read from node files as they are written (without compression, values taken where
they lie), from the same files in zstd, both with every file's checksum compared as it is read; from
raw float16 files, mapped, without any checksum; and from memory. The rounds of all layouts follow
each other; what counts is the ratio to today's, and the share of the rate of a square product. A
layout is worth its place from 1.2 on. All memory is touched once before: a virtual machine may hand
it out on the first touch, at a dozen times the cost of later ones.
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
from benchmarks.reduce import Case, make_graphs, sgemm_rate
from depara.graph import edge_count, edge_index
from depara.similarity import TileScores, plan_tiles, similarity_tile
from depara.similarity.stored import StoredBlock
from depara.store.graphs import CommittedGraph, GraphWriter
from depara.store.layout import nodes_file
from depara.store.markers import GraphMarker
from depara.store.storage import Storage
from depara.types import Float16, Float32, NodeMaps, ProbeRange

WORTH = 1.2
GRAPHS, TARGETS, WORKERS = 10_000, 2_000, 16
MEMORY_BYTES = 4 << 30
TODAY = "today's: Parquet without compression, checksum compared"
TOUCHED_BYTES = 14 << 30


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
    """Returns the same graphs in files of zstd."""
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
            pq.write_table(
                table, target, compression="zstd", compression_level=1, use_dictionary=False
            )
            writer._adopt(nodes_file(probes), len(probes), lambda _: None)
        writer.write_edges(edge_index(case.probes), graph.read_edges())
        marker = GraphMarker(**{**vars(graph.marker), "files": writer._facts})
        graphs.append(CommittedGraph(storage, marker))
    return StoredBlock(graphs)


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


def halves(block: StoredBlock, sources: int) -> tuple[StoredBlock, StoredBlock]:
    """Returns the sources and the targets of some graphs."""
    if isinstance(block, MappedBlock):
        source, target = block.maps_GNP[:sources], block.maps_GNP[sources:]
        graphs = StoredBlock(block._graphs[:sources]), StoredBlock(block._graphs[sources:])
        return MappedBlock(graphs[0], source), MappedBlock(graphs[1], target)
    return StoredBlock(block._graphs[:sources]), StoredBlock(block._graphs[sources:])


def measure(case: Case, sources: int, folder: Path) -> list[str]:
    """Returns the lines of the table: the first ``sources`` graphs against the others."""
    np.ones(TOUCHED_BYTES if case.graphs > 1000 else 1, np.uint8)
    maps, edges = make_graphs(case)
    stored = store(case, folder / "stored", maps, edges)
    packed = rewritten(case, stored, folder / "packed")
    (folder / "raw").mkdir()
    blocks = {
        TODAY: stored,
        "zstd Parquet, checksum compared": packed,
        "raw float16, mapped, no checksum": mapped_raw(case, stored, folder / "raw", maps),
        "in memory": MappedBlock(stored, list(maps)),
    }
    sizes = [bytes_of(folder / name) for name in ("stored", "packed", "raw")]

    def tile(block: StoredBlock) -> TileScores:
        source, target = halves(block, sources)
        return similarity_tile(
            source, target, num_probes=case.probes, memory_bytes=case.memory_bytes
        )

    expected = tile(stored)
    for name, block in blocks.items():
        np.testing.assert_array_equal(tile(block).node_AB, expected.node_AB, err_msg=name)
    rate = sgemm_rate(9)
    times = rounds({n: (lambda b=b: tile(b)) for n, b in blocks.items()}, case.repeats)
    rate = max(rate, sgemm_rate(9))
    columns = case.probes * case.pixels + edge_count(case.probes)
    flops = 2.0 * sources * (case.graphs - sources) * columns
    today_s, today_cpu_s = times[TODAY]
    lines = [
        "| layout | s | of sgemm | CPU s | times as fast | by CPU | MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for place, (name, (wall_s, cpu_s)) in enumerate(times.items()):
        size = f"{sizes[place] / 1e6:,.0f}" if place < len(sizes) else ""
        lines.append(
            f"| {name} | {wall_s:.2f} | {flops / wall_s / rate:.0%} | {cpu_s:.2f} | "
            f"{today_s / wall_s:.2f} | {today_cpu_s / cpu_s:.2f} | {size} |"
        )
    return [*lines, "", f"A square product of 2048 runs at {rate / 1e9:.0f} GFLOP/s."]


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, not written")
    options = parser.parse_args(arguments)
    side, repeats = (28, 1) if options.quick else (56, 2)
    graphs, targets = (200, 100) if options.quick else (GRAPHS, TARGETS)
    planned = plan_tiles(
        graphs,
        targets,
        num_probes=200,
        num_pixels=side**2,
        memory_bytes=MEMORY_BYTES,
        min_tiles=4 if options.quick else WORKERS,
        range_probes=200,
    )
    tile = planned[0]
    count = tile.num_sources + tile.num_targets
    case = Case(count, 200, side, 200, 0, MEMORY_BYTES, repeats)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        table = measure(case, tile.num_sources, Path(folder))
    lines = [
        machine_line("pyarrow"),
        "",
        f"One of {len(planned)} tiles of {graphs:,} graphs x {targets:,} targets: "
        f"{tile.num_sources:,} x {tile.num_targets:,} graphs, {case.probes} probes, "
        f"{case.side}x{case.side} maps, {edge_count(case.probes):,} edges, in at most "
        f"{MEMORY_BYTES >> 30} GiB; one node file of {case.range_probes} probes a graph, in the "
        f"page cache; one BLAS thread. A layout is worth its place from {WORTH:g} times as fast "
        "on. Edges are read alike by all.",
        "",
        *table,
    ]
    command = " ".join(["python -m benchmarks.map_layouts", *arguments])
    write_report("map_layouts", command, lines, quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
