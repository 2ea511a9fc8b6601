"""Each target with its nearest models alone, against all pairs: time, tables, and what is missed.

    python -m benchmarks.nearest_pairs [--models 2000] [--work FOLDER] [--quick]

A zoo of tiny models in families (five layers each, as `benchmarks.zoo_scale` has them; twenty
models of a family differ by noise on their weights) is scanned with `similarity.pairs: nearest`,
again with nothing new, with one model more, and with intervals; then with `pairs: outputs`, whose
graphs are there already and whose pairs are all compared. Each night has a process of its own, two
workers, a local Ray. The true nearest are those of all pairs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import save_file

from benchmarks._report import machine_line, write_report
from benchmarks._tiny_network import TinyNetwork
from benchmarks.zoo_scale import in_process, write_zoo
from depara.results import open_scan

NEAREST = 50
FAMILY, NOISE = 20, 0.5


def write_families(folder: Path, num_models: int) -> None:
    """Writes weights: those of a family, and noise of half their deviation for each model.

    Files that are there stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_models):
        path = folder / f"m{number:05d}.safetensors"
        if path.exists():
            continue
        torch.manual_seed(number // FAMILY)
        weights = TinyNetwork().state_dict()
        torch.manual_seed(10**6 + number)
        noisy = {
            name: value + NOISE * value.std() * torch.randn_like(value)
            for name, value in weights.items()
        }
        save_file(noisy, str(path))


def night(folder: Path, num_models: int, nearest: int | None, resamples: int) -> dict[str, Any]:
    """Scans once; returns what it took."""
    path = write_zoo(folder, num_models)
    tree = yaml.safe_load(path.read_text())
    tree["similarity"] = {"pairs": "outputs"}
    if nearest is not None:
        tree["similarity"] = {"pairs": "nearest", "nearest": nearest}
    tree["uncertainty"] = {"resamples": resamples}
    path.write_text(yaml.safe_dump(tree))
    return in_process(path, cpu=False)


def found_share(output: str, nearest_id: str, whole_id: str, count: int) -> float:
    """Returns which share of the true nearest ``count`` of a target is ranked, mean of targets."""
    columns = ["target_model", "source_model"]
    near = open_scan(output, nearest_id).table("model_ranking")[columns]
    whole = open_scan(output, whole_id).table("model_ranking")
    whole = whole[whole["rank"] <= count]
    return len(whole.merge(near, on=columns)) / len(whole)


def estimates_off(output: str, nearest_id: str) -> tuple[float, float]:
    """Returns the root mean square of the estimates' errors, and of what they are said to be."""
    scan = open_scan(output, nearest_id)
    keys = ["target_model", "source_model"]
    both = scan.table("nearest").merge(scan.table("model_ranking"), on=keys)
    off: pd.Series[float] = both["estimate"] - both["similarity"]
    return float(np.sqrt((off**2).mean())), float(np.sqrt((both["deviation"] ** 2).mean()))


def measure(folder: Path, num_models: int, nearest: int) -> list[str]:
    """Returns the lines of the report."""
    write_families(folder / "weights", num_models)
    plan: list[tuple[str, int, int | None, int]] = [
        ("nearest, first", num_models, nearest, 0),
        ("nearest, unchanged", num_models, nearest, 0),
        ("nearest, one added", num_models + 1, nearest, 0),
        ("nearest, with intervals", num_models + 1, nearest, 1000),
        ("outputs, graphs there", num_models + 1, None, 0),
    ]
    lines = [
        "| night | pairs | new | graphs s | comparison s | analysis s | tables s | whole s | "
        "similarity MiB | tables MiB | driver MiB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    scans = []
    for name, count, per_target, resamples in plan:
        write_families(folder / "weights", count)
        took = night(folder, count, per_target, resamples)
        scans.append(open_scan(str(folder / "out")).scan_id)
        phases = took["phases"]
        lines.append(
            f"| {name} | {took['pairs']:,} | {took['new_pairs']:,} | {phases['graphs']:.1f} | "
            f"{phases['comparison']:.1f} | {phases['analysis']:.1f} | {phases['tables']:.1f} | "
            f"{took['whole_s']:.1f} | {took['similarity_mib']:.1f} | {took['table_mib']:.1f} | "
            f"{took['driver_mib']:.0f} |"
        )
        print(lines[-1], flush=True)
    output, near, whole = str(folder / "out"), scans[3], scans[4]
    missed = open_scan(output, near).manifest["nearest"]["expected_missed"]
    off, said = estimates_off(output, near)
    shares = [(count, found_share(output, near, whole, count)) for count in (1, 5, nearest)]
    lines += [
        "",
        "Of the true nearest by all pairs, each target was compared with "
        + ", ".join(f"**{share:.2%}** of {count}" for count, share in shares)
        + f"; expected by the scan itself: {missed:.2g} of {nearest} missed. Estimates are off by "
        f"{off:.4f} (root mean square), said to be at most {said:.4f}.",
    ]
    return lines


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=2000, help="models of the zoo")
    parser.add_argument("--work", type=Path, help="where the zoo and the output lie")
    parser.add_argument("--quick", action="store_true", help="a small zoo, not written")
    options = parser.parse_args(arguments)
    num_models, nearest = (60, 8) if options.quick else (options.models, NEAREST)
    with tempfile.TemporaryDirectory() as folder:
        lines = measure(options.work or Path(folder), num_models, nearest)
    header = [
        machine_line(),
        "",
        f"{num_models:,} models of five layers in families of {FAMILY}, {nearest} nearest of each "
        "target.",
        "",
    ]
    command = " ".join(["python -m benchmarks.nearest_pairs", *arguments])
    write_report("nearest_pairs", command, [*header, *lines], quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
