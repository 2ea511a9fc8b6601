"""All pairs of graphs: the product's tiles against the authors' pair loop, in one run.

Prints, and writes to ``benchmarks/results/reduce.md``, the time of node and edge similarity of all
pairs of graphs from memory and from Parquet files, as a ratio to the pair loop (per pair: one
cosine per probe, one ``scipy.stats.spearmanr``; timed on a sample of pairs) and as a fraction of
the rate of a large square sgemm of the same numpy with the same number of threads.

    python -m benchmarks.reduce [--quick] [--threads 1]
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy
from numpy.typing import NDArray
from scipy.stats import spearmanr
from threadpoolctl import threadpool_info, threadpool_limits

from depara.graph import edge_count
from depara.similarity import Footprint, TileScores, similarity_tile
from depara.types import ProbeRange

RESULTS = Path(__file__).parent / "results" / "reduce.md"
EVERYTHING_BYTES = 64 << 30


@dataclass(frozen=True)
class Case:
    """Sizes of the run."""

    graphs: int
    probes: int
    side: int
    range_probes: int
    sample_pairs: int
    memory_bytes: int
    repeats: int

    @property
    def pixels(self) -> int:
        """Pixels of one map."""
        return self.side**2

    @property
    def useful_node_flops(self) -> float:
        """Multiplications and additions of one triangle of pairs, the diagonal included."""
        return float(self.graphs) * (self.graphs + 1) * self.probes * self.pixels

    @property
    def useful_flops(self) -> float:
        """Those of nodes and edges."""
        return self.useful_node_flops + self.graphs * (self.graphs + 1) * edge_count(self.probes)

    def ranges(self) -> list[ProbeRange]:
        """Probe ranges, one per row group."""
        starts = range(0, self.probes, self.range_probes)
        return [ProbeRange(s, min(s + self.range_probes, self.probes)) for s in starts]


class MemoryBlock:
    """Graphs in memory; reading is slicing."""

    def __init__(self, case: Case, maps: NDArray[np.float16], edges: NDArray[np.float32]) -> None:
        self.num_graphs, self.num_pixels = len(maps), maps.shape[-1]
        self._case, self._maps, self._edges = case, maps, edges

    def ranges(self) -> list[ProbeRange]:
        """Returns the case's probe ranges."""
        return self._case.ranges()

    def read_maps(self, probes: ProbeRange, graphs: slice) -> NDArray[np.float16]:
        """Returns a view."""
        return self._maps[graphs, probes.start : probes.stop]

    def read_edges(self, graph: int) -> NDArray[np.float32]:
        """Returns a view."""
        return self._edges[graph]


class ParquetBlock:
    """Graphs in zstd Parquet files as the store lays them out: one file of nodes, one of edges."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.num_graphs, self.num_pixels = case.graphs, case.pixels
        self._case, self._folder = case, folder

    def write(self, maps: NDArray[np.float16], edges: NDArray[np.float32]) -> int:
        """Writes every graph; returns the bytes on disk."""
        element = pa.field("element", pa.float16(), nullable=False)
        kind = pa.list_(element, self.num_pixels)
        schema = pa.schema([pa.field("map", kind, nullable=False)])
        for graph in range(self.num_graphs):
            values = pa.array(maps[graph].reshape(-1))
            column = pa.FixedSizeListArray.from_arrays(values, type=kind)
            self._write("nodes", graph, pa.table([column], schema=schema), self._case.range_probes)
            cosine = pa.schema([pa.field("cosine", pa.float32(), nullable=False)])
            table = pa.table([pa.array(edges[graph])], schema=cosine)
            self._write("edges", graph, table, table.num_rows)
        return sum(file.stat().st_size for file in self._folder.iterdir())

    def ranges(self) -> list[ProbeRange]:
        """Returns the case's probe ranges: the files' row groups."""
        return self._case.ranges()

    def read_maps(self, probes: ProbeRange, graphs: slice) -> list[NDArray[np.float16]]:
        """Decodes one row group of each graph and cuts the probes out of it."""
        group = probes.start // self._case.range_probes
        first = probes.start - group * self._case.range_probes
        maps = []
        for graph in range(*graphs.indices(self.num_graphs)):
            file = pq.ParquetFile(self._folder / f"nodes-{graph}.parquet")
            column = file.read_row_group(group, columns=["map"], use_threads=False)["map"]
            values = column.chunk(0).values.to_numpy().reshape(-1, self.num_pixels)
            maps.append(values[first : first + len(probes)])
        return maps

    def read_edges(self, graph: int) -> NDArray[np.float32]:
        """Decodes the cosines of one graph."""
        file = pq.ParquetFile(self._folder / f"edges-{graph}.parquet")
        return file.read(columns=["cosine"], use_threads=False)["cosine"].chunk(0).to_numpy()

    def _write(self, kind: str, graph: int, table: pa.Table, row_group: int) -> None:
        path = self._folder / f"{kind}-{graph}.parquet"
        options = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
        pq.write_table(table, path, row_group_size=row_group, **options)


def make_graphs(case: Case, seed: int = 0) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Returns random unit-norm maps ``(G, N, P)`` and edges ``(G, E)`` that correlate somewhat."""
    rng = np.random.default_rng(seed)
    shared_maps = rng.standard_normal((case.probes, case.pixels), dtype=np.float32)
    shared_edges = rng.standard_normal(edge_count(case.probes), dtype=np.float32)
    maps = np.empty((case.graphs, case.probes, case.pixels), dtype=np.float16)
    edges = np.empty((case.graphs, shared_edges.size), dtype=np.float32)
    for graph in range(case.graphs):
        noise = rng.standard_normal(shared_maps.shape, dtype=np.float32)
        raw = shared_maps + noise
        maps[graph] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        edges[graph] = shared_edges + rng.standard_normal(shared_edges.size, dtype=np.float32)
    return maps, np.tanh(edges)


