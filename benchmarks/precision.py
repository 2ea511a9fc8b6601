"""How far bfloat16 agrees with float32 on real models, and what of a ranking it moves.

    python -m benchmarks.precision [--quick]

Each zoo is scanned in fp32, and in bf16 with the gate open, so that every layer is computed in
bf16. From the markers: how the first probes of each layer agree, which is what the gate is told;
from the tables: what that does to similarities and rankings of all probes. A CUDA device computes
where there is one, else the CPU. The limits of the gate
(`depara.extraction.precision.LIMITS`) rest on this table.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
import yaml

from benchmarks._report import machine_line, write_report
from benchmarks.truth.scans import ROOT, SHARED, mini_zoo

KEYS = ["source_model", "source_layer", "target_model", "target_layer"]
SCORES = ["node_similarity", "edge_similarity", "similarity"]


def zoos(folder: Path, num_probes: int) -> dict[str, dict[str, Any]]:
    """Returns the scans of real models that are at hand."""
    photos = {"source": str(SHARED / "probes" / "visda200"), "count": num_probes}
    imagenet = yaml.safe_load((ROOT / "examples" / "imagenet" / "scan.yaml").read_text())
    imagenet = {**imagenet, "probes": photos}
    cifar = {
        "probes": photos,
        "canvas": {"side": 32},
        "defaults": {"layers": "blocks", "input": {"side": 32}},
        "models": [
            {
                "id": path.name.partition("-")[0],
                "source": f"python:examples.cifar.resnet:{path.name.partition('-')[0]}",
                "weights": str(path),
            }
            for path in sorted((SHARED / "models").glob("*.th"))
        ],
    }
    mini = mini_zoo(folder)
    sys.path.insert(0, mini.import_path)
    encoders = {**mini.scan, "probes": {**mini.scan["probes"], "count": num_probes}}
    return {
        "CIFAR ResNet-20 to -56, blocks": cifar,
        "mini zoo, 14 encoders": encoders,
        "MobileNetV2, EfficientNet-Lite0 to 2, blocks": imagenet,
    }


@contextmanager
def open_gate() -> Any:
    """Lets every layer pass."""
    from depara.extraction import precision

    nothing = precision.Agreement(-1.0, -1.0, -1.0)
    with patch.object(precision, "LIMITS", nothing):
        yield


def scan(tree: dict[str, Any], output: str, precision: str) -> None:
    """Scans in this process."""
    from cluster.pool.launcher import InlineLauncher
    from cluster.pool.progress import PlainReporter
    from cluster.pool.worker import Worker
    from cluster.scan import run_scan
    from depara.config import parse_scan
    from depara.store.storage import Storage

    compute = {"num_cpus": 2, "precision": precision}
    whole = {**tree, "output": output, "compute": compute, "uncertainty": {"resamples": 0}}
    file = parse_scan(yaml.safe_dump({**whole, "similarity": {"scores": []}}))
    num_gpus = float(torch.cuda.is_available())
    launcher = InlineLauncher(lambda: Worker(output, 2, num_gpus))
    summary = run_scan(file, launcher, Storage(output), PlainReporter(io.StringIO()))
    assert not summary.failures, summary.failures


def agreements(output: str) -> pd.DataFrame:
    """Returns what the markers say of each layer."""
    from depara import open_scan
    from depara.store.graphs import read_marker
    from depara.store.storage import Storage

    layers = open_scan(output).table("layers")
    markers = [read_marker(Storage(output), key) for key in layers["graph_key"]]
    rows = [marker.precision for marker in markers if marker is not None]
    return pd.concat([layers[["model_id", "layer"]], pd.DataFrame(rows)], axis=1)


def table_of(name: str, exact: str, other: str) -> list[str]:
    """Returns the rows of one zoo: agreement per model, then what it moves."""
    from depara import open_scan
    from depara.extraction.precision import LIMITS, Agreement

    found = agreements(other)
    one, two = (open_scan(place) for place in (exact, other))
    seconds = [scan.table("models").set_index("model_id")["seconds"] for scan in (one, two)]
    lines = []
    fields = list(vars(LIMITS))
    for model, rows in found.groupby("model_id", sort=False):
        passing = sum(
            not Agreement(*(row[field] for field in fields)).shortfall()
            for row in rows.to_dict("records")
        )
        least = " | ".join(f"{rows[f].median():.4f} / {rows[f].min():.4f}" for f in fields)
        speed = seconds[0][model] / seconds[1][model]
        lines.append(f"| {name} | {model} | {passing} of {len(rows)} | {least} | {speed:.2f} |")
        name = ""
    return lines


def moved(name: str, exact: str, other: str) -> str:
    """Returns what bf16 moves in the tables of one zoo."""
    from depara import open_scan

    tables = [open_scan(p).table("similarity").set_index(KEYS)[SCORES] for p in (exact, other)]
    apart = (tables[0] - tables[1]).abs().max()
    ranks = []
    for target, rows in tables[0]["similarity"].groupby("target_model"):
        mine = rows[rows.index.get_level_values("source_model") != target]
        yours = tables[1]["similarity"].loc[mine.index]
        ranks.append(mine.rank().corr(yours.rank()))
    cells = " | ".join(f"{apart[score]:.4f}" for score in SCORES)
    return f"| {name} | {cells} | {np.mean(ranks):.4f} / {np.min(ranks):.4f} |"


def main(arguments: Sequence[str]) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few probes, not written")
    options = parser.parse_args(arguments)
    num_probes = 16 if options.quick else 64
    rows, effects = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, tree) in enumerate(zoos(Path(folder), num_probes).items()):
            exact, other = (f"{folder}/{number}-{kind}" for kind in ("fp32", "bf16"))
            scan(tree, exact, "fp32")
            with open_gate():
                scan(tree, other, "bf16")
            rows += table_of(name, exact, other)
            effects.append(moved(name, exact, other))
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name(0) if cuda else "the CPU"
    lines = [
        machine_line(),
        "",
        f"{num_probes} photos; bfloat16 by autocast on {device}. Median / least over the layers of "
        "what the gate measures on the first 16 probes, and how many layers pass it. Speed of the "
        "scan of a model (the gate's own passes included) against fp32, other work beside it.",
        "",
        "| zoo | model | layers that pass | mean cosine of maps | least cosine of maps | rank "
        "correlation of edges | speed |",
        "|---|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "Every layer in bf16, also those that do not pass: the largest change of any pair of "
        "graphs, and Spearman's correlation of each target's ranking of all graphs (mean / least).",
        "",
        "| zoo | node_similarity | edge_similarity | similarity | rankings |",
        "|---|---:|---:|---:|---:|",
        *effects,
    ]
    command = " ".join(["python -m benchmarks.precision", *arguments])
    write_report("precision", command, lines, quick=options.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
