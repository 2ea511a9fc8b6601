"""A new ResNet-18 against a zoo of stored graphs: the time of `depara query`, part by part.

Prints, and writes to ``benchmarks/results/query.md``, the seconds that the graphs of the new model
take, their comparison with every stored graph, the intervals of all ranks, and the same query when
it is asked again. The zoo is random graphs in the store's own files, which are read from the disk's
cache; each query runs in a process of its own, as the command does.

    python -m benchmarks.query [--quick] [--folder FOLDER] [--map-side 224]

Intervals are resampled from the maps, which are read for them once more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._query_scan import ZooSize, make_scan
from benchmarks._report import machine_line, write_report

GOAL_S, COMPARISON_GOAL_S = 60, 10


def ask(output: str) -> tuple[float, dict[str, float]]:
    """Returns the wall time of the command, s, and what the answer says of its parts."""
    command = [sys.executable, "-m", "depara.cli", "query", output, "--json"]
    command += ["--source", "torchvision:resnet18", "--weights", "random:0"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, json.loads(done.stdout)["seconds"]


def main() -> None:
    """Makes the zoo where it is not there, asks twice, and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing kept")
    parser.add_argument("--folder", type=Path, help="where the zoo is, or goes to stay")
    parser.add_argument("--map-side", type=int, default=224, help="of the stored maps, px")
    arguments = parser.parse_args()
    size = ZooSize(50, 8, 200, 224, arguments.map_side)
    if arguments.quick:
        size = ZooSize(4, 2, 12, 32, 32)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "latest.json").exists():
            make_scan(str(folder), size)
        load = os.getloadavg()[0]
        first_s, parts = ask(str(folder))
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = spent.ru_utime + spent.ru_stime
        again_s, _ = ask(str(folder))
    graphs = size.models * size.layers
    rows = [
        ("graphs of the new model (9 layers)", parts["graphs"], ""),
        (f"comparison with {graphs} graphs", parts["comparison"], f"under {COMPARISON_GOAL_S}"),
        ("intervals of all ranks", parts["intervals"], ""),
        ("the whole command", first_s, f"under {GOAL_S}"),
        ("CPU time of the whole command", cpu_s, ""),
        ("the same asked again", again_s, ""),
    ]
    lines = [
        f"ResNet-18 against {graphs} stored graphs ({size.models} models of {size.layers} layers), "
        f"{size.probes} probes, canvas {size.canvas_side} px, maps {size.map_side} px.",
        "",
        machine_line(),
        f"Load of the machine before the first query, of other programs: {load:.1f} processes.",
        "",
        "| part | s | goal, s |",
        "|---|---|---|",
        *(f"| {name} | {seconds:.1f} | {goal} |" for name, seconds, goal in rows),
    ]
    command = "python -m benchmarks.query" + (" --quick" if arguments.quick else "")
    if arguments.map_side != 224:
        command += f" --map-side {arguments.map_side}"
    write_report("query", command, lines, quick=arguments.quick)


if __name__ == "__main__":
    main()