def authors_pair(
    maps_a: NDArray[np.float32],
    maps_b: NDArray[np.float32],
    edges_a: NDArray[np.float32],
    edges_b: NDArray[np.float32],
) -> tuple[float, float]:
    """Returns ``s_V`` and ``s_E`` of one pair, as the authors' scripts loop over them."""
    cosines = [
        np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
        for a, b in zip(maps_a, maps_b, strict=True)
    ]
    return float(np.mean(cosines)), float(spearmanr(edges_a, edges_b).statistic)


def time_pair_loop(
    case: Case, maps: NDArray[np.float16], edges: NDArray[np.float32]
) -> tuple[float, dict[tuple[int, int], tuple[float, float]]]:
    """Returns seconds per pair of a sample, maps already in float32, and the sample's scores."""
    rng = np.random.default_rng(1)
    scores, seconds = {}, 0.0
    for _ in range(case.sample_pairs):
        a, b = (int(graph) for graph in rng.choice(case.graphs, 2, replace=False))
        maps_a, maps_b = maps[a].astype(np.float32), maps[b].astype(np.float32)
        started = time.perf_counter()
        scores[a, b] = authors_pair(maps_a, maps_b, edges[a], edges[b])
        seconds += time.perf_counter() - started
    return seconds / case.sample_pairs, scores


def sgemm_rate(repeats: int, size: int = 2048) -> float:
    """Returns the best rate of a square single-precision product, flop/s."""
    rng = np.random.default_rng(2)
    a, b = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    return 2 * size**3 / best_seconds(lambda: np.matmul(a, b, out=out), repeats)


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Returns the shortest of some runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


class PeakMemory:
    """Growth of this process' resident memory over a ``with`` block, sampled, bytes."""

    def __enter__(self) -> PeakMemory:
        self.bytes = 0
        self._before = _resident_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.002):
            self.bytes = max(self.bytes, _resident_bytes() - self._before)


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) << 10 for row in status.splitlines() if "VmRSS" in row)


def check(
    scores: dict[tuple[int, int], tuple[float, float]], node: NDArray, edge: NDArray
) -> float:
    """Returns the largest difference of the sampled pairs between loop and tile."""
    worst = max(
        max(abs(node[a, b] - pair[0]), abs(edge[a, b] - pair[1])) for (a, b), pair in scores.items()
    )
    # The loop divides by the norms of the rounded maps, the tile takes them for 1.
    assert worst < 1e-4, worst
    return float(worst)


