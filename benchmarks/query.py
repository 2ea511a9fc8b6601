"""A new ResNet-18 against a zoo of stored graphs: the time of `depara query`, part by part.

Prints, and writes to ``benchmarks/results/query-224px.md`` (the side of the maps), the time that
the graphs of the new model take, their comparison with every stored graph, the intervals of all
ranks, and the same query when its graphs are there already, and when its answer is. The zoo is
random graphs in the store's own files, which are read from the disk's cache where they fit; each
query runs in a process of its own, as the command does.

    python -m benchmarks.query [--quick] [--folder FOLDER] [--map-side 224] [--against CHECKOUT]

``--against`` times another checkout of the repository as well, on the same zoo. On a machine that
others use, judge by seconds of CPU, as far as threads do not spin.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks._query_scan import ZooSize, make_scan
from benchmarks._report import machine_line, write_report

GOAL_S, COMPARISON_GOAL_S = 60, 10
HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Asked:
    """One run of the command: its time and CPU time, s, and what the answer says of its parts."""

    wall_s: float
    cpu_s: float
    num_layers: int
    parts: dict[str, float]


def ask(checkout: Path, output: str, *options: str) -> Asked:
    """Runs the command of a checkout in a process of its own."""
    command = [sys.executable, "-m", "depara.cli", "query", output, "--json", *options]
    command += ["--source", "torchvision:resnet18", "--weights", "random:0"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    before, started = _cpu_s(), time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=checkout, env=environment
    )
    wall_s, cpu_s = time.perf_counter() - started, _cpu_s() - before
    if done.returncode:
        raise SystemExit(done.stderr)
    answer = json.loads(done.stdout)
    layers = {row["layer"] for row in answer["own_cuts"]}
    return Asked(wall_s, cpu_s, len(layers), answer["seconds"])


def _cpu_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def rows_of(checkout: Path, output: str, num_graphs: int) -> dict[str, float]:
    """Returns the seconds of all parts, by what they are."""
    shutil.rmtree(Path(output) / "queries", ignore_errors=True)
    first = ask(checkout, output)
    stored = ask(checkout, output, "--fresh")
    again = ask(checkout, output)
    return {
        f"graphs of the new model ({first.num_layers} layers)": first.parts["graphs"],
        f"comparison with {num_graphs} graphs": first.parts["comparison"],
        "intervals of all ranks": first.parts["intervals"],
        "the whole command": first.wall_s,
        "CPU time of the whole command": first.cpu_s,
        "comparison, its graphs stored": stored.parts["comparison"],
        "intervals, its graphs stored": stored.parts["intervals"],
        "CPU time, its graphs stored": stored.cpu_s,
        "the same asked again": again.wall_s,
    }


def main() -> None:
    """Makes the zoo where it is not there, asks, and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing kept")
    parser.add_argument("--folder", type=Path, help="where the zoo is, or goes to stay")
    parser.add_argument("--map-side", type=int, default=224, help="of the stored maps, px")
    parser.add_argument("--against", type=Path, help="another checkout, timed as well")
    arguments = parser.parse_args()
    size = ZooSize(50, 8, 200, 224, arguments.map_side)
    if arguments.quick:
        size = ZooSize(4, 2, 12, 32, 32)
    checkouts = {"s": HERE}
    if arguments.against:
        checkouts = {"before, s": arguments.against.resolve(), "after, s": HERE}
    graphs = size.models * size.layers
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "latest.json").exists():
            make_scan(str(folder), size)
        loads, columns = [], {}
        for name, checkout in checkouts.items():
            loads.append(os.getloadavg()[0])
            columns[name] = rows_of(checkout, str(folder), graphs)
    goals = {"the whole command": GOAL_S, f"comparison with {graphs} graphs": COMPARISON_GOAL_S}
    lines = [
        f"ResNet-18 against {graphs} stored graphs ({size.models} models of {size.layers} layers), "
        f"{size.probes} probes, canvas {size.canvas_side} px, maps {size.map_side} px.",
        "",
        machine_line(),
        "Load of the machine before each column, of other programs: "
        f"{', '.join(f'{load:.1f}' for load in loads)} processes.",
        "",
        f"| part | {' | '.join(columns)} | goal, s |",
        f"|---|{'---|' * len(columns)}---|",
    ]
    for row in next(iter(columns.values())):
        cells = " | ".join(f"{column[row]:.1f}" for column in columns.values())
        lines.append(f"| {row} | {cells} | {f'under {goals[row]}' if row in goals else ''} |")
    command = "python -m benchmarks.query" + (" --quick" if arguments.quick else "")
    if arguments.map_side != 224:
        command += f" --map-side {arguments.map_side}"
    if arguments.against:
        command += " --against CHECKOUT"
    write_report(f"query-{arguments.map_side}px", command, lines, quick=arguments.quick)


if __name__ == "__main__":
    main()
