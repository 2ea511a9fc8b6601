"""Measures where to cut an encoder: ``python -m examples.digits.layer_transfer``.

For every cut of a source encoder, the layers up to it are taken over, the rest starts at random,
and all weights are fine-tuned on few labelled digits: the protocol of DEPARA's layer selection
(Song et al., CVPR 2020, section 4.3). ``layer_truth.csv`` is what ``depara evaluate --truth``
takes, ``layer_transfer.json`` holds each repeat. Both are left alone when they are there already,
measured with the same encoders, settings and code.

The sources are two for which depth alone gives opposite answers: of ``rotation`` all but the last
layers help, of ``jigsaw`` hardly any but the first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError

from examples.digits.data import PART_SIZES, draw_digits, load_digits
from examples.digits.encoder import Encoder, build_head, code_of
from examples.digits.fit import Settings, examples_of, fine_tune, own_chance
from examples.digits.running import default_workers, follow, in_processes, plain_console, say
from examples.digits.tasks import TASKS
from examples.digits.train import DEFAULT_FOLDER
from examples.digits.truth import (
    read_details,
    stability,
    stability_of_mean,
    write_details,
    write_table,
)
from examples.digits.zoo import checkpoint_path, hash_with_sources, load_encoder

TRUTH_FILE = "layer_truth.csv"
DETAILS_FILE = "layer_transfer.json"

LAYERS = ("stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "code")
"""The cuts, in firing order; `scan.yaml` scans the same."""

SOURCES = ("rotation", "jigsaw")
TARGET = "class10"
FROM_SCRATCH = "none"
"""The name of the cut that takes nothing over."""

FINE_TUNING = Settings(steps=100, batch_size=25, peak_learning_rate=3e-3, shift_px=0)

_SOURCE_FILES = (
    "data.py",
    "encoder.py",
    "fit.py",
    "layer_transfer.py",
    "tasks.py",
    "truth.py",
)


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How the cut encoders are fine-tuned."""

    labels: int = 100
    """Labelled digits to learn from; each repeat draws others."""
    repeats: int = 8
    """Fine-tunings per cut, each with other digits, random layers and batches."""
    training: Settings = FINE_TUNING
    """Of each fine-tuning."""


@dataclass(frozen=True)
class Tuned:
    """The held-out accuracy in [0, 1] of one repeat for every cut of every source."""

    repeat: int
    accuracies: dict[tuple[str, str], float]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when the truth is there, else 1."""
    options = _parse(arguments)
    console = plain_console()
    missing = [s for s in options.sources if not checkpoint_path(options.zoo, s).is_file()]
    if missing:
        say(
            console,
            f"{options.zoo} lacks {', '.join(missing)}: run python -m examples.digits.train",
        )
        return 1
    try:
        details = measure_layers(options, console)
    except BrokenProcessPool:
        say(console, "a measuring process died; if it ran out of memory, use --workers 1")
        return 1
    except (OSError, SafetensorError) as error:
        say(console, f"cannot measure {options.zoo} into {options.out}: {error}")
        return 1
    console.print(_layer_table(details))
    for source, stable in details["stability"].items():
        if stable["one_repeat"] is not None:
            say(
                console,
                f"{source}: two repeats rank the cuts with a correlation of "
                f"{stable['one_repeat']:.2f}, two such truths of about "
                f"{stable['mean_of_repeats']:.2f}",
            )
    say(console, f"the truth is {options.out / TRUTH_FILE}")
    return 0


def measure_layers(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Returns the details in ``layer_transfer.json``, measured when missing or outdated."""
    how: FineTuning = options.fine_tuning
    key = layer_truth_key(options.zoo, options.sources, how)
    path = options.out / DETAILS_FILE
    details = None if options.force else read_details(path, key)
    if details is not None and (options.out / TRUTH_FILE).is_file():
        say(console, f"the layer truth is in {options.out} already")
        return details
    workers = options.workers or default_workers(how.repeats)
    say(
        console,
        f"fine-tuning {' and '.join(options.sources)} from {len(LAYERS)} cuts for {TARGET} on "
        f"{how.labels} digits, {how.repeats} repeats, {workers} at a time",
    )
    started = time.perf_counter()
    arguments = [(options.zoo, options.sources, how, repeat) for repeat in range(how.repeats)]
    results = follow(
        console,
        "fine-tuning",
        in_processes(tune_all_cuts, arguments, workers),
        how.repeats,
        lambda tuned: f"repeat {tuned.repeat}, {tuned.seconds:.1f} s",
    )
    repeats = sorted(results, key=lambda tuned: tuned.repeat)
    options.out.mkdir(parents=True, exist_ok=True)
    accuracies = {
        cut: np.array([tuned.accuracies[cut] for tuned in repeats]) for cut in repeats[0].accuracies
    }
    header = ("target", "source", "layer", "value")
    write_table(options.out / TRUTH_FILE, header, layer_rows(accuracies))
    write_details(path, key, _details(accuracies, options.sources, how))
    say(console, f"fine-tuned in {time.perf_counter() - started:.0f} s")
    written = read_details(path, key)
    assert written is not None
    return written


