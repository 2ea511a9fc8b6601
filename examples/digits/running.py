"""How the digit zoo's commands run: processes side by side, lines of progress, whole files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

MAX_WORKERS = 8
_SLOW_IMPORTS = ("torch._dynamo", "sklearn.datasets")
"""What the first optimiser and the digits import: seconds in every process."""

Result = TypeVar("Result")


def in_processes(
    function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[Result]:
    """Yields ``function(*arguments[i])`` for every i, as soon as each is done.

    Args:
        function: importable by name, as the processes are fresh ones.
        arguments: one tuple per call.
        workers: processes; 1 calls in this one, in order.

    Raises:
        concurrent.futures.process.BrokenProcessPool: a process died, most often of memory.
    """
    if workers == 1:
        for each in arguments:
            yield function(*each)
        return
    pool = ProcessPoolExecutor(workers, mp_context=_context(function.__module__))
    try:
        done = [pool.submit(function, *each) for each in arguments]
        for future in as_completed(done):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _context(module: str) -> BaseContext:
    """Fresh processes, which on Linux share their imports (elsewhere a fork may not be safe)."""
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([*_SLOW_IMPORTS, module])
    return context


def default_workers(num_calls: int) -> int:
    """Returns how many calls to make side by side: one per CPU of this process."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cpus or 1, num_calls, MAX_WORKERS))


def follow(
    console: Console,
    what: str,
    results: Iterator[Result],
    total: int,
    describe: Callable[[Result], str],
) -> Iterator[Result]:
    """Yields the results; each prints a line, and a terminal shows a live bar below them."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=total)
        for done, result in enumerate(results, start=1):
            progress.advance(task)
            console.print(f"  [{done}/{total}] {describe(result)}")
            yield result


def plain_console() -> Console:
    """Returns a console that prints texts as they are."""
    return Console(highlight=False, markup=False)


def say(console: Console, text: str) -> None:
    """Prints a line of the digit zoo, unwrapped."""
    console.print(f"Digit zoo: {text}", soft_wrap=True)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
