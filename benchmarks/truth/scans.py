"""Scans of the suite's zoos in this process: every score of every pair, as frames."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from benchmarks.truth.make import folder_of
from benchmarks.truth.networks import NETWORKS
from benchmarks.truth.rules import RULES, Judged, judge
from benchmarks.truth.suite import ZOOS, MadeZoo
from depara.evaluation.scan import transfer_scores
from examples.digits.layer_transfer import LAYERS

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DEPARA_SHARED_DATA", ROOT.parent / "shared" / "data"))
DIGITS = ROOT / "examples" / "digits"
INPUT = {"side": 32, "mean": [0.31], "std": [0.35]}


@dataclass(frozen=True)
class Zoo:
    """One zoo with measured truth: its scan file's sections, truth files, relevant sources.

    ``is_mixed``: of several architectures. ``decided`` are zoos that the shipped defaults were
    chosen by before the suite.
    """

    name: str
    scan: dict[str, Any]
    truth: str
    relevant: int
    is_mixed: bool = False
    decided: bool = False
    layer_truth: str | None = None
    import_path: str = ""

    @property
    def folder_name(self) -> str:
        """Of its output, below that of the settings."""
        return self.name.replace(" ", "-").replace(":", "")


@dataclass(frozen=True)
class Frames:
    """The scores of one scan between output graphs, and of every layer where that was asked."""

    models: pd.DataFrame
    layers: pd.DataFrame | None = field(default=None)


def find_zoos(folder: Path) -> list[Zoo]:
    """Returns the zoos that are at hand; trains the digits' where needed.

    Args:
        folder: for the files that scans of the mini zoo need.
    """
    for module in ("examples.digits.train", "examples.digits.transfer"):
        subprocess.run([sys.executable, "-m", module], cwd=ROOT, check=True)
    zoos = [digit_zoo("digits")]
    mixed = DIGITS / "zoo-mixed"
    if (mixed / "truth.csv").exists():
        zoos.append(_digit_zoo("mixed digits", DIGITS / "scan-mixed.yaml", mixed, is_mixed=True))
    if (SHARED / "minizoo").is_dir():
        zoos.append(mini_zoo(folder))
    missing = [zoo.name for zoo in ZOOS if not (folder_of(zoo) / "truth.csv").exists()]
    if missing:
        print(f"not measured yet: {'; '.join(missing)}: run python -m benchmarks.truth.make")
    return [*zoos, *(made_zoo(zoo) for zoo in ZOOS if zoo.name not in missing)]


def made_zoo(zoo: MadeZoo) -> Zoo:
    """Returns a zoo of the suite as what is scanned: every member that is trained."""
    networks = dict.fromkeys(member.network for member in zoo.members)
    scan = {
        "probes": {"source": str(folder_of(zoo) / "probes.parquet"), "label_column": "label"},
        "canvas": {"side": 32},
        "defaults": {"input": INPUT, "layers": ["code"]},
        "models": [
            {
                "id": "{stem}",
                "source": source_of(network),
                "weights": str(folder_of(zoo) / network / "*.safetensors"),
            }
            for network in networks
        ],
    }
    layer_truth = folder_of(zoo) / "layer_truth.csv"
    return Zoo(
        zoo.name,
        scan,
        str(folder_of(zoo) / "truth.csv"),
        zoo.relevant,
        is_mixed=len(networks) > 1,
        layer_truth=str(layer_truth) if layer_truth.exists() else None,
    )


def source_of(network: str) -> str:
    """Returns how a scan file names one of the suite's architectures."""
    kind: Any = NETWORKS[network]
    return f"python:{kind.__module__}:{kind.__qualname__}"


def digit_zoo(name: str, layer_truth: str | None = None) -> Zoo:
    """Returns the digit zoo of one architecture; ``layer_truth`` is a file, None for models."""
    zoo = _digit_zoo(name, DIGITS / "scan.yaml", DIGITS / "zoo", is_mixed=False)
    return replace(zoo, layer_truth=layer_truth)