def tune_all_cuts(folder: Path, sources: Sequence[str], how: FineTuning, repeat: int) -> Tuned:
    """Fine-tunes one repeat of every cut, and once from scratch, with the same chance for all."""
    started = time.perf_counter()
    states: dict[str, Mapping[str, torch.Tensor]] = {
        source: load_encoder(folder, source).state_dict() for source in sources
    }
    accuracies = {(FROM_SCRATCH, FROM_SCRATCH): _accuracy({}, how, repeat)}
    for source, state in states.items():
        for layer in LAYERS:
            taken = taken_over(state, layer)
            accuracies[source, layer] = _accuracy(taken, how, repeat)
    return Tuned(repeat, accuracies, time.perf_counter() - started)


def taken_over(state: Mapping[str, torch.Tensor], cut: str) -> dict[str, torch.Tensor]:
    """Returns the weights and statistics of the layers up to and with the cut."""
    taken = tuple(f"{layer}." for layer in LAYERS[: LAYERS.index(cut) + 1])
    return {key: value for key, value in state.items() if key.startswith(taken)}


def layer_rows(
    accuracies: Mapping[tuple[str, str], NDArray[np.float64]],
) -> list[tuple[str, str, str, float]]:
    """Returns ``target, source, layer, value``: the mean accuracy over the repeats."""
    return [
        (TARGET, source, layer, float(values_R.mean()))
        for (source, layer), values_R in accuracies.items()
        if source != FROM_SCRATCH
    ]


def layer_truth_key(folder: Path, sources: Sequence[str], how: FineTuning) -> str:
    """Returns a hash of all that decides the truth: encoders, settings and the code."""
    weights = {
        name: hashlib.sha256(checkpoint_path(folder, name).read_bytes()).hexdigest()
        for name in sources
    }
    text = json.dumps([weights, asdict(how)], sort_keys=True)
    return hash_with_sources(text, _SOURCE_FILES)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = FineTuning()
    parser = argparse.ArgumentParser(
        prog="python -m examples.digits.layer_transfer",
        description="Measures from which cut an encoder is best fine-tuned for another task.",
    )
    parser.add_argument("--zoo", type=Path, default=DEFAULT_FOLDER, help="folder of the encoders")
    parser.add_argument("--out", type=Path, help="folder of the truth; default: the zoo's")
    parser.add_argument("--force", action="store_true", help="measure again what is there already")
    others = [task for task in TASKS if task != TARGET]
    parser.add_argument(
        "--sources", nargs="+", choices=others, default=list(SOURCES), metavar="TASK"
    )
    parser.add_argument("--labels", type=int, default=default.labels, help="to learn from")
    parser.add_argument("--repeats", type=int, default=default.repeats, help="with other chance")
    parser.add_argument("--steps", type=int, default=default.training.steps, help="per cut")
    parser.add_argument("--workers", type=int, help="repeats at a time; default: one per CPU")
    options = parser.parse_args(arguments)
    for name in ("labels", "repeats", "steps", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    if options.labels > PART_SIZES["train"]:
        parser.error(f"--labels can be at most {PART_SIZES['train']}, got {options.labels}")
    options.sources = list(dict.fromkeys(options.sources))
    options.out = options.out or options.zoo
    training = replace(FINE_TUNING, steps=options.steps)
    options.fine_tuning = FineTuning(
        labels=options.labels, repeats=options.repeats, training=training
    )
    return options


def _accuracy(taken: Mapping[str, torch.Tensor], how: FineTuning, repeat: int) -> float:
    """Fine-tunes one encoder of which some layers are given; returns its held-out accuracy."""
    task, seed = TASKS[TARGET], how.training.seed + repeat
    train = draw_digits(load_digits("train"), how.labels, seed)
    with own_chance(seed) as chance:
        encoder, head = Encoder(), build_head(task.num_classes)
        encoder.load_state_dict({**encoder.state_dict(), **taken}, strict=True)
        fine_tune(encoder, head, task, train, how.training, chance)
        unseen = examples_of(task, load_digits("held_out"), how.training.seed)
        with torch.no_grad():
            error = task.error(head(code_of(encoder, unseen.inputs)), unseen.targets)
    return 1.0 - error


def _details(
    accuracies: Mapping[tuple[str, str], NDArray[np.float64]],
    sources: Sequence[str],
    how: FineTuning,
) -> dict[str, Any]:
    """``standard_error`` is of the difference to training from scratch, which shares the chance."""
    scratch_R = accuracies[FROM_SCRATCH, FROM_SCRATCH]

    def entry(values_R: NDArray[np.float64]) -> dict[str, Any]:
        gains_R = values_R - scratch_R
        deviation = gains_R.std(ddof=1) if len(gains_R) > 1 else np.nan
        return {
            "accuracy": float(values_R.mean()),
            "accuracies": [float(value) for value in values_R],
            "standard_error": float(deviation / np.sqrt(len(gains_R))),
        }

    stable = {}
    for source in sources:
        one = stability(np.stack([accuracies[source, layer] for layer in LAYERS], axis=1))
        mean = stability_of_mean(one, how.repeats)
        stable[source] = {"one_repeat": one, "mean_of_repeats": mean}
    return {
        "settings": asdict(how),
        "target": TARGET,
        "from_scratch": entry(scratch_R),
        "stability": stable,
        "sources": {s: {layer: entry(accuracies[s, layer]) for layer in LAYERS} for s in sources},
    }


def _layer_table(details: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("source")
    for heading in ("scratch", *LAYERS):
        table.add_column(heading, justify="right")
    for source, layers in details["sources"].items():
        entries = (details["from_scratch"], *(layers[layer] for layer in LAYERS))
        table.add_row(source, *(f"{entry['accuracy']:.1%}" for entry in entries))
    return table


if __name__ == "__main__":
    sys.exit(main())
