"""Does the bound of task-relatedness hold on real encoders, and does it rank them?

Four targets with classes, as in `benchmarks.labelled`: the ten digits and their parity over the
digits' encoders, ten kinds of photos and animal or vehicle over those of the mini zoo. One half of
the labelled pictures is the source's task, with the other labels, the other half the target's: ten
classes for two and two for ten. Of every encoder the bound and its parts, the loss of its best
linear head on the target's pictures, and Spearman's correlation of each with the measured transfer.
A zoo is left out where its truth is not at hand: that of the digits is made by
``python -m examples.digits.train`` and ``python -m examples.digits.transfer``.

    python -m benchmarks.relatedness [--quick]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks._report import machine_line, write_report
from benchmarks.ntk import networks_of
from benchmarks.truth.scans import DIGITS, SHARED, digit_zoo, mini_zoo
from depara.domains import Relatedness, fit_head, relatedness
from depara.types import Float64
from examples.digits.data import load_digits
from examples.digits.encoder import INPUT_MEAN, INPUT_STD

_VEHICLES = {"0", "1", "8", "9"}
_FREE = 1e-6
_RHO = ("bound", "transferred_loss")
_PARTS = ("bound", "source_loss", "label_entropy", "transport", "transferred_loss")


@dataclass(frozen=True)
class Case:
    """A target: features of its encoders, labels of both tasks, and what each encoder reached."""

    name: str
    features: Mapping[str, Float64]
    source_labels: Sequence[str]
    target_labels: Sequence[str]
    truth: Mapping[str, float]


def cases(folder: Path, count: int) -> Iterator[Case]:
    """Yields the targets of those zoos of which the truth is at hand."""
    if (DIGITS / "zoo" / "truth.csv").exists():
        digits = load_digits("held_out")
        inputs = torch.from_numpy(digits.pictures_NSS[:count, None]).float() / 255
        features = features_of("digits", (inputs - INPUT_MEAN) / INPUT_STD, folder)
        table = pd.read_csv(DIGITS / "zoo" / "truth.csv")
        ten = [str(y) for y in digits.labels_N[:count]]
        two = [str(int(y) % 2) for y in ten]
        yield from _both("digits", features, ten, two, "parity", _rows(table))
    if (SHARED / "minizoo").is_dir():
        with np.load(SHARED / "minizoo" / "probes.npz") as file:
            drawn = np.random.default_rng(0).permutation(len(file["labels"]))[:count]
            photos = (torch.from_numpy(file["images"][drawn]).float() / 255 - 0.45) / 0.25
            ten = [str(y) for y in file["labels"][drawn]]
        transfer = json.loads((SHARED / "minizoo" / "transfer.json").read_text())
        truth = {t: {s: -v[0] for s, v in transfer[t].items()} for t in ("class10", "superclass")}
        two = ["vehicle" if y in _VEHICLES else "animal" for y in ten]
        features = features_of("mini zoo", photos, folder)
        yield from _both("photos", features, ten, two, "superclass", truth)


def _rows(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {
        str(target): dict(zip(rows["source"], rows["value"], strict=True))
        for target, rows in table.groupby("target")
    }


def _both(
    name: str,
    features: Mapping[str, Float64],
    ten: Sequence[str],
    two: Sequence[str],
    coarse: str,
    truth: Mapping[str, Mapping[str, float]],
) -> Iterator[Case]:
    for target, source, labels in (("class10", two, ten), (coarse, ten, two)):
        reached = {n: v for n, v in truth[target].items() if n != target and n in features}
        yield Case(f"{name}: {target}", features, source, labels, reached)


def features_of(zoo: str, inputs: Tensor, folder: Path) -> dict[str, Float64]:
    """Returns the codes of every encoder of a zoo: ``(N, D)``."""
    networks = networks_of(digit_zoo("digits") if zoo == "digits" else mini_zoo(folder))
    with torch.inference_mode():
        return {n: one(inputs).flatten(1).double().numpy() for n, one in networks.items()}


def head_loss(features_MD: Float64, labels: Sequence[str]) -> float:
    """Returns the loss of the best linear head on its own pictures, nats."""
    names, class_M = np.unique(labels, return_inverse=True)
    spread = np.sqrt(features_MD.var(axis=0).sum())
    scaled_MD = (features_MD - features_MD.mean(axis=0)) / spread
    head = fit_head(scaled_MD, class_M, len(names), _FREE)
    return -float(head.log_chances(scaled_MD)[np.arange(len(class_M)), class_M].mean())


def found_of(case: Case) -> tuple[dict[str, Relatedness], dict[str, float]]:
    """Returns the relatedness and the head's loss of every encoder of a case."""
    half = len(case.source_labels) // 2
    related, losses = {}, {}
    for name in case.truth:
        values = case.features[name]
        related[name] = relatedness(
            values[:half], case.source_labels[:half], values[half:], case.target_labels[half:]
        )
        losses[name] = head_loss(values[half:], case.target_labels[half:])
    return related, losses


def _rho(losses: Sequence[float], truth: Sequence[float]) -> str:
    """Spearman's correlation of what is better the lower it is, to two digits."""
    if np.ptp(losses) < _FREE:
        return "all equal"
    return f"{spearmanr(np.negative(losses), truth).statistic:.2f}"


def lines(found: Sequence[Case]) -> Iterator[str]:
    """Yields the report."""
    heads = ["head's loss", *_PARTS, "chance", "holds", "rho of bound", "of transferred", "CPU s"]
    yield f"| target | {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(heads)}"
    for case in found:
        started = time.process_time()
        related, losses = found_of(case)
        seconds = (time.process_time() - started) / len(related)
        truth = [case.truth[name] for name in related]
        rho = {part: _rho([getattr(one, part) for one in related.values()], truth) for part in _RHO}
        holds = sum(losses[name] <= one.bound for name, one in related.items())
        means = [np.mean([getattr(one, part) for one in related.values()]) for part in _PARTS]
        cells = [np.mean(list(losses.values())), *means, np.log(len(set(case.target_labels)))]
        shown = [f"{value:.2f}" for value in cells]
        shown += [f"{holds} of {len(related)}", *rho.values(), f"{seconds:.2f}"]
        yield f"| {case.name} | {' | '.join(shown)} |"
    yield ""
    yield (
        "Means over the encoders, nats; `holds`: of how many the bound is above the loss of the "
        "best linear head on the same pictures; rho: Spearman's correlation of minus the bound, "
        "and of minus the transferred loss, with the measured transfer; CPU of one encoder."
    )
    yield ""
    yield machine_line("scipy")


def main() -> None:
    """Measures, prints and writes ``benchmarks/results/relatedness.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="120 pictures")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        report = list(lines(list(cases(Path(folder), 120 if quick else 300))))
    write_report("relatedness", "python -m benchmarks.relatedness", report, quick=quick)


if __name__ == "__main__":
    main()
