"""What it costs, and gains, that the next model's weights are brought near while one is computed.

    python -m benchmarks.prefetch [--quick]

Models of one user-written class whose weights, unlike their work, are large; they are computed one
after another by one worker with one thread. Each way runs over all models with the files in the
page cache, which shows what reading beside a computation takes from it, and with the next file
evicted before each model, which shows what it saves. The rounds of all ways follow each other.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from benchmarks._report import machine_line, write_report

WAYS = {
    "nothing is read ahead": (False, False),
    "opened during the edges": (False, True),
    "and brought near during the passes": (True, True),
}
"""Whether a worker is told of the next model during the passes of one, and during its edges."""


class Heavy(nn.Module):
    """A few convolutions, and a table that its output hardly needs."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()
        )
        self.table = nn.Parameter(torch.zeros(values))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images) + self.table[0]


def make_inputs(folder: Path, num_models: int, values: int, num_probes: int) -> str:
    """Writes probes and weights; returns the scan file."""
    rng = np.random.default_rng(0)
    (folder / "probes").mkdir()
    for number in range(num_probes):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "probes" / f"{number:03d}.png")
    models = []
    for number in range(num_models):
        torch.manual_seed(number)
        model = Heavy(values)
        nn.init.uniform_(model.table)
        path = folder / f"{number}.pt"
        torch.save(model.state_dict(), path)
        source = {"source": "python:benchmarks.prefetch:Heavy", "kwargs": {"values": values}}
        layers = {"layers": ["body.1", "body.3", "output"]}
        models.append({"id": f"m{number}", "weights": str(path), **source, **layers})
    tree = {
        "output": str(folder / "out"),
        "probes": {"source": str(folder / "probes"), "count": num_probes},
        "canvas": {"side": 64},
        "models": models,
    }
    return yaml.safe_dump(tree)


def evict(path: str) -> None:
    """Takes a file out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(plan: Any, output: str, way: tuple[bool, bool], is_cold: bool) -> tuple[float, float]:
    """Returns the seconds by the wall, and of the processor, of all units on one worker."""
    from cluster.extract.units import ExtractUnit
    from cluster.pool.worker import Worker
    from depara.store.graphs import discard_graph
    from depara.store.storage import Storage

    for key in plan.graph_keys:
        discard_graph(Storage(output), key)
    groups = plan.groups()
    with closing(Worker(output, 1, 0)) as worker:
        worker.ready()
        wall, cpu = time.perf_counter(), time.process_time()
        for place, group in enumerate(groups):
            after = groups[place + 1].units[0] if place + 1 < len(groups) else None
            if is_cold and after is not None:
                evict(after.job.model.weights)
            for unit in group.units:
                is_told = way[0] if isinstance(unit, ExtractUnit) else way[1]
                outcome = worker.run(unit, 0, after if is_told else None)
                assert outcome.failure is None, outcome.failure
        return time.perf_counter() - wall, time.process_time() - cpu


def measure(folder: Path, sizes: tuple[int, int, int], repeats: int) -> list[str]:
    """Returns the lines of the table."""
    from cluster.pool.context import ScanContext
    from cluster.pool.launcher import InlineLauncher
    from cluster.pool.progress import PlainReporter
    from cluster.pool.worker import Worker
    from cluster.stages import make_pool, prepare_scan
    from depara.config import parse_scan
    from depara.store.storage import Storage

    file = parse_scan(make_inputs(folder, *sizes))
    output = file.config.output
    launcher = InlineLauncher(lambda: Worker(output, 1, 0))
    context = ScanContext(Storage(output), launcher, PlainReporter(io.StringIO()))
    with closing(make_pool(file.config, context)) as pool:
        plan = prepare_scan(file, pool, context).plan
    best: dict[tuple[str, bool], tuple[float, float]] = {}
    for _ in range(repeats):
        for is_cold in (False, True):
            for name, way in WAYS.items():
                spent = run(plan, output, way, is_cold)
                known = best.get((name, is_cold), spent)
                best[name, is_cold] = (min(known[0], spent[0]), min(known[1], spent[1]))
    lines = [
        "| | in the page cache: s | of nothing ahead | CPU s | evicted: s | of nothing ahead |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    first = next(iter(WAYS))
    for name in WAYS:
        warm, cold = best[name, False], best[name, True]
        lines.append(
            f"| {name} | {warm[0]:.2f} | {warm[0] / best[first, False][0]:.2f} | {warm[1]:.2f} | "
            f"{cold[0]:.2f} | {cold[0] / best[first, True][0]:.2f} |"
        )
    return lines


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes, not written")
    options = parser.parse_args(arguments)
    sizes, repeats = ((3, 2 * 10**6, 20), 1) if options.quick else ((5, 30 * 10**6, 100), 2)
    with tempfile.TemporaryDirectory() as folder:
        table = measure(Path(folder), sizes, repeats)
    num_models, values, num_probes = sizes
    lines = [
        machine_line(),
        "",
        f"{num_models} models with {4 * values / 1e6:.0f} MB of weights each, {num_probes} probes "
        "of 64 px, three layers; a python: source, whose code is never run beside other work.",
        "",
        *table,
    ]
    command = " ".join(["python -m benchmarks.prefetch", *arguments])
    write_report("prefetch", command, lines, quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
