"""What the task takes that writes one part of a large scan's tables: memory, CPU, bytes.

    python -m benchmarks.table_parts [--quick]

10^4 graphs of 2,000 models against 2,000 targets, with all scores: a pair has 21 numbers, the whole
matrix 2.6 GB of them, and as a table ten times as much. The first three parts are written: of a
zoo that no scan has seen, then of the same zoo and one model more, which takes the old pairs from
the parts of the first. The new model is a target of the second of these parts: the first has the
targets of its old one, the third has them of two. Neither scores nor graphs matter to the task:
scores are drawn, with the digits that real ones have, so that they compress alike. Target: at most
2 GiB anywhere.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from benchmarks._report import machine_line, write_report

if TYPE_CHECKING:
    from cluster.compare.pairs import KnownPairs, Reduction
    from cluster.compare.parts import TablePart
    from cluster.compare.tile_results import TileResult

NUM_PROBES, NUM_LAYERS, TILE_SOURCES, NUM_PARTS = 64, 5, 2000, 3
_DOUBLES = ("node_similarity", "gulp", "lsim")
"""Scores of more than single precision."""


def zoo(names: Sequence[str]) -> Reduction:
    """Returns the comparison of models of some names."""
    from cluster.compare.pairs import Reduction
    from depara.config import parse_scan
    from depara.similarity.stored import GraphRef

    models = [{"id": name, "source": "timm:resnet18"} for name in names]
    config = parse_scan(yaml.safe_dump({"probes": {"source": "photos"}, "models": models})).config
    graphs = tuple(
        GraphRef(model.id, f"l{layer}", layer, f"{model.id}.{layer}", layer == NUM_LAYERS - 1)
        for model in config.models
        for layer in range(NUM_LAYERS)
    )
    outputs = tuple(graph for graph in graphs if graph.is_output)
    return Reduction(graphs, outputs, NUM_PROBES, 32**2, config)


def known_pairs(first: Reduction, reduction: Reduction, parts: list[dict[str, Any]]) -> KnownPairs:
    """Returns what a zoo knows of the first one, whose similarity table is in some parts."""
    from cluster.compare.pairs import KnownPairs

    places = (
        {graph.key: place for place, graph in enumerate(graphs)}
        for graphs in (first.sources, first.targets)
    )
    sources, targets = (
        tuple(place.get(graph.key) for graph in graphs)
        for place, graphs in zip(places, (reduction.sources, reduction.targets), strict=True)
    )
    models = tuple(graph.model_id for graph in first.targets)
    facts = {"similarity": {"parts": parts}}
    return KnownPairs("first", facts, len(first.sources), models, sources, targets)


def drawn_tiles(
    reduction: Reduction, part: TablePart, sources: Sequence[int], targets: Sequence[int]
) -> Iterator[tuple[TileResult, ...]]:
    """Yields slices of tiles of some sources and some of a part's targets."""
    from cluster.compare.tile_results import TileResult
    from depara.store.schemas import TABLES, pair_columns
    from depara.types import Float32, Float64

    rng = np.random.default_rng(part.number)
    for start in range(0, len(sources), TILE_SOURCES):
        rows = tuple(sources[start : start + TILE_SOURCES])
        scores: dict[str, Float64 | Float32] = {}
        for name in pair_columns(reduction.config.similarity.computed_scores):
            drawn = 0.5 + 0.1 * rng.standard_normal((len(rows), len(targets)))
            single = drawn.astype(np.float32)
            is_double = TABLES["similarity"].field(name).type == "double"
            scores[name] = single.astype(np.float64) if is_double else single
            if name in _DOUBLES:
                scores[name] = drawn
        yield (TileResult(rows, tuple(targets), scores, None),)