def _digit_zoo(name: str, scan_file: Path, folder: Path, *, is_mixed: bool) -> Zoo:
    tree = yaml.safe_load(scan_file.read_text())
    tree.setdefault("defaults", {})["layers"] = ["code"]
    for model in tree["models"]:
        model.pop("layers", None)
    return Zoo(name, tree, str(folder / "truth.csv"), 3, is_mixed=is_mixed, decided=not is_mixed)


def mini_zoo(folder: Path) -> Zoo:
    """Returns the mini zoo of the shared data; its probes and truth are written to a folder."""
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
    truth = str(folder / "minizoo.csv")
    return Zoo("mini zoo", scan, truth, 4, decided=True, import_path=str(source))


def scan_all(
    jobs: Iterable[tuple[Zoo, str, Mapping[str, Any]]], num_probes: int, folder: str
) -> dict[tuple[str, str], Frames]:
    """Returns the frames of zoos under settings, by the names of both; two scans side by side.

    Args:
        jobs: a zoo, the name of the settings, and the sections that they change.
        num_probes: of every scan.
        folder: for the outputs.
    """
    frames: dict[tuple[str, str], Frames] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = {
            pool.submit(scan_zoo, zoo, name, dict(changes), num_probes, folder): (zoo.name, name)
            for zoo, name, changes in jobs
        }
        for future in as_completed(futures):
            frames[futures[future]] = future.result()
            print("scanned {}, {}".format(*futures[future]), flush=True)
    return frames


def scan_zoo(zoo: Zoo, name: str, changes: dict[str, Any], num_probes: int, folder: str) -> Frames:
    """Runs one scan in this process. ``map_divisor`` in the changes makes maps so much smaller."""
    import torch

    from cluster.pool.launcher import InlineLauncher
    from cluster.pool.progress import PlainReporter
    from cluster.pool.worker import Worker
    from cluster.scan import run_scan
    from depara.config import parse_scan
    from depara.results import open_scan
    from depara.store.storage import Storage

    torch.set_num_threads(1)
    os.chdir(ROOT)
    if zoo.import_path and zoo.import_path not in sys.path:
        sys.path.insert(0, zoo.import_path)
    divisor = changes.pop("map_divisor", None)
    output = f"{folder}/{name.replace(' ', '-').replace(':', '')}/{zoo.folder_name}"
    tree = {**zoo.scan, **changes, "output": output}
    tree["probes"] = {**zoo.scan["probes"], "count": num_probes}
    if zoo.layer_truth and not changes:
        layers = {"layers": ["stem", "blocks.*", "code"], "output_layer": "code"}
        tree["defaults"] = {**tree["defaults"], **layers}
    if divisor:
        tree["attribution"] = {"map_side": tree["canvas"]["side"] // divisor}
    tree["compute"] = {"memory": "512MiB"}
    tree["uncertainty"] = {"resamples": 0}
    file = parse_scan(yaml.safe_dump(tree))
    launcher = InlineLauncher(lambda: Worker(output, 1, 0))
    run_scan(file, launcher, Storage(output), PlainReporter(io.StringIO()))
    scan = open_scan(output)
    similarity = scan.arrow_table("similarity")
    outputs = dict.fromkeys(scan.models(), "code")
    has_layers = zoo.layer_truth is not None and not changes
    layers = transfer_scores(similarity, outputs, "layers") if has_layers else None
    if layers is not None:
        layers = layers[layers["layer"].isin(LAYERS)]
    return Frames(transfer_scores(similarity, outputs, "models"), layers)


def judge_all(
    zoos: Sequence[Zoo], frames: Mapping[tuple[str, str], Frames], settings: str
) -> list[Judged]:
    """Judges the model ranking of every zoo under some settings, as `scan_all` gives them."""
    return [judge_zoo(zoo, frames[zoo.name, settings].models) for zoo in zoos]


def judge_zoo(
    zoo: Zoo, frame: pd.DataFrame, rules: Mapping[str, Mapping[str, float]] = RULES
) -> Judged:
    """Judges every score and rule by the measured transfers of a zoo."""
    return judge(
        zoo.name,
        zoo.truth,
        frame,
        relevant=zoo.relevant,
        is_mixed=zoo.is_mixed,
        decided=zoo.decided,
        rules=rules,
    )
