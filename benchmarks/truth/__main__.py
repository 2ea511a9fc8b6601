"""How well every score and rule ranks measured transfers: the table of the truth suite.

    python -m benchmarks.truth.make     (once, about an hour)
    python -m benchmarks.truth [--quick]

Zoos: those of the suite that `make` has put in its cache, the digit zoo (trained on first use),
the mixed digit zoo when `python -m examples.digits.train --architectures` has trained it, and the
mini zoo of the shared data folder (DEPARA_SHARED_DATA) when there is one. The rules that compete
(`rules.RULES`) are chosen with a zoo left out; every setting is varied alone from the shipped
defaults.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import machine_line, write_report
from benchmarks.truth.cells import interval, left_out_table, pair
from benchmarks.truth.rules import (
    DEFAULT_RULE,
    FORMER,
    RULES,
    Judged,
    judge,
    mean_over,
    means,
    paired,
)
from benchmarks.truth.scans import Frames, Zoo, find_zoos, judge_all, scan_all

PROBES = 200
DEFAULT = "default"
VARIANTS: dict[str, dict[str, Any]] = {
    "scalar: mean": {"attribution": {"scalar": "mean"}},
    "channels: abs": {"attribution": {"channels": "abs"}},
    "map_side: 1/2": {"map_divisor": 2},
    "map_side: 1/4": {"map_divisor": 4},
    "map_side: 1/8": {"map_divisor": 8},
    "method: saliency": {"attribution": {"method": "saliency"}},
    "method: integrated_gradients": {
        "attribution": {"method": "integrated_gradients", "steps": 16}
    },
    "method: smoothgrad": {"attribution": {"method": "smoothgrad", "steps": 16}},
    "method: eps_lrp": {"attribution": {"method": "eps_lrp"}},
    "normalize: center": {"edges": {"normalize": "center"}},
    "normalize: none": {"edges": {"normalize": "none"}},
    "features: gap": {"edges": {"features": "gap"}},
    "preset: paper": {"preset": "paper"},
    "preset: authors_tasks": {"preset": "authors_tasks"},
    "preset: authors_layers": {"preset": "authors_layers"},
}
CEILINGS = ("ceiling_noise", "ceiling_ranks", "ceiling_values")
BASELINES = ("popularity", "parameters", "gflop")


def scores_table(judged: Sequence[Judged]) -> list[str]:
    """All rules, scores and baselines: the mean over zoos, and each zoo."""
    names = list(dict.fromkeys(name for zoo in judged for name, _ in zoo.values.columns))
    rules = [name for name in RULES if name in names]
    tail = [name for name in (*BASELINES, *CEILINGS) if name in names]
    scores = [n for n in names if n not in (*rules, *tail, "random", "similarity")]
    lines = [
        "## Every score",
        "",
        "Mean over targets of Spearman's correlation with the truth / regret@1, the share of the",
        "true range lost by trying the first choice. Undecided zoos are those that no default was",
        "chosen by; `ceiling_noise` is what a score without error would reach.",
        "",
        "| score | undecided zoos | " + " | ".join(zoo.zoo for zoo in judged) + " |",
        "|---|---:|" + "---:|" * len(judged),
    ]
    undecided = [zoo for zoo in judged if not zoo.decided]
    for name in (*rules, *scores, *tail):
        cells = [pair(*means(zoo, name)) for zoo in judged]
        lines.append(
            f"| {name} | {pair(*mean_over(undecided, name))} | " + " | ".join(cells) + " |"
        )
    return [*lines, ""]


def differences_table(judged: Sequence[Judged], names: Sequence[str], title: str) -> list[str]:
    """Every rule and score against the paper's sum, in pairs."""
    undecided = [zoo for zoo in judged if not zoo.decided]
    parts = {
        "undecided zoos": undecided,
        "of one architecture": [zoo for zoo in undecided if not zoo.is_mixed],
        "of several": [zoo for zoo in undecided if zoo.is_mixed],
    }
    parts = {name: zoos for name, zoos in parts.items() if zoos}
    lines = [
        f"## {title}",
        "",
        f"Gain in Spearman over {FORMER} (5 to 95 %, targets resampled in pairs; targets that",
        "share their truth together), and in regret@1 (negative is better).",
        "",
        "| score | "
        + " | ".join(f"{name} ({len(zoos)})" for name, zoos in parts.items())
        + " | regret@1 |",
        "|---|" + "---:|" * (len(parts) + 1),
    ]
    for name in names:
        if name == FORMER or any((name, "spearman") not in zoo.values for zoo in undecided):
            continue
        cells = [interval(*paired(zoos, name, FORMER, "spearman")[:3]) for zoos in parts.values()]
        cells.append(interval(*paired(undecided, name, FORMER, "regret")[:3]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def layers_section(zoos: Sequence[Zoo], frames: Mapping[tuple[str, str], Frames]) -> list[str]:
    """How well the cuts of a source are ranked."""
    judged = []
    for zoo in zoos:
        layers = frames[zoo.name, DEFAULT].layers
        if zoo.layer_truth is not None and layers is not None:
            judged.append(
                judge(zoo.name, zoo.layer_truth, layers, relevant=2, is_mixed=False, decided=False)
            )
    if not judged:
        return []
    names = list(dict.fromkeys(name for zoo in judged for name, _ in zoo.values.columns))
    order = [name for name in (*RULES, *names) if name in names and name != "similarity"]
    lines = [
        "## Where to cut",
        "",
        "Each source's layers ranked for a target: Spearman / regret@1, and the gain in pairs.",
        "",
        "| score | "
        + " | ".join(f"{one.zoo}: {len(one.values)} pairs" for one in judged)
        + " | gain in Spearman |",
        "|---|" + "---:|" * (len(judged) + 1),
    ]
    for name in dict.fromkeys(order):
        cells = [pair(*means(one, name)) for one in judged]
        gain = ""
        if name not in (FORMER, *CEILINGS):
            gain = interval(*paired(judged, name, FORMER, "spearman")[:3])
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {gain} |")
    return [*lines, ""]


def variants_section(zoos: Sequence[Zoo], frames: Mapping[tuple[str, str], Frames]) -> list[str]:
    """One setting at a time, by the default rule and by the node term alone."""
    base = judge_all(zoos, frames, DEFAULT)
    lines = [
        "## One setting at a time",
        "",
        f"Gain of {DEFAULT_RULE} in mean Spearman over the shipped settings (5 to 95 %); the node "
        "term alone.",
        "",
        "| setting | zoos that decided before | undecided zoos | node, undecided |",
        "|---|---:|---:|---:|",
    ]
    for name in VARIANTS:
        judged = judge_all(zoos, frames, name)
        merged = [_beside(one, other) for one, other in zip(judged, base, strict=True)]
        cells = []
        for decided in (True, False):
            part = [one for one in merged if one.decided is decided]
            gain = paired(part, "varied", DEFAULT_RULE, "spearman")[:3] if part else None
            cells.append(interval(*gain) if gain else "-")
        undecided = [one for one in judged if not one.decided]
        cells.append(f"{mean_over(undecided, 'node_similarity')[0]:.2f}" if undecided else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _beside(varied: Judged, base: Judged) -> Judged:
    """The default rule under other settings as a score of its own."""
    values = base.values.copy()
    for metric in ("spearman", "regret"):
        values["varied", metric] = varied.values[DEFAULT_RULE, metric]
    return Judged(base.zoo, base.is_mixed, base.decided, values, base.group)


def zoos_table(zoos: Sequence[Zoo], judged: Sequence[Judged]) -> list[str]:
    """What the suite is made of."""
    lines = ["| zoo | targets | architectures | noise ceiling |", "|---|---:|---|---:|"]
    for zoo, one in zip(zoos, judged, strict=True):
        kind = "several" if zoo.is_mixed else "one"
        ceiling = means(one, "ceiling_noise")[0]
        decided = " (decided before)" if zoo.decided else ""
        lines.append(
            f"| {zoo.name}{decided} | {len(one.values)} | {kind} | {pair(ceiling, np.nan)} |"
        )
    total = sum(len(one.values) for one in judged)
    return [f"{len(zoos)} zoos, {total} targets.", "", *lines, ""]


def main() -> None:
    """Scans every zoo with every setting, judges, prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="defaults only, 40 probes")
    quick = parser.parse_args().quick
    started_s = time.perf_counter()
    num_probes = 40 if quick else PROBES
    settings: dict[str, dict[str, Any]] = {DEFAULT: {}, **({} if quick else VARIANTS)}
    with tempfile.TemporaryDirectory() as folder:
        zoos = find_zoos(Path(folder))
        jobs = [(zoo, name, changes) for name, changes in settings.items() for zoo in zoos]
        frames = scan_all(jobs, num_probes, folder)
        judged = judge_all(zoos, frames, DEFAULT)
        lines = zoos_table(zoos, judged) + scores_table(judged)
        names = list(dict.fromkeys(name for zoo in judged for name, _ in zoo.values.columns))
        shown = [name for name in (*RULES, *names) if name in names and name not in CEILINGS]
        lines += differences_table(judged, list(dict.fromkeys(shown)), "Against the paper's sum")
        lines += left_out_table([zoo for zoo in judged if not zoo.decided]) + layers_section(
            zoos, frames
        )
        if not quick:
            lines += variants_section(zoos, frames)
    seconds = time.perf_counter() - started_s
    lines += [f"{num_probes} probes, {seconds:.0f} s in all.", "", machine_line("scipy")]
    write_report("truth", "python -m benchmarks.truth", lines, quick=quick)


if __name__ == "__main__":
    main()
