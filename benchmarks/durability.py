"""What is lost by a kill, what a night costs, and what the storage's promises and faults cost.

    python -m benchmarks.durability [--quick]

Every scan is `python -m jobs.scan` as a process of its own, on one Ray head that stands already and
with two workers of one thread. The zoo is ResNet-56 of CIFAR with random weights, so that nothing
is downloaded. Outputs are local folders; those of the commit protocol and of the faults are on a
SeaweedFS server on loopback, behind a proxy that counts requests and injects faults. Writes
benchmarks/results/durability.md, and the same tables into benchmarks/durability.md.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks._durability_report import (
    Commits,
    Faulty,
    Figures,
    Kill,
    Night,
    Size,
    fill_document,
    tables,
)
from benchmarks._report import write_report
from benchmarks.lab.durability import (
    FAULT_RATE,
    Lab,
    Run,
    copy_down,
    durability_lab,
    graph_bytes,
    manifest,
    sort_requests,
)

COMMAND = "python -m benchmarks.durability"


FULL = Size(models=21, probes=48, kills=(0.25, 0.5, 0.75), models_with_faults=6)
ONE_ROUND = replace(FULL, kills=(0.5,))
QUICK = Size(models=4, probes=24, kills=(0.5,), models_with_faults=2)


def measure(lab: Lab, size: Size) -> Figures:
    """Runs everything, by turns where two things are compared."""
    figures = Figures(size)
    lab.scan(lab.new_output(), 1)  # files in the page cache, Ray's first processes
    remote = lab.new_output(remote=True)
    figures.commits.append(first_scan(lab, remote, size.models - 1))
    figures.quiet_s3 = [night(lab, remote, size.models - 1) for _ in range(size.rounds)]
    yesterday = lab.new_output()
    copy_down(remote, yesterday)
    for share in size.kills:
        figures.whole.append(lab.scan(lab.new_output(), size.models))
        note("uninterrupted", figures.whole[-1])
        expected_s = statistics.median(run.seconds for run in figures.whole)
        figures.kills.append(kill_and_resume(lab, size.models, share, share * expected_s))
        output = lab.new_output()
        shutil.copytree(yesterday, output)
        figures.quiet_local.append(night(lab, output, size.models - 1))
        figures.increments.append(night(lab, output, size.models))
    figures.faults = [with_faults(lab, size.models_with_faults) for _ in range(size.rounds)]
    return figures


def first_scan(lab: Lab, output: str, num_models: int) -> Commits:
    """Scans to an output on S3 that nobody has used."""
    with lab.requests() as counts:
        run = lab.scan(output, num_models)
    note("first scan on S3", run)
    data_bytes, marker_bytes = graph_bytes(output)
    graphs = manifest(output)["num_graphs"]
    return Commits(run, graphs, data_bytes, marker_bytes, sort_requests(counts))


def night(lab: Lab, output: str, num_models: int) -> Night:
    """Scans where earlier scans have been."""
    with lab.requests() as counts:
        run = lab.scan(output, num_models)
    facts = manifest(output)
    pairs, reused_pairs = facts["num_pairs"], facts["num_reused_pairs"]
    note(f"night, {pairs - reused_pairs} of {pairs} pairs computed", run)
    return Night(run, pairs, reused_pairs, sort_requests(counts))


def kill_and_resume(lab: Lab, num_models: int, share: float, after_s: float) -> Kill:
    """Kills a first scan's driver, and runs the same command again."""
    output = lab.new_output()
    killed = lab.kill(output, num_models, after_s)
    resumed = lab.scan(output, num_models)
    note(f"resumed after a kill at {killed.seconds:.1f} s", resumed)
    return Kill(share, killed, resumed)


def with_faults(lab: Lab, num_models: int) -> Faulty:
    """Runs the same first scan over a sound and over a faulty way to the storage."""
    with lab.requests():
        calm = lab.scan(lab.new_output(remote=True), num_models)
    note("without faults", calm)
    with lab.requests(FAULT_RATE) as counts:
        faulty = lab.scan(lab.new_output(remote=True), num_models)
    note(f"with {counts.faults.total()} faults", faulty)
    return Faulty(calm, faulty, counts.total, counts.faults)


def note(what: str, run: Run) -> None:
    """Says how far it is."""
    print(f"{what}: {run.seconds:.1f} s, {run.start_up_s:.1f} s to the first unit", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a zoo of four, one round")
    parser.add_argument("--rounds", type=int, choices=(1, 3), default=3, help="1: in half the time")
    options = parser.parse_args(arguments)
    quick = options.quick
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # cleans up
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="durable-", ignore_cleanup_errors=True) as name:
        size = QUICK if quick else FULL if options.rounds == 3 else ONE_ROUND
        with durability_lab(Path(name), size.probes) as lab:
            figures = measure(lab, size)
    lines = tables(figures, time.monotonic() - started_s)
    command = COMMAND if options.rounds == 3 else f"{COMMAND} --rounds 1"
    write_report("durability", command, lines, quick=quick)
    if not quick:
        fill_document(lines)


if __name__ == "__main__":
    main()
