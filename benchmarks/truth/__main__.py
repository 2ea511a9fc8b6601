"""How well every score ranks measured transfers, and what each setting of the method changes.

    python -m benchmarks.truth [--quick]

Zoos: the digit zoo (trained on first use), the mixed digit zoo of three architectures when
`python -m examples.digits.train --architectures` has trained it, and the mini zoo of the shared
data folder (DEPARA_SHARED_DATA) when there is one. Every setting is varied alone from the
shipped defaults.

No default is tuned on what it is reported on: choices are made on the digits and on every other
target of the mini zoo ("choose"); the other mini-zoo targets and the mixed zoo only report.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from benchmarks._report import machine_line, write_report
from depara.evaluation import Evaluation, evaluate_scores, load_truth

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("DEPARA_SHARED_DATA", ROOT.parent / "shared" / "data"))
DIGITS = ROOT / "examples" / "digits"
PROBES = 200

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
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
LAMBDAS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Zoo:
    """One zoo with measured truth: its scan file's sections, truth, and relevant sources."""

    name: str
    scan: dict[str, Any]
    truth: str
    relevant: int
    import_path: str = ""


def find_zoos(folder: Path) -> list[Zoo]:
    """Returns the zoos that are at hand; trains the digits' where needed."""
    for module in ("examples.digits.train", "examples.digits.transfer"):
        subprocess.run([sys.executable, "-m", module], cwd=ROOT, check=True)
    zoos = [_digit_zoo("digits", DIGITS / "scan.yaml", DIGITS / "zoo")]
    mixed = DIGITS / "zoo-mixed"
    if (mixed / "truth.csv").exists():
        zoos.append(_digit_zoo("mixed digits", DIGITS / "scan-mixed.yaml", mixed))
    if (SHARED / "minizoo").is_dir():
        zoos.append(_mini_zoo(folder))
    return zoos


def _digit_zoo(name: str, scan_file: Path, folder: Path) -> Zoo:
    tree = yaml.safe_load(scan_file.read_text())
    tree.setdefault("defaults", {})["layers"] = ["code"]
    for model in tree["models"]:
        model.pop("layers", None)
    return Zoo(name, tree, str(folder / "truth.csv"), relevant=3)


