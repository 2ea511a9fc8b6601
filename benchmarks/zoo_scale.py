"""A zoo of thousands of tiny models, scanned end to end on this machine: what grows with it.

    python -m benchmarks.zoo_scale [--models 100 500 2000] [--work FOLDER] [--cpu] [--quick]

For each number of models a new zoo (5 layers each, 32 px, 64 probes, weights in files) is scanned
by two workers on a local Ray in a process of its own; then the same again with nothing new, and
once more with one model added. Every scan has the defaults of the scan file otherwise, all scores
of five layers against every output, but no intervals: at least 100 resamples of every pair cost
more than all else together. Targets: time per graph beside the compute itself grows by at most 10 %
from the smallest to the largest zoo, the driver stays below 1 GiB, a night without changes takes at
most 30 s and one with a new model at most 60 s.

The compute itself is what workers are busy with, and what tiles and analyses take: pairs grow with
the square of a zoo, so these stand in columns of their own.

With ``--work`` a run that was ended goes on with the night it was in, which is measured from its
start. ``--cpu`` measures processor seconds of all processes in place of seconds on the wall: what
a graph and a pair cost on a machine that others use.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks._report import machine_line, write_report
from benchmarks._tiny_network import NUM_LAYERS, write_weights
from benchmarks.lab.cpu_clock import CpuClock

NUM_PROBES = 64
WORKERS = 2
ZOOS = (100, 500, 2000)
_NIGHTS = ("first", "unchanged", "one added")
_CPU_NOTES = (
    "Seconds of phases, whole and sum are processor seconds of the driver, Ray's own processes, "
    "workers and tasks. Nights are judged by half of them: what they take on two cores that have "
    "nothing else to do and are both busy. Graphs: phases models and graphs. Pairs: comparison "
    "and tables.",
    "",
)
_GROWTH, _DRIVER_MIB, _UNCHANGED_S, _ADDED_S = 1.10, 1024, 30, 60


def write_zoo(folder: Path, num_models: int, added: int | None = None) -> Path:
    """Writes probes, weights and the scan file of a zoo; returns the scan file.

    ``added`` is the number of one more model, of those that the zoo does not have.
    """
    photos, rng = folder / "photos", np.random.default_rng(0)
    if not photos.exists():
        photos.mkdir(parents=True)
        for number in range(NUM_PROBES):
            ground = rng.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
            image = Image.fromarray(ground).resize((48, 48), Image.Resampling.BICUBIC)
            image.save(photos / f"{number:04d}.png")
    weights = folder / "weights"
    write_weights(weights, 0, num_models)
    for path in sorted(weights.iterdir())[num_models:]:  # of a night that was ended
        path.unlink()
    if added is not None:
        write_weights(weights, num_models + added, num_models + added + 1)
    tree = {
        "output": str(folder / "out"),
        "probes": {"source": str(photos), "count": NUM_PROBES},
        "canvas": {"side": 32},
        "defaults": {
            "source": "python:benchmarks._tiny_network:TinyNetwork",
            "input": {"side": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
            "layers": ["blocks.*", "code"],
            "output_layer": "code",
        },
        "models": [{"id": "{stem}", "weights": str(weights / "*.safetensors")}],
        "uncertainty": {"resamples": 0},
        "compute": {"workers": WORKERS, "num_cpus": 1, "memory": "1GiB", "batch_size": NUM_PROBES},
    }
    path = folder / "scan.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def run_night(path: Path, *, cpu: bool) -> dict[str, Any]:
    """Scans once on a local Ray in this process; returns what it took.

    With ``cpu``, seconds and phases are processor seconds of all processes.
    """
    from cluster.pool.progress import PlainReporter
    from cluster.pool.ray_launcher import RayLauncher, connect
    from cluster.scan import run_scan
    from depara.config import load_scan_file
    from depara.results import open_scan
    from depara.store.storage import Storage

    started_s = time.perf_counter()
    clock = CpuClock() if cpu else time.monotonic
    file = load_scan_file(str(path), [])
    config = file.config
    with connect(num_cpus=WORKERS):
        connected_s = time.perf_counter()
        launcher = RayLauncher(config.output, config.compute)
        reporter = PlainReporter(io.StringIO())
        summary = run_scan(file, launcher, Storage(config.output), reporter, clock=clock)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    manifest = open_scan(config.output, summary.scan_id).manifest
    return {
        "models": summary.num_models,
        "graphs": summary.num_graphs,
        "pairs": summary.num_pairs,
        "new_graphs": summary.num_graphs - summary.num_reused_graphs,
        "new_pairs": summary.num_pairs - summary.num_reused_pairs,
        "seconds": summary.seconds,
        "whole_s": time.perf_counter() - started_s,
        "connect_s": connected_s - started_s,
        "driver_mib": peak_mib,
        "load": os.getloadavg()[0],
        **{name: manifest[name] for name in ("phases", "workers", "bytes")},
        "requests": manifest.get("requests", {}),
        "table_mib": sum(fact["bytes"] for fact in manifest["tables"].values()) / 2**20,
        "similarity_mib": manifest["tables"]["similarity"]["bytes"] / 2**20,
    }


def in_process(path: Path, *, cpu: bool) -> dict[str, Any]:
    """Runs one night in a fresh process, whose peak of memory is the driver's."""
    command = [sys.executable, "-m", "benchmarks.zoo_scale", "--night", str(path)]
    command += ["--cpu"] * cpu
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(folder: Path, num_models: int, *, cpu: bool) -> dict[str, dict[str, Any]]:
    """Returns what the three nights of a zoo took: the first, an unchanged one, one more model.

    Nights that are done are kept. One that was ended before is measured from its start: the first
    in an empty output, the last with another model more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "nights.json"
    known = json.loads(kept.read_text()) if kept.exists() else {"begun": {}, "nights": {}}
    begun: dict[str, int] = known["begun"]
    nights: dict[str, dict[str, Any]] = known["nights"]
    for night in _NIGHTS:
        if night in nights:
            continue
        begun[night] = begun.get(night, -1) + 1
        kept.write_text(json.dumps(known, indent=1))
        if night == _NIGHTS[0]:
            shutil.rmtree(folder / "out", ignore_errors=True)
        path = write_zoo(folder, num_models, begun[night] if night == _NIGHTS[2] else None)
        nights[night] = in_process(path, cpu=cpu)
        kept.write_text(json.dumps(known, indent=1))
        print(f"{num_models} models, {night}: {json.dumps(nights[night])}", flush=True)
    return nights


def beside_compute_s(night: dict[str, Any]) -> float:
    """Seconds of a night in which a perfect schedule of the same compute would have been done.

    What workers were busy with and what tasks took, spread evenly over the workers, is the
    compute; their start-up is what Ray needs before there is any.
    """
    busy_s = (night["workers"]["busy"] + night["workers"]["tasks"]) / WORKERS
    starting_s = night["workers"]["starting"] / WORKERS
    return float(night["seconds"] - busy_s - starting_s)


def table_lines(zoos: Sequence[dict[str, dict[str, Any]]]) -> list[str]:
    """Returns the measured tables as Markdown."""
    names = (
        "models", "graphs", "whole s", "busy s", "tasks s", "beside, ms per graph",
        "driver MiB", "requests per graph", "similarity MiB", "tables MiB", "load",
    )  # fmt: skip
    lines = ["| " + " | ".join(names) + " |", "|" + "---:|" * len(names)]
    for nights in zoos:
        first = nights["first"]
        cells = (
            f"{first['models']:,}",
            f"{first['graphs']:,}",
            f"{first['seconds']:.0f}",
            f"{first['workers']['busy']:.0f}",
            f"{first['workers']['tasks']:.0f}",
            f"{1000 * beside_compute_s(first) / first['graphs']:.1f}",
            f"{first['driver_mib']:.0f}",
            f"{sum(first['requests'].values()) / first['graphs']:.1f}",
            f"{first['similarity_mib']:.1f}",
            f"{first['table_mib']:.1f}",
            f"{first['load']:.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    phases = list(zoos[0]["first"]["phases"])
    lines += [
        "",
        "Seconds by phase, and the driver's peak of memory:",
        "",
        "| models | night | " + " | ".join(phases) + " | sum | driver MiB | requests |",
        "|---:|---|" + "---:|" * (len(phases) + 3),
    ]
    for nights in zoos:
        for name, night in nights.items():
            seconds = " | ".join(f"{night['phases'][phase]:.1f}" for phase in phases)
            requests = sum(night["requests"].values())
            lines.append(
                f"| {night['models']:,} | {name} | {seconds} | {night['seconds']:.1f} "
                f"| {night['driver_mib']:.0f} | {requests:,} |"
            )
    return lines


def cpu_lines(zoos: Sequence[dict[str, dict[str, Any]]]) -> list[str]:
    """Returns what a graph and a pair cost in processor time, as Markdown."""
    lines = [
        "| models | night | graphs | new | ms per new graph | pairs | new | us per pair |",
        "|---:|---|" + "---:|" * 6,
    ]
    for nights in zoos:
        for name, night in nights.items():
            graphs, pairs = night["new_graphs"], night["new_pairs"]
            of_graphs, of_pairs = _cpu_s(night)
            per_graph = f"{1e3 * of_graphs / graphs:.1f}" if graphs else "-"
            lines.append(
                f"| {night['models']:,} | {name} | {night['graphs']:,} | {graphs:,} | {per_graph} "
                f"| {night['pairs']:,} | {pairs:,} | {1e6 * of_pairs / night['pairs']:.1f} |"
            )
    return lines


def _cpu_s(night: dict[str, Any]) -> tuple[float, float]:
    """What graphs took, from opening their models on, and what pairs did, with their tables."""
    phases = night["phases"]
    return phases["models"] + phases["graphs"], phases["comparison"] + phases["tables"]


def verdict_lines(zoos: Sequence[dict[str, dict[str, Any]]], *, cpu: bool) -> list[str]:
    """Returns each target with what was measured."""
    small, large = zoos[0], zoos[-1]
    firsts = (small["first"], large["first"])
    if cpu:
        (small_s, small_pairs_s), (large_s, large_pairs_s) = map(_cpu_s, firsts)
        graphs, pairs = (firsts[1][name] / firsts[0][name] for name in ("graphs", "pairs"))
        what, growth = "processor time per graph", large_s / small_s / graphs
        of_pairs = large_pairs_s / small_pairs_s / pairs
    else:
        cost = [beside_compute_s(first) / first["graphs"] for first in firsts]
        what, growth = "time per graph beside the compute", cost[1] / cost[0]
    peak_mib = max(night["driver_mib"] for night in large.values())
    found = (
        (f"{what}, largest zoo to smallest", growth, _GROWTH, ""),
        *([("processor time per pair, likewise", of_pairs, _GROWTH, "")] if cpu else []),
        ("driver's peak of memory", peak_mib, _DRIVER_MIB, " MiB"),
        *(
            (f"night {name}", large[night]["seconds"] / (WORKERS if cpu else 1), most_s, " s")
            for name, night, most_s in (
                ("without changes", "unchanged", _UNCHANGED_S),
                ("with one model more", "one added", _ADDED_S),
            )
        ),
    )
    return [
        f"- {what}: **{value:.2f}{unit}**, target at most {most}{unit}: "
        + ("reached" if value <= most else "missed")
        for what, value, most, unit in found
    ]


def main() -> None:
    """Prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, nargs="+", default=list(ZOOS), help="sizes of zoos")
    parser.add_argument(
        "--work", type=Path, help="where zoos and outputs lie; nights measured there are kept"
    )
    parser.add_argument("--cpu", action="store_true", help="processor seconds of all processes")
    parser.add_argument("--quick", action="store_true", help="two small zoos, nothing is kept")
    parser.add_argument("--night", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.night:
        print(json.dumps(run_night(arguments.night, cpu=arguments.cpu)))
        return
    sizes = [4, 12] if arguments.quick else arguments.models
    with tempfile.TemporaryDirectory() as name:
        work = arguments.work or Path(name)
        ending = "-cpu" if arguments.cpu else ""
        zoos = [measure(work / f"{size}{ending}", size, cpu=arguments.cpu) for size in sizes]
    lines = [
        f"Random tiny networks, {NUM_LAYERS} layers each, 32 px, {NUM_PROBES} probes, "
        f"{WORKERS} workers of one thread, all scores, no intervals, every layer against every "
        "output.",
        "",
        *(cpu_lines(zoos) if arguments.cpu else []),
        "",
        *table_lines(zoos),
        "",
        *verdict_lines(zoos, cpu=arguments.cpu),
        "",
        *(_CPU_NOTES if arguments.cpu else []),
        "busy and tasks are worker-seconds. Load is the machine's average of the last minute at "
        "the end of a scan: above 2 others shared the two cores, and all times are longer for it.",
        "",
        machine_line(),
    ]
    name = f"zoo_scale{'_cpu' * arguments.cpu}"
    command = " ".join(["python -m benchmarks.zoo_scale", *sys.argv[1:]])
    write_report(name, command, lines, quick=arguments.quick)


if __name__ == "__main__":
    main()
