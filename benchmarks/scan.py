"""A whole scan with two workers on Ray against the same scan in one plain process.

    python -m benchmarks.scan [--quick]

Both compute the same graphs and write the same tables, with one thread per worker. The target is
that two workers need at most 1.15 times half the plain time, beside Ray's own start-up, which is
measured in the same run: connecting, and starting both workers until they are ready.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks._report import machine_line, write_report

TARGET = 1.15


def write_probes(folder: Path, count: int) -> None:
    """Writes smooth random pictures: content does not matter for the time."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        ground = rng.integers(0, 256, size=(12, 16, 3), dtype=np.uint8)
        Image.fromarray(ground).resize((320, 240), Image.Resampling.BICUBIC).save(
            folder / f"{number:04d}.jpg", quality=90
        )


def write_scan(folder: Path, num_models: int, num_probes: int) -> Path:
    """Writes the scan file of a zoo of equal networks with different random weights."""
    tree = {
        "output": str(folder / "out"),
        "probes": {"source": str(folder / "photos"), "count": num_probes},
        "canvas": {"side": 160},
        "defaults": {"source": "torchvision:resnet18", "layers": "stages", "input": {"side": 160}},
        "models": [{"id": f"m{seed}", "weights": f"random:{seed}"} for seed in range(num_models)],
        "compute": {"workers": 2, "num_cpus": 1, "memory": "2GiB", "batch_size": 16},
    }
    path = folder / "scan.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def run_plain(path: Path, output: str) -> dict[str, float]:
    """Runs the scan in this process with one thread; returns its seconds."""
    from cluster.pool.launcher import InlineLauncher
    from cluster.pool.progress import PlainReporter
    from cluster.pool.worker import Worker
    from cluster.scan import run_scan
    from depara.config import load_scan_file
    from depara.store.storage import Storage

    file = load_scan_file(str(path), [f"output={output}", "compute.workers=1"])
    launcher = InlineLauncher(lambda: Worker(output, 1, 0))
    started_s = time.perf_counter()
    run_scan(file, launcher, Storage(output), PlainReporter(io.StringIO()))
    return {"seconds": time.perf_counter() - started_s}


def run_on_ray(path: Path, output: str) -> dict[str, float]:
    """Runs the scan on a local Ray; returns its seconds and those of the start-up alone."""
    from cluster.pool.progress import PlainReporter
    from cluster.pool.ray_launcher import RayLauncher, connect
    from cluster.scan import run_scan
    from depara.config import load_scan_file
    from depara.store.storage import Storage

    file = load_scan_file(str(path), [f"output={output}"])
    started_s = time.perf_counter()
    with connect(num_cpus=2):
        connected_s = time.perf_counter()
        launcher = RayLauncher(output, file.config.compute)
        run_scan(file, launcher, Storage(output), PlainReporter(io.StringIO()))
        seconds = time.perf_counter() - started_s
    with connect(num_cpus=2):
        launcher = RayLauncher(output, file.config.compute)
        ready_s = time.perf_counter()
        workers = [launcher.start_worker() for _ in range(2)]
        for _, ref in workers:
            while not launcher.wait([ref], 1.0):
                pass
        ready_s = time.perf_counter() - ready_s
    return {"seconds": seconds, "start_up": connected_s - started_s + ready_s}


def in_process(role: str, path: Path, output: str) -> dict[str, float]:
    """Runs one of the two in a fresh process, so that neither warms the other up."""
    command = [sys.executable, "-m", "benchmarks.scan", "--role", role]
    done = subprocess.run(
        [*command, "--scan", str(path), "--output", output],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compare(num_models: int, num_probes: int, rounds: int) -> list[dict[str, Any]]:
    """Runs both by turns; returns a row per round."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_probes(folder / "photos", num_probes)
        path = write_scan(folder, num_models, num_probes)
        for number in range(rounds):
            plain = in_process("plain", path, str(folder / f"plain{number}"))
            spread = in_process("ray", path, str(folder / f"ray{number}"))
            net_s = spread["seconds"] - spread["start_up"]
            rows.append(
                {
                    "plain s": plain["seconds"],
                    "2 workers s": spread["seconds"],
                    "of it start-up s": spread["start_up"],
                    "ratio": net_s / (plain["seconds"] / 2),
                }
            )
            print({key: round(value, 2) for key, value in rows[-1].items()}, flush=True)
    return rows


def main() -> None:
    """Prints and writes the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small zoo, one round")
    parser.add_argument("--role", choices=["plain", "ray"], help=argparse.SUPPRESS)
    parser.add_argument("--scan", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        run = run_plain if arguments.role == "plain" else run_on_ray
        print(json.dumps(run(Path(arguments.scan), arguments.output)))
        return
    num_models, num_probes, rounds = (4, 16, 1) if arguments.quick else (20, 96, 2)
    rows = compare(num_models, num_probes, rounds)
    ratio = statistics.median(row["ratio"] for row in rows)
    names = list(rows[0])
    lines = [
        f"{num_models} ResNet-18 (random weights) at 160 px, 4 stages, {num_probes} probes, "
        "one thread per worker.",
        "",
        "| " + " | ".join(names) + " |",
        "|" + "---:|" * len(names),
        *("| " + " | ".join(f"{row[name]:.2f}" for name in names) + " |" for row in rows),
        "",
        f"Median ratio of (2 workers - start-up) to half the plain time: **{ratio:.2f}** "
        f"(target: at most {TARGET}).",
        "",
        machine_line(),
    ]
    write_report("scan", "python -m benchmarks.scan", lines, quick=arguments.quick)


if __name__ == "__main__":
    main()
