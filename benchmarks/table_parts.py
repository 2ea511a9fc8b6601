"""What the task takes that writes one part of a large scan's tables: memory, seconds, bytes.

    python -m benchmarks.table_parts [--quick]

10^4 graphs of 2,000 models against 2,000 targets, with all scores: a pair has 21 numbers, the whole
matrix 2.6 GB of them, and as a table ten times as much. Scores are drawn: neither they nor graphs
matter to the task. Target: at most 2 GiB anywhere.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks._report import machine_line, write_report

NUM_PROBES, NUM_LAYERS, TILE_SOURCES = 64, 5, 2000


def write_one(num_models: int, output: str) -> dict[str, Any]:
    """Writes the first part of the tables of a zoo in this process; returns what it took."""
    from cluster.compare.pairs import Reduction
    from cluster.compare.parts import table_parts
    from cluster.compare.tables import TileResult, write_result_tables
    from depara.config import parse_scan
    from depara.similarity.centre import Centre
    from depara.similarity.stored import GraphRef
    from depara.store.schemas import pair_columns
    from depara.types import Float32, Float64

    models = [{"id": f"m{number:05d}", "source": "timm:resnet18"} for number in range(num_models)]
    config = parse_scan(yaml.safe_dump({"probes": {"source": output}, "models": models})).config
    graphs = tuple(
        GraphRef(model.id, f"l{layer}", layer, f"{model.id}.{layer}", layer == NUM_LAYERS - 1)
        for model in config.models
        for layer in range(NUM_LAYERS)
    )
    outputs = tuple(graph for graph in graphs if graph.is_output)
    reduction = Reduction(graphs, outputs, NUM_PROBES, 32**2, config)
    parts = table_parts(reduction)
    part, rng = parts[0], np.random.default_rng(0)
    columns = pair_columns(config.similarity.computed_scores)
    slices = []
    for start in range(0, len(graphs), TILE_SOURCES):
        rows = tuple(range(start, min(start + TILE_SOURCES, len(graphs))))
        shape = (len(rows), len(part.targets))
        scores: dict[str, Float64 | Float32] = {name: rng.random(shape) for name in columns}
        slices.append((TileResult(rows, part.targets, scores, None),))
    drawn = rng.random((len(graphs), NUM_PROBES)).astype(np.float32)
    centre = Centre.of_zoo(drawn, np.ones_like(drawn), [graph.is_ranked for graph in graphs])
    before_mib, started_s, cpu_s = _peak_mib(), time.perf_counter(), time.process_time()
    facts = write_result_tables(output, "scan", reduction, None, part, centre, *slices)
    assert isinstance(facts, dict), facts
    return {
        "graphs": len(graphs),
        "targets": len(outputs),
        "pairs": reduction.num_pairs,
        "parts": len(parts),
        "pairs of the part": facts["similarity"]["rows"],
        "seconds": time.perf_counter() - started_s,
        "CPU s": time.process_time() - cpu_s,
        "MiB before": before_mib,
        "MiB at most": _peak_mib(),
        "MiB of files": sum(fact["bytes"] for fact in facts.values()) / 2**20,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(num_models: int) -> dict[str, Any]:
    """Runs it in a fresh process, whose peak of memory is the task's."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.table_parts", "--one", str(num_models)]
        done = subprocess.run(
            [*command, "--output", folder], stdout=subprocess.PIPE, text=True, check=True
        )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


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
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(write_one(arguments.one, str(arguments.output))))
        return
    rows = [in_process(count) for count in ([400] if arguments.quick else [500, 2000])]
    for row in rows:
        row["MiB before"], row["MiB at most"] = round(row["MiB before"]), round(row["MiB at most"])
        row["seconds"], row["CPU s"] = round(row["seconds"], 1), round(row["CPU s"], 1)
        row["MiB of files"] = round(row["MiB of files"])
    lines = [
        f"{NUM_LAYERS} layers a model, every layer against every output, all scores; one part.",
        "",
        *table_lines(rows),
        "",
        "Before the task the process holds its modules, the drawn slices of tiles and the centre. "
        "Random numbers do not compress: files of real scores are no larger.",
        "",
        machine_line("pyarrow"),
    ]
    write_report("table_parts", "python -m benchmarks.table_parts", lines, quick=arguments.quick)


if __name__ == "__main__":
    main()
