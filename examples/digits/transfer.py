"""Measures how well every encoder serves every task: ``python -m examples.digits.transfer``.

Each encoder is frozen, and a small decoder learns each task from its codes of few pictures (the
method of Taskonomy, Zamir et al., CVPR 2018). ``truth.csv`` is what ``depara evaluate --truth``
takes; ``transfer.json`` holds the losses and how stable the truth is. Both are left alone when they
are there already, measured with the same encoders, settings and code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError

from examples.digits.data import PART_SIZES
from examples.digits.decoders import Decoded, Decoding, measure_encoder
from examples.digits.running import default_workers, follow, in_processes, plain_console, say
from examples.digits.train import DEFAULT_FOLDER
from examples.digits.truth import (
    Transfers,
    read_details,
    stabilities,
    stability_of_mean,
    transfers_to,
    truth_rows,
    write_details,
    write_table,
)
from examples.digits.zoo import checkpoint_path, hash_with_sources, list_encoders, task_of

TRUTH_FILE = "truth.csv"
DETAILS_FILE = "transfer.json"

_SOURCES = (
    "architectures.py",
    "data.py",
    "decoders.py",
    "encoder.py",
    "fit.py",
    "tasks.py",
    "transfer.py",
    "truth.py",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when the truth is there, else 1."""
    options = _parse(arguments)
    console = plain_console()
    encoders = list_encoders(options.zoo)
    if len(encoders) < 2:
        say(
            console,
            f"{options.zoo} holds {len(encoders)} encoders: run python -m examples.digits.train",
        )
        return 1
    try:
        details = measure_zoo(options, encoders, console)
    except BrokenProcessPool:
        say(console, "a measuring process died; if it ran out of memory, use --workers 1")
        return 1
    except (OSError, SafetensorError) as error:
        say(console, f"cannot measure {options.zoo} into {options.out}: {error}")
        return 1
    console.print(_truth_table(details))
    stable = details["stability"]
    if stable["one_repeat"] is not None:
        say(
            console,
            f"the rankings of two repeats correlate by {stable['one_repeat']:.2f}, those of two "
            f"such truths by about {stable['mean_of_repeats']:.2f}",
        )
    say(console, f"the truth is {options.out / TRUTH_FILE}")
    return 0


def measure_zoo(
    options: argparse.Namespace, encoders: Sequence[str], console: Console
) -> dict[str, Any]:
    """Returns the details in ``transfer.json``, measured when they are missing or outdated."""
    how: Decoding = options.decoding
    key = truth_key(options.zoo, encoders, how)
    details = None if options.force else read_details(options.out / DETAILS_FILE, key)
    if details is not None and (options.out / TRUTH_FILE).is_file():
        say(console, f"the truth of {len(encoders)} encoders is in {options.out} already")
        return details
    tasks = tuple(dict.fromkeys(task_of(name) for name in encoders))
    workers = options.workers or default_workers(len(encoders))
    say(
        console,
        f"measuring {len(encoders)} encoders on {len(tasks)} tasks, {workers} at a time: "
        f"{how.repeats} decoders each, on {how.pictures} digits",
    )
    started = time.perf_counter()
    decoded = _measure(options.zoo, encoders, tasks, how, workers, console)
    transfers = {task: transfers_to(task, decoded) for task in tasks}
    options.out.mkdir(parents=True, exist_ok=True)
    rows = truth_rows(transfers, encoders)
    write_table(options.out / TRUTH_FILE, ("target", "source", "value"), rows)
    write_details(options.out / DETAILS_FILE, key, _details(transfers, encoders, how))
    say(console, f"measured in {time.perf_counter() - started:.0f} s")
    written = read_details(options.out / DETAILS_FILE, key)
    assert written is not None
    return written


def truth_key(folder: Path, encoders: Sequence[str], how: Decoding) -> str:
    """Returns a hash of all that decides the truth: encoders, settings and the code."""
    weights = {
        name: hashlib.sha256(checkpoint_path(folder, name).read_bytes()).hexdigest()
        for name in encoders
    }
    return hash_with_sources(json.dumps([weights, asdict(how)], sort_keys=True), _SOURCES)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = Decoding()
    parser = argparse.ArgumentParser(
        prog="python -m examples.digits.transfer",
        description="Measures how well every encoder of a digit zoo serves every task.",
    )
    parser.add_argument("--zoo", type=Path, default=DEFAULT_FOLDER, help="folder of the encoders")
    parser.add_argument("--out", type=Path, help="folder of the truth; default: the zoo's")
    parser.add_argument("--force", action="store_true", help="measure again what is there already")
    parser.add_argument("--pictures", type=int, default=default.pictures, help="to learn from")
    parser.add_argument("--repeats", type=int, default=default.repeats, help="with other chance")
    parser.add_argument("--steps", type=int, default=default.training.steps, help="per decoder")
    parser.add_argument("--workers", type=int, help="encoders at a time; default: one per CPU")
    options = parser.parse_args(arguments)
    for name in ("pictures", "repeats", "steps", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    if options.pictures > PART_SIZES["train"]:
        parser.error(f"--pictures can be at most {PART_SIZES['train']}, got {options.pictures}")
    options.out = options.out or options.zoo
    options.decoding = Decoding(
        pictures=options.pictures,
        repeats=options.repeats,
        training=replace(default.training, steps=options.steps),
    )
    return options


def _measure(
    folder: Path,
    encoders: Sequence[str],
    tasks: tuple[str, ...],
    how: Decoding,
    workers: int,
    console: Console,
) -> list[Decoded]:
    """Returns what decoders reached on each encoder, in their order."""
    found: dict[str, Decoded] = {}
    arguments = [(folder, name, tasks, how) for name in encoders]
    for decoded in follow(
        console,
        "measuring",
        in_processes(measure_encoder, arguments, workers),
        len(encoders),
        lambda decoded: f"{decoded.encoder}, {decoded.seconds:.1f} s",
    ):
        found[decoded.encoder] = decoded
    return [found[name] for name in encoders]


def _details(
    transfers: dict[str, Transfers], encoders: Sequence[str], how: Decoding
) -> dict[str, Any]:
    stable = stabilities(transfers, encoders)
    one = float(np.mean(list(stable.values())))
    return {
        "settings": asdict(how),
        "encoders": list(encoders),
        "stability": {
            "one_repeat": one,
            "mean_of_repeats": stability_of_mean(one, how.repeats),
            "tasks": stable,
        },
        "transfers": {
            task: {
                name: {
                    "win_rate": float(each.values_M[place]),
                    "win_rates": [float(rate) for rate in each.win_rates_RM[:, place]],
                    "loss": float(each.losses_M[place]),
                    "error": float(each.errors_M[place]),
                }
                for place, name in enumerate(encoders)
            }
            for task, each in transfers.items()
        },
    }


def _truth_table(details: dict[str, Any]) -> Table:
    """The best sources of every task among the encoders that were trained for others."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("best source", "second", "third")
    for heading in ("task", *headings):
        table.add_column(heading)
    table.add_column("stability", justify="right")
    for task, sources in details["transfers"].items():
        rates = {name: each["win_rate"] for name, each in sources.items() if task_of(name) != task}
        best = sorted(rates, key=lambda name: -rates[name])[: len(headings)]
        cells = [f"{name} {rates[name]:.2f}" for name in best]
        cells += [""] * (len(headings) - len(best))
        stable = details["stability"]["tasks"][task]
        table.add_row(task, *cells, "" if stable is None else f"{stable:.2f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
