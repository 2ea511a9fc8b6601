"""A search among 10^5 graphs: what it finds of the 50 nearest, how long it takes, what it holds.

    python -m benchmarks.nearest [--quick]

Graphs are drawn, as no zoo of 10^5 models is at hand: families of models with maps and edges of low
rank, of what all share, and of noise, whose similarities spread no wider than those of the digits'
zoo (`make demo`; wider is easier). Their maps and edges are sketched as any graph's; the files of
sketches are written for graphs that the first cut chooses, since no other is ever read again. Exact
similarities are of all graphs, from the maps and edges themselves. Target: recall@50 of at least
0.99 in under 2 s on 2 cores after the index is loaded.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks._report import machine_line, write_report
from depara.graph import rank_vector
from depara.nearest.index import CutIndex, cells_of_cut, cut_of, estimate
from depara.nearest.making import EDGE, ProbeCells
from depara.nearest.search import FIRST_CUT, SHORT_LIST
from depara.similarity.sketches import sketch_maps, sketch_vector
from depara.store.markers import GraphMarker
from depara.store.sketches import ROW_CELLS, Cells, GraphSketch, read_sketch, write_sketch
from depara.store.storage import Storage
from depara.types import ProbeRange

NUM_PROBES, NUM_PIXELS, BLOCK, TOP, QUERIES = 64, 256, 1000, 50, 10
TERMS = {"node": 1.0, "edge": 1.0}
NUM_EDGES = NUM_PROBES * (NUM_PROBES - 1) // 2
RANK, EDGE_RANK, FAMILY = 16, 6, 0.5
SHARED_MAP, OWN_MAP, OWN_EDGE = 0.074, 0.35, 0.8

Array = Any


@dataclass
class Zoo:
    """Draws graphs block by block, the same ones for the same number."""

    num_graphs: int
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        draw = self.rng.standard_normal
        values = NUM_PROBES * NUM_PIXELS
        self.basis = (draw((RANK, values)) / np.sqrt(NUM_PIXELS * RANK)).astype(np.float32)
        self.mean = (draw(values) / np.sqrt(NUM_PIXELS)).astype(np.float32)
        self.edge_basis = (draw((EDGE_RANK, NUM_EDGES)) / np.sqrt(EDGE_RANK)).astype(np.float32)
        self.edge_mean = draw(NUM_EDGES).astype(np.float32)
        self.families = draw((max(self.num_graphs // 100, 1), RANK)).astype(np.float32)

    def block(self, number: int, count: int) -> tuple[Array, Array]:
        """Returns unit maps (G, N, P) and rank vectors (G, E) of some graphs."""
        rng = np.random.default_rng([1, number])
        own = rng.standard_normal((count, RANK), np.float32)
        family = self.families[rng.integers(0, len(self.families), count)]
        latent = np.sqrt(FAMILY) * family + np.sqrt(1 - FAMILY) * own
        noise = rng.standard_normal((count, NUM_PROBES * NUM_PIXELS), np.float32)
        noise *= np.float32(np.sqrt((1 - SHARED_MAP - OWN_MAP) / NUM_PIXELS))
        noise += np.float32(np.sqrt(OWN_MAP)) * (latent @ self.basis)
        noise += np.float32(np.sqrt(SHARED_MAP)) * self.mean
        maps = noise.reshape(count, NUM_PROBES, NUM_PIXELS)
        maps /= np.linalg.norm(maps, axis=2, keepdims=True)
        share = rng.uniform(0.35, 0.95, (count, 1)).astype(np.float32)
        edges = np.sqrt(OWN_EDGE) * (latent[:, :EDGE_RANK] @ self.edge_basis)
        edges += np.sqrt(1 - OWN_EDGE) * rng.standard_normal((count, NUM_EDGES), np.float32)
        edges = np.sqrt(share) * self.edge_mean + np.sqrt(1 - share) * edges
        return maps, np.stack([rank_vector(one.astype(np.float32)) for one in edges])


def sketches_of(maps: Array, ranks: Array, cells: ProbeCells) -> list[GraphSketch]:
    """Returns the sketches of a block of graphs, without the vectors of `directed`."""
    found = []
    for graph_maps, ranks_E in zip(maps, ranks, strict=True):
        edges = sketch_vector(ranks_E, cells.edges_V).reshape(-1, ROW_CELLS)
        rows = Cells.of(sketch_maps(graph_maps, cells.maps_NP))
        found.append(GraphSketch(rows, {EDGE: Cells.of(edges)}, {EDGE: 1.0}, {}))
    return found


def marker_of(graph: int) -> GraphMarker:
    """Returns a marker under which a sketch is kept."""
    ranges = (ProbeRange(0, NUM_PROBES),)
    key = f"{graph:032x}"
    numbers = (NUM_PROBES, NUM_PIXELS, NUM_PIXELS)
    return GraphMarker(key, f"m{graph}", "out", *numbers, "drawn", ranges, {}, {}, 0.0, 0)


def measure(num_graphs: int) -> dict[str, Any]:
    """Builds the index, searches, and compares with all exact similarities."""
    zoo = Zoo(num_graphs)
    cells = ProbeCells(tuple(f"probe {n}" for n in range(NUM_PROBES)), NUM_PIXELS)
    cells.prepare()
    targets, target_ranks = zoo.block(-1 % 2**31, QUERIES)
    target_sketches = sketches_of(targets, target_ranks, cells)
    cuts = [cut_of(one, TERMS, cells.groups_N, is_target=True)[0] for one in target_sketches]
    index = CutIndex(num_graphs)
    exact = np.empty((2, QUERIES, num_graphs), np.float32)
    kept: dict[int, GraphSketch] = {}
    most = 3 * BLOCK * FIRST_CUT // num_graphs  # of a block, three times what is due
    for start in range(0, num_graphs, BLOCK):
        count = min(BLOCK, num_graphs - start)
        rows = slice(start, start + count)
        maps, ranks = zoo.block(start, count)
        flat = maps.reshape(count, -1)
        exact[0, :, rows] = targets.reshape(QUERIES, -1) @ flat.T / NUM_PROBES
        exact[1, :, rows] = target_ranks @ ranks.T
        made = sketches_of(maps, ranks, cells)
        for place, sketch in enumerate(made):
            index.fill(start + place, *cut_of(sketch, TERMS, cells.groups_N, is_target=False))
        rough = index.values_GC[rows].astype(np.float32) @ np.array(cuts).T.astype(np.float32)
        rough *= index.scales_G[rows, None]
        likely = {int(p) for one in rough.T for p in np.argsort(-one)[:most]}
        kept |= {start + place: made[place] for place in likely}
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        for target_C in cuts:
            for place in np.argsort(-index.products(target_C, 2))[:FIRST_CUT].tolist():
                if place in kept:  # else reading it ends the benchmark: more must be kept
                    write_sketch(storage, marker_of(place), kept.pop(place))
        kept.clear()
        found = _searched(index, cuts, target_sketches, storage, exact, cells)
    found |= {
        "index": index.values_GC.nbytes,
        "spread": [(float(one.mean()), float(one.std())) for one in exact],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return found


def _searched(
    index: CutIndex,
    cuts: list[Array],
    targets: list[GraphSketch],
    storage: Storage,
    exact: Array,
    cells: ProbeCells,
) -> dict[str, Any]:
    """Runs every query as `depara nearest` does up to the comparison; then its recall."""
    from concurrent.futures import ThreadPoolExecutor

    result: dict[str, list[float]] = {
        name: []
        for name in ("wall", "cpu", "product", "cut", "short", "rough", "off", "off_at_most")
    }
    for query, (target_C, target) in enumerate(zip(cuts, targets, strict=True)):
        truth = exact[0, query].astype(np.float64) + exact[1, query]
        best = set(np.argsort(-truth)[:TOP].tolist())
        wall, cpu = time.perf_counter(), time.process_time()
        rough = index.products(target_C, 2)
        chosen = np.argsort(-rough)[:FIRST_CUT].tolist()
        product_s = time.process_time() - cpu

        def one(place: int, target: GraphSketch = target) -> tuple[float, float]:
            sketch = read_sketch(storage, marker_of(place))
            assert sketch is not None, f"graph {place} was not kept"
            pair = estimate(sketch, target, TERMS)
            return pair.similarity, pair.deviation

        with ThreadPoolExecutor(2) as pool:
            estimates = np.array(list(pool.map(one, chosen)))
        short = [chosen[place] for place in np.argsort(-estimates[:, 0])[:SHORT_LIST]]
        result["wall"].append(time.perf_counter() - wall)
        result["cpu"].append(time.process_time() - cpu)
        result["product"].append(product_s)
        result["cut"].append(len(best & set(chosen)) / TOP)
        result["short"].append(len(best & set(short)) / TOP)
        result["rough"].append(len(best & set(np.argsort(-rough)[:TOP].tolist())) / TOP)
        result["off"].append(float(np.sqrt(((estimates[:, 0] - truth[chosen]) ** 2).mean())))
        result["off_at_most"].append(float(np.sqrt((estimates[:, 1] ** 2).mean())))
    cut_off = float(np.std([index.products(c, 2) - exact[:, q].sum(0) for q, c in enumerate(cuts)]))
    bound = np.sqrt((sum(TERMS.values()) ** 2) / cells_of_cut(cells.groups_N))
    return {**result, "cut_off": cut_off, "cut_bound": float(bound)}


def main(*, quick: bool) -> None:
    """Measures and writes the report."""
    num_graphs = 3000 if quick else 100_000
    load, started = os.getloadavg()[0], time.process_time()
    found = measure(num_graphs)
    mean = {name: float(np.mean(found[name])) for name in ("wall", "cpu", "product")}
    recall = {name: float(np.mean(found[name])) for name in ("rough", "cut", "short")}
    (node, node_sd), (edge, edge_sd) = found["spread"]
    lines = [
        machine_line(),
        f"Load of the machine (other programs): {load:.0f} before, {os.getloadavg()[0]:.0f} after; "
        f"so CPU seconds count. The benchmark itself took {time.process_time() - started:.0f} of "
        "them.",
        "",
        f"{num_graphs:,} drawn graphs, {NUM_PROBES} probes, {NUM_PIXELS} px per map, {QUERIES} "
        f"targets, node + edge. node similarity {node:.2f} (deviation {node_sd:.2f}), edge "
        f"similarity {edge:.2f} ({edge_sd:.2f}); the digits' zoo has 0.07 (0.10) and 0.63 (0.20).",
        "",
        "| | |",
        "|---|---:|",
        f"| recall@{TOP}: exact scores of the {SHORT_LIST} on the short list | "
        f"**{recall['short']:.3f}** |",
        f"| worst target | {min(found['short']):.2f} |",
        f"| recall@{TOP} of the {FIRST_CUT:,} of the first cut | {recall['cut']:.3f} |",
        f"| recall@{TOP} of the first cut's own first {TOP}: why it is not the answer | "
        f"{recall['rough']:.2f} |",
        f"| a search after loading, CPU s of all threads, mean (most) | {mean['cpu']:.2f} "
        f"({max(found['cpu']):.2f}) |",
        f"| of it the product with all graphs | {mean['product']:.2f} |",
        f"| wall s, 2 threads, mean (least) | {mean['wall']:.2f} ({min(found['wall']):.2f}) |",
        f"| first cut off by (deviation) / at most, for dissimilar graphs | "
        f"{found['cut_off']:.4f} / {found['cut_bound']:.4f} |",
        f"| whole sketches off by / at most | {np.mean(found['off']):.4f} / "
        f"{np.mean(found['off_at_most']):.4f} |",
        f"| the index, MB | {found['index'] / 1e6:.0f} |",
        f"| peak memory of all of the benchmark, MB | {found['peak'] / 1e6:.0f} |",
        "",
        "Not in these figures: loading (a read of each sketch, once), and the exact comparison of "
        "the short list, which reads 200 graphs; `directed`, whose vectors are sketched as edges "
        "are.",
    ]
    write_report("nearest", "python -m benchmarks.nearest", lines, quick=quick)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="3,000 graphs; no result is kept")
    main(quick=parser.parse_args().quick)
