"""Every architecture that the product opens, against plain autograd in float32 and float64.

    python -m benchmarks.zoo_sweep [--help] [--only PATTERN] [--limit N] [--jobs N]

torchvision's models, one or two of each timm family and Hugging Face's vision types, with random
weights and small inputs. Each runs in a process of its own, on one thread. A row is kept when it is
done, and not computed again while the code and the packages are the same; the table of all rows
kept goes to benchmarks/results/zoo.md.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks._report import write_report
from benchmarks._zoo_entries import all_names, entry_of
from benchmarks._zoo_report import report_lines, row_line
from benchmarks._zoo_trial import LEFT_OUT, TRACEBACK, Row, try_architecture
from depara.fingerprints.versions import package_versions

ROOT = Path(__file__).resolve().parent.parent
TIME_LIMIT_S = 60.0
HANG_FACTOR = 10
"""A process that has not answered in so many times its limit of processor time hangs."""
PACKAGES = ("torch", "torchvision", "timm", "transformers", "numpy")
FORK = multiprocessing.get_context("fork")
"""Torch and the libraries are imported once; no autograd runs in the parent, so forks are sound."""


class RowStore:
    """Rows by name in a JSON lines file that belongs to one state of code and packages."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"rows-{_state()}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, Row]:
        """Returns the rows kept so far; a line that was cut off is passed over."""
        rows: dict[str, Row] = {}
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                try:
                    row = Row(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                rows[row.name] = row
        return rows

    def add(self, row: Row) -> None:
        """Keeps a row; a later one of the same name replaces it."""
        with self._path.open("a") as file:
            file.write(json.dumps(row.as_json()) + "\n")

    def clear(self) -> None:
        """Forgets all rows."""
        self._path.unlink(missing_ok=True)


@dataclass
class _Running:
    """One architecture in its process."""

    name: str
    process: BaseProcess
    answer: Connection
    started_s: float


def sweep(names: Sequence[str], jobs: int, limit_s: float) -> Iterator[Row]:
    """Yields rows as they are done, each from a process of its own, ended at the limit.

    Args:
        names: of entries.
        jobs: processes at a time.
        limit_s: processor time of each, so that a busy machine leaves nothing out.
    """
    todo, running = list(names), list[_Running]()
    while todo or running:
        while todo and len(running) < jobs:
            running.append(_start(todo.pop(0), limit_s))
        wait([one.answer for one in running], timeout=1.0)
        for one in list(running):
            row = _row_of(one, limit_s)
            if row is not None:
                running.remove(one)
                yield row


def _start(name: str, limit_s: float) -> _Running:
    answer, send = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_child, args=(name, send, limit_s), daemon=True)
    process.start()
    send.close()
    return _Running(name, process, answer, time.perf_counter())


def _child(name: str, send: Connection, limit_s: float) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s) + 1))
    send.send(try_architecture(entry_of(name)))


def _row_of(one: _Running, limit_s: float) -> Row | None:
    """The row when there is one; a process that ended or hangs without an answer has one too."""
    waited_s = time.perf_counter() - one.started_s
    row: Row | None = None
    if one.answer.poll():
        try:
            row = one.answer.recv()
        except EOFError:
            one.process.join()
            row = _ended(one, limit_s)
    elif waited_s > HANG_FACTOR * limit_s:
        one.process.kill()
        words = f"hangs: no answer in {waited_s:.0f} s"
        row = Row(one.name, TRACEBACK, words)
    if row is not None:
        one.process.join()
        one.answer.close()
    return row


def _ended(one: _Running, limit_s: float) -> Row:
    """The row of a process that ended without an answer."""
    if one.process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
        words = f"more than {limit_s:.0f} s of processor time, or no memory"
        if one.process.exitcode == -signal.SIGXCPU:
            words = f"more than {limit_s:.0f} s of processor time"
        return Row(one.name, LEFT_OUT, words, seconds=limit_s)
    return Row(one.name, TRACEBACK, f"its process ended with exit code {one.process.exitcode}")


def _state() -> str:
    """A short hash of the code that the rows depend on, and of the packages' versions."""
    digest = hashlib.sha256(json.dumps(package_versions(PACKAGES), sort_keys=True).encode())
    files = [
        *(ROOT / "depara").rglob("*.py"),
        *(ROOT / "benchmarks").glob("_zoo_*.py"),
    ]
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:10]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", metavar="PATTERN", default="*", help="glob of names, such as 'timm:*vit*'"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N that have no row yet")
    parser.add_argument("--spread", action="store_true", help="with --limit: over the whole list")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time")
    parser.add_argument(
        "--time-limit",
        type=float,
        default=TIME_LIMIT_S,
        metavar="S",
        help="processor time of each architecture, s (default: %(default)g)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / "depara-out" / "zoo-sweep",
        help="where rows are kept (default: depara-out/zoo-sweep)",
    )
    parser.add_argument("--fresh", action="store_true", help="compute rows again that are kept")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument(
        "--report", action="store_true", help="compute nothing, write the table of what is kept"
    )
    return parser.parse_args()


def _spread(names: list[str], count: int) -> list[str]:
    step = max(len(names) / count, 1)
    return [names[int(place * step)] for place in range(min(count, len(names)))]


def main() -> int:
    """Runs what is left of the sweep and writes its report; 1 where something is wrong."""
    arguments = _arguments()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    threadpool_limits(1)
    store = RowStore(arguments.folder)
    names = all_names(arguments.folder / "timm-sizes.json")
    chosen = [name for name in names if fnmatch.fnmatchcase(name, arguments.only)]
    if arguments.list:
        print("\n".join(chosen))
        return 0
    kept = {} if arguments.fresh else store.read()
    todo = [name for name in chosen if name not in kept]
    if arguments.limit is not None:
        todo = _spread(todo, arguments.limit) if arguments.spread else todo[: arguments.limit]
    if not arguments.report:
        for number, row in enumerate(sweep(todo, arguments.jobs, arguments.time_limit), start=1):
            store.add(row)
            print(f"{number}/{len(todo)} {row_line(row)}", flush=True)
    rows = [row for name, row in store.read().items() if name in set(names)]
    lines = report_lines(rows, len(names), arguments.time_limit)
    write_report("zoo", "python -m benchmarks.zoo_sweep", lines, quick=False)
    return int(any(row.verdict in ("DISAGREES", TRACEBACK, "refused late") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