def _mini_zoo(folder: Path) -> Zoo:
    source = SHARED / "minizoo"
    stored = np.load(source / "probes.npz")
    rows = []
    for image in stored["images"]:
        png = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(png, "PNG")
        rows.append(png.getvalue())
    labels = pa.array([str(label) for label in stored["labels"]])
    pq.write_table(pa.table({"image": rows, "label": labels}), folder / "minizoo.parquet")
    transfers = json.loads((source / "transfer.json").read_text())
    with (folder / "minizoo.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["target", "source", "value"])
        for key, wins in transfers.items():
            if key.endswith("/win"):
                target = key.removesuffix("/win")
                writer.writerows((target, s, v) for s, v in wins.items() if s != target)
    spec = {"side": 32, "mean": [0.45] * 3, "std": [0.25] * 3}
    scan = {
        "probes": {"source": str(folder / "minizoo.parquet")},
        "canvas": {"side": 32},
        "defaults": {"source": "python:encoder:Encoder", "input": spec, "layers": ["code"]},
        "models": [{"id": "{stem}", "weights": str(source / "*.pt")}],
    }
    return Zoo("mini zoo", scan, str(folder / "minizoo.csv"), 4, str(source))


def scan_zoo(zoo: Zoo, variant: str, num_probes: int, folder: str) -> pd.DataFrame:
    """Runs one scan in this process; returns the pairs of different models with all scores."""
    from cluster.pool.launcher import InlineLauncher
    from cluster.pool.progress import PlainReporter
    from cluster.pool.worker import Worker
    from cluster.scan import run_scan
    from depara.config import parse_scan
    from depara.results import open_scan
    from depara.store.storage import Storage

    os.chdir(ROOT)
    if zoo.import_path and zoo.import_path not in sys.path:
        sys.path.insert(0, zoo.import_path)
    changes = dict(VARIANTS[variant])
    divisor = changes.pop("map_divisor", None)
    tree = {**zoo.scan, **changes, "output": f"{folder}/{variant}/{zoo.name}".replace(" ", "-")}
    tree["probes"] = {**zoo.scan["probes"], "count": num_probes}
    if divisor:
        tree["attribution"] = {"map_side": tree["canvas"]["side"] // divisor}
    tree["compute"] = {"memory": "512MiB"}
    file = parse_scan(yaml.safe_dump(tree))
    output = file.config.output
    launcher = InlineLauncher(lambda: Worker(output, 1, 0))
    run_scan(file, launcher, Storage(output), PlainReporter(io.StringIO()))
    frame = open_scan(output).table("similarity")
    frame = frame.rename(columns={"target_model": "target", "source_model": "source"})
    frame["node, zoo-centred"] = zoo_centred(frame)
    columns = ["target", "source", "node_similarity", "edge_similarity"]
    columns += ["node, zoo-centred", "rsa", "rsa_zscore", "dds", "cka", "directed"]
    return frame.loc[frame["target"] != frame["source"], columns].reset_index(drop=True)


def zoo_centred(frame: pd.DataFrame) -> pd.Series[float]:
    """Node similarity after removing the zoo's mean map of each probe: H V H, renormalised."""
    square = frame.pivot(index="source", columns="target", values="node_similarity")
    assert list(square.index) == list(square.columns)
    matrix = square.to_numpy()
    matrix = matrix - matrix.mean(axis=0) - matrix.mean(axis=1)[:, None] + matrix.mean()
    norms = np.sqrt(np.maximum(np.diagonal(matrix), 1e-12))
    matrix = matrix / norms / norms[:, None]
    centred = pd.DataFrame(matrix, index=square.index, columns=square.columns)
    pairs = zip(frame["source"], frame["target"], strict=True)
    return pd.Series([float(centred.loc[source, target]) for source, target in pairs])


def combined(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the sums that the report compares."""
    frame = frame.copy()
    node, edge = frame["node_similarity"], frame["edge_similarity"]
    for weight in LAMBDAS:
        frame[f"node + {weight:g} edge"] = node + weight * edge
    frame["node + edge + directed"] = node + edge + frame["directed"]
    frame["zoo-centred node + 2 edge"] = frame["node, zoo-centred"] + 2 * edge
    return frame


def evaluate(zoo: Zoo, frame: pd.DataFrame, bootstrap: int) -> Evaluation:
    """Judges all score columns of one scan."""
    truth = load_truth(zoo.truth)
    return evaluate_scores(truth, frame, relevant=zoo.relevant, bootstrap=bootstrap)


def per_target(evaluation: Evaluation, score: str) -> pd.Series[float]:
    """Spearman with the truth of each target."""
    table = evaluation.table
    mine = table[(table["score"] == score) & (table["metric"] == "spearman")]
    return mine[mine["target"].notna()].set_index("target")["value"].astype(float)


def scores_section(zoo: Zoo, frame: pd.DataFrame) -> list[str]:
    """The table of all scores and baselines on one zoo, with intervals over targets."""
    evaluation = evaluate(zoo, combined(frame), 1000)
    k = zoo.relevant
    spearman = evaluation.means("spearman")
    columns = [evaluation.means("precision", 1), evaluation.means("precision", k)]
    columns += [evaluation.means("regret", 1)]
    lines = [
        f"## {zoo.name}: {frame['target'].nunique()} targets, {k} relevant",
        "",
        f"| score | Spearman (5-95 %) | P@1 | P@{k} | regret@1 |",
        "|---|---|---:|---:|---:|",
    ]
    for name in [*evaluation.scores, *evaluation.baselines]:
        row = spearman.loc[name]
        interval = "" if pd.isna(row["low"]) else f" ({row['low']:.2f} to {row['high']:.2f})"
        values = " | ".join(f"{column.loc[name, 'value']:.2f}" for column in columns)
        lines.append(f"| {name} | {row['value']:.2f}{interval} | {values} |")
    return [*lines, ""]


def variants_section(zoos: list[Zoo], frames: dict[tuple[str, str], pd.DataFrame]) -> list[str]:
    """One row per setting: Spearman of node + 2 edge, and of the node term alone, per zoo."""
    heads, splits = [], []
    for zoo in zoos:
        targets = sorted(frames[zoo.name, "default"]["target"].unique())
        if zoo.name == "mini zoo":
            heads += ["mini zoo, choose", "mini zoo, report"]
            splits += [(zoo, targets[::2]), (zoo, targets[1::2])]
        else:
            heads.append(f"{zoo.name}, {'choose' if zoo.name == 'digits' else 'report'}")
            splits.append((zoo, targets))
    lines = [
        "## One setting at a time",
        "",
        "Mean Spearman with the truth: node + 2 edge (node alone).",
        "",
        "| setting | " + " | ".join(heads) + " |",
        "|---|" + "---:|" * len(heads),
    ]
    for variant in VARIANTS:
        cells = []
        for zoo, targets in splits:
            if (zoo.name, variant) not in frames:
                cells.append("-")
                continue
            evaluation = evaluate(zoo, combined(frames[zoo.name, variant]), 0)
            both = per_target(evaluation, "node + 2 edge").reindex(targets).mean()
            node = per_target(evaluation, "node_similarity").reindex(targets).mean()
            cells.append(f"{both:.2f} ({node:.2f})")
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def main() -> None:
    """Scans every zoo with every variant, evaluates, prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="defaults only, 40 probes")
    arguments = parser.parse_args()
    started_s = time.perf_counter()
    variants = ["default"] if arguments.quick else list(VARIANTS)
    num_probes = 40 if arguments.quick else PROBES
    with tempfile.TemporaryDirectory() as name:
        zoos = find_zoos(Path(name))
        jobs = [(zoo, variant) for variant in variants for zoo in zoos]
        frames: dict[tuple[str, str], pd.DataFrame] = {}
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            futures = {
                (zoo.name, variant): pool.submit(scan_zoo, zoo, variant, num_probes, name)
                for zoo, variant in jobs
            }
            for key, future in futures.items():
                frames[key] = future.result()
                print(f"scanned {key[0]}, {key[1]}", flush=True)
        lines = [line for zoo in zoos for line in scores_section(zoo, frames[zoo.name, "default"])]
        if not arguments.quick:
            lines += variants_section(zoos, frames)
    seconds = time.perf_counter() - started_s
    lines += [f"{num_probes} probes, {seconds:.0f} s in all.", "", machine_line("scipy")]
    write_report("truth", "python -m benchmarks.truth", lines, quick=arguments.quick)


if __name__ == "__main__":
    main()
