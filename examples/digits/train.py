"""Trains the digit zoo: ``python -m examples.digits.train``.

``--architectures`` trains the mixed zoo instead: six tasks, each with three architectures. Encoders
that are there already, trained with the same settings and code, are left alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from examples.digits.data import PART_SIZES
from examples.digits.fit import Settings
from examples.digits.running import default_workers, follow, plain_console, say
from examples.digits.tasks import TASKS
from examples.digits.zoo import (
    MIXED_TASKS,
    Report,
    fill_zoo,
    mixed_names,
    read_report,
    task_of,
    write_zoo_probes,
)

DEFAULT_FOLDER = Path("examples/digits/zoo")
MIXED_FOLDER = Path("examples/digits/zoo-mixed")

MIN_SKILL = 0.5
"""An encoder that removes less of the trivial error has not learned its task."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when every encoder is there and has learned its task, else 1."""
    options = _parse(arguments)
    console = plain_console()
    how = Settings(seed=options.seed, steps=options.steps)
    try:
        reports = _complete_zoo(options, how, console)
    except BrokenProcessPool:
        say(console, "a training process died; if it ran out of memory, use --workers 1")
        return 1
    except OSError as error:
        say(console, f"cannot write the zoo to {options.out}: {error}")
        return 1
    console.print(_error_table(reports))
    unlearned = [report.name for report in reports if report.skill < MIN_SKILL]
    if unlearned:
        say(
            console,
            f"{', '.join(unlearned)} removed less than {MIN_SKILL:.0%} of the trivial error, that "
            "is, did not learn the task: use more --steps or another --seed",
        )
    return 1 if unlearned else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.digits.train", description="Trains the digit zoo."
    )
    parser.add_argument("--architectures", action="store_true", help="train the mixed zoo")
    parser.add_argument("--out", type=Path, help=f"default: {DEFAULT_FOLDER} or {MIXED_FOLDER}")
    parser.add_argument("--force", action="store_true", help="train again what is there already")
    parser.add_argument("--seed", type=int, default=Settings().seed, help="seed of all chance")
    parser.add_argument("--steps", type=int, default=Settings().steps, help="of the optimiser")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), metavar="TASK")
    parser.add_argument("--workers", type=int, help="encoders at a time; default: one per CPU")
    options = parser.parse_args(arguments)
    for name in ("steps", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    tasks = dict.fromkeys(options.tasks or (MIXED_TASKS if options.architectures else TASKS))
    options.names = mixed_names(list(tasks)) if options.architectures else list(tasks)
    options.out = options.out or (MIXED_FOLDER if options.architectures else DEFAULT_FOLDER)
    return options


def _complete_zoo(options: argparse.Namespace, how: Settings, console: Console) -> list[Report]:
    """Trains what is missing and returns the reports in the order of the names."""
    write_zoo_probes(options.out)
    found = {name: read_report(options.out, name, how) for name in options.names}
    missing = [name for name, report in found.items() if report is None or options.force]
    if not missing:
        say(console, f"all {len(found)} encoders are in {options.out} already")
        return [report for report in found.values() if report is not None]
    workers = options.workers or default_workers(len(missing))
    say(
        console,
        f"training {len(missing)} of {len(found)} encoders into {options.out}, {workers} at a "
        f"time, on {PART_SIZES['train']:,} digits",
    )
    started = time.perf_counter()
    for report in follow(
        console,
        "training",
        fill_zoo(options.out, missing, how, workers=workers),
        len(missing),
        lambda report: f"{report.name}, {report.seconds:.1f} s",
    ):
        found[report.name] = report
    say(console, f"trained in {time.perf_counter() - started:.0f} s")
    return [report for report in found.values() if report is not None]


def _error_table(reports: Sequence[Report]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("encoder")
    table.add_column("held-out error")
    for heading in ("trivial answer", "encoder", "removed"):
        table.add_column(heading, justify="right")
    for report in reports:
        errors = (report.trivial_error, report.error)
        if TASKS[task_of(report.name)].num_classes is None:
            cells = ["mean squared, pixels 0-1", *(f"{error:.4f}" for error in errors)]
        else:
            cells = ["wrong class", *(f"{error:.1%}" for error in errors)]
        table.add_row(report.name, *cells, f"{report.skill:.0%}")
    return table


if __name__ == "__main__":
    sys.exit(main())