def measure(case: Case, folder: Path) -> Iterator[str]:
    """Yields the lines of the report."""
    maps, edges = make_graphs(case)
    rate = sgemm_rate(3 * case.repeats)
    pair_s, sample = time_pair_loop(case, maps, edges)
    pairs = case.graphs * (case.graphs - 1) // 2
    loop_s = pair_s * pairs
    memory, parquet = MemoryBlock(case, maps, edges), ParquetBlock(case, folder)
    disk_bytes = parquet.write(maps, edges)

    def tile(block: MemoryBlock | ParquetBlock, limit: int) -> TileScores:
        return similarity_tile(block, block, num_probes=case.probes, memory_bytes=limit)

    scores = tile(memory, EVERYTHING_BYTES)
    worst = check(sample, scores.node_AB, scores.edge_AB)
    memory_s = best_seconds(partial(tile, memory, EVERYTHING_BYTES), case.repeats)
    rect_s, rect_flops = time_rectangle(case, maps, edges)
    del maps, edges, memory, scores
    with PeakMemory() as peak:
        parquet_s = best_seconds(partial(tile, parquet, case.memory_bytes), case.repeats)
    yield from (
        "| measured | seconds | against the pair loop | useful GFLOP/s | of sgemm |",
        "|---|---|---|---|---|",
        f"| square sgemm, 2048 | | | {rate / 1e9:.0f} | 100 % |",
        f"| authors' pair loop, {pairs:,} pairs (extrapolated) | {loop_s:.0f} | 1 | | |",
        _row("tile, graphs in memory", memory_s, loop_s, case.useful_flops, rate),
        _row("tile, graphs in Parquet (zstd)", parquet_s, loop_s, case.useful_flops, rate),
        _row("tile of two different halves, in memory", rect_s, None, rect_flops, rate),
        "",
        f"Pair loop: {pair_s * 1e3:.2f} ms per pair, mean of {case.sample_pairs} sampled pairs.",
        f"Largest difference from it on those pairs: {worst:.1e} (float16 rounding of norms).",
        "Useful flops of all pairs: one triangle with its diagonal, `G(G+1)(NP + E)`; a count of "
        f"the full square would say {2 * case.useful_flops / memory_s / rate:.0%} (memory) and "
        f"{2 * case.useful_flops / parquet_s / rate:.0%} (Parquet).",
        "The two halves share nothing: their useful flops are all `2 A B (NP + E)`.",
        f"Peak memory, Parquet: {peak.bytes / 2**20:.0f} MiB of a limit of "
        f"{case.memory_bytes / 2**20:.0f} MiB; the maps of all graphs are "
        f"{2 * case.graphs * case.probes * case.pixels / 2**20:.0f} MiB, "
        f"{disk_bytes / 2**20:.0f} MiB on disk with the edges (files in the page cache).",
    )


def time_rectangle(
    case: Case, maps: NDArray[np.float16], edges: NDArray[np.float32]
) -> tuple[float, float]:
    """Returns seconds and flops of one half of the graphs against the other."""
    half = case.graphs // 2
    source = MemoryBlock(case, maps[:half], edges[:half])
    target = MemoryBlock(case, maps[half:], edges[half:])
    seconds = best_seconds(
        lambda: similarity_tile(
            source, target, num_probes=case.probes, memory_bytes=EVERYTHING_BYTES
        ),
        case.repeats,
    )
    columns = case.probes * case.pixels + edge_count(case.probes)
    return seconds, 2.0 * source.num_graphs * target.num_graphs * columns


def _row(name: str, seconds: float, loop_s: float | None, flops: float, rate: float) -> str:
    ratio = "" if loop_s is None else f"{loop_s / seconds:.0f}x"
    speed = flops / seconds
    return f"| {name} | {seconds:.2f} | {ratio} | {speed / 1e9:.0f} | {speed / rate:.0%} |"


def report(case: Case, threads: int, arguments: Sequence[str]) -> str:
    """Returns the whole Markdown report."""
    blas = next(info for info in threadpool_info() if "numpy" in info["filepath"])
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(threads):
        lines = list(measure(case, Path(folder)))
    footprint = Footprint(case.graphs, case.graphs, case.probes, case.pixels, symmetric=True)
    command = " ".join(["python -m benchmarks.reduce", *arguments])
    header = [
        "# All pairs of graphs",
        "",
        f"`{command}`",
        "",
        f"{case.graphs} graphs x {case.probes} probes x {case.side}x{case.side} maps (float16), "
        f"{edge_count(case.probes):,} edges each; {threads} BLAS thread(s), one reader thread; "
        f"least memory of the tile {footprint.min_bytes / 2**20:.0f} MiB.",
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"pyarrow {pa.__version__}, {blas['internal_api']} {blas['version']} "
        f"({blas['architecture']} kernels), {platform.machine()}.",
        "",
    ]
    return "\n".join([*header, *lines, ""])


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, not written")
    parser.add_argument("--threads", type=int, default=1, help="BLAS threads (default 1)")
    parser.add_argument("--memory-mib", type=int, default=256, help="limit of the Parquet row")
    options = parser.parse_args(arguments)
    limit = options.memory_mib << 20
    case = Case(400, 200, 56, 40, sample_pairs=200, memory_bytes=limit, repeats=3)
    if options.quick:
        case = Case(100, 60, 28, 20, sample_pairs=20, memory_bytes=limit, repeats=2)
    text = report(case, options.threads, arguments)
    print(text)
    if not options.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