def write_parts(num_models: int, output: str, *, more: bool) -> dict[str, Any]:
    """Writes the first parts of the tables of a zoo in this process; returns what they took.

    With ``more`` it is the zoo with one model more, and the first zoo's parts lie in the output.
    """
    from cluster.compare.parts import table_parts
    from cluster.compare.tables import write_result_tables
    from depara.similarity.centre import Centre

    first = reduction = zoo([f"m{number:05d}" for number in range(num_models)])
    first_parts, known, facts_path = table_parts(first), None, Path(output) / "facts.json"
    new_sources: Sequence[int] = range(len(first.sources))
    if more:
        names = [model.id for model in first.config.models]
        added = f"{first_parts[1].models[0]}-added"
        reduction = zoo(sorted([*names, added]))
        known = known_pairs(first, reduction, json.loads(facts_path.read_text()))
        new_sources = [place for place, then in enumerate(known.sources) if then is None]
    drawn = np.random.default_rng(0).random((len(reduction.sources), NUM_PROBES)).astype("f4")
    is_ranked = [graph.is_ranked for graph in reduction.sources]
    centre = Centre.of_zoo(drawn, np.ones_like(drawn), is_ranked)
    before_mib, cpu_s, num_bytes, facts = _peak_mib(), 0.0, 0, []
    parts = table_parts(reduction)
    for part in parts[:NUM_PARTS]:
        slices = list(drawn_tiles(reduction, part, new_sources, part.targets))
        if known is not None:
            old = [place for place, then in enumerate(known.sources) if then is not None]
            new = [place for place in part.targets if known.targets[place] is None]
            slices += drawn_tiles(reduction, part, old, new) if new else ()
        started_s = time.process_time()
        scan_id = "more" if more else "first"
        fact = write_result_tables(output, scan_id, reduction, known, part, centre, *slices)
        cpu_s += time.process_time() - started_s
        assert isinstance(fact, dict), fact
        facts.append(fact["similarity"])
        num_bytes += sum(one["bytes"] for one in fact.values())
        slices.clear()
    if not more:
        rest = [{"targets": list(part.models)} for part in parts[NUM_PARTS:]]
        facts_path.write_text(json.dumps([*facts, *rest]))
    written = len(facts)
    return {
        "models": len(reduction.config.models),
        "graphs": len(reduction.sources),
        "pairs": reduction.num_pairs,
        "parts": len(parts),
        "pairs of a part": round(sum(fact["rows"] for fact in facts) / written),
        "CPU s of a part": round(cpu_s / written, 2),
        "MiB before": round(before_mib),
        "MiB at most": round(_peak_mib()),
        "MiB of files of a part": round(num_bytes / written / 2**20),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_processes(num_models: int) -> list[dict[str, Any]]:
    """Runs both nights in fresh processes, whose peak of memory is that of the tasks."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for more in (False, True):
            command = [sys.executable, "-m", "benchmarks.table_parts", "--one", str(num_models)]
            command += ["--output", folder, *["--more"] * more]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def table_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the rows as a Markdown table."""
    names = list(rows[0])
    return [
        "| " + " | ".join(names) + " |",
        "|" + "---:|" * len(names),
        *("| " + " | ".join(f"{row[name]:,.6g}" for name in names) + " |" for row in rows),
    ]


def main() -> None:
    """Prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small zoo")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--more", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(write_parts(arguments.one, str(arguments.output), more=arguments.more)))
        return
    sizes = [400] if arguments.quick else [500, 2000]
    rows = [row for size in sizes for row in in_processes(size)]
    lines = [
        f"{NUM_LAYERS} layers a model, every layer against every output, all scores; the mean of "
        f"the first {NUM_PARTS} parts, of a zoo and of the same with one model more.",
        "",
        *table_lines(rows),
        "",
        "Before the tasks the process holds its modules and the centre, at most also the drawn "
        "slices of tiles.",
        "",
        machine_line("pyarrow"),
    ]
    write_report("table_parts", "python -m benchmarks.table_parts", lines, quick=arguments.quick)


if __name__ == "__main__":
    main()
