"""How well the cuts of a source are ranked, and by what rule: the layer truths of the suite.

    python -m benchmarks.truth.make --layers     (once)
    python -m benchmarks.truth.layers [--quick]

The rules that compete (`rules.LAYER_RULES`) are chosen with a zoo left out. Whole sources are
resampled for the intervals: the cuts of one source rank much alike for all targets.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks._report import machine_line, write_report
from benchmarks.truth.cells import interval, left_out_table, pair
from benchmarks.truth.images import load_images
from benchmarks.truth.make import FOLDER, measured_cuts, weights_path, write_layer_truth
from benchmarks.truth.networks import NETWORKS
from benchmarks.truth.rules import (
    LAYER_FORMER,
    LAYER_RULES,
    Judged,
    by_source,
    judge,
    mean_over,
    means,
    paired,
)
from benchmarks.truth.scans import (
    ROOT,
    SHARED,
    Zoo,
    digit_zoo,
    made_zoo,
    mini_zoo,
    scan_zoo,
    source_of,
)
from benchmarks.truth.stitching import stitch_scores
from benchmarks.truth.suite import ZOOS, MadeZoo
from depara.results import open_scan
from examples.digits.encoder import INPUT_MEAN, INPUT_STD
from examples.digits.layer_transfer import LAYERS
from examples.digits.train import DEFAULT_FOLDER
from examples.digits.truth import write_table
from examples.digits.zoo import load_encoder

PROBES = 200
SEEN = "mnist"
"""The zoo of the suite whose cuts had been judged before the rules were written down."""
CEILING = "ceiling_noise"
MODEL_RULES: Mapping[str, Mapping[str, float]] = {
    LAYER_FORMER: LAYER_RULES[LAYER_FORMER],
    "D": LAYER_RULES["D"],
    "S": LAYER_RULES["S"],
    "V + E + S": {"node_similarity": 1, "edge_similarity": 1, "stitch": 1},
    "V + E + D + S": {**LAYER_RULES[LAYER_FORMER], "stitch": 1},
}
DIGITS_TRUTH = FOLDER / "digits" / "layer_transfer.json"


@dataclass(frozen=True)
class LayerZoo:
    """A zoo whose cuts were measured: what is scanned, and its networks and held-out pictures.

    ``pairs`` are those measured, ``due`` what the suite asks for.
    """

    zoo: Zoo
    networks: Mapping[str, nn.Module]
    images: str
    pairs: int
    due: int


def find_layer_zoos() -> list[LayerZoo]:
    """Returns the zoos whose cuts were measured, or a part of them; says which are missing."""
    found, missing = [], []
    for made in (zoo for zoo in ZOOS if zoo.layer_sources):
        if measured_cuts(made)[0]:
            found.append(_of_suite(made))
        else:
            missing.append(made.name)
    if DIGITS_TRUTH.exists():
        found.append(_of_digits())
    else:
        missing.append("digits")
    if missing:
        print(f"not measured yet: {'; '.join(missing)}: run python -m benchmarks.truth.make")
    return found


def _of_suite(made: MadeZoo) -> LayerZoo:
    """A zoo of the suite, its layer members alone."""
    write_layer_truth(made)
    zoo, networks = made_zoo(made), {}
    for member in made.layer_members:
        networks[member.name] = NETWORKS[member.network]()
        networks[member.name].load_state_dict(load_file(weights_path(made, member)))
    zoo.scan["models"] = [
        {
            "id": member.name,
            "source": source_of(member.network),
            "weights": str(weights_path(made, member)),
        }
        for member in made.layer_members
    ]
    pairs, due = measured_cuts(made)
    return LayerZoo(zoo, networks, made.images, len(pairs), due)


def _of_digits() -> LayerZoo:
    """The digit zoo: the cuts of ten sources for one target."""
    details = json.loads(DIGITS_TRUTH.read_text())
    rows = [
        (details["target"], source, layer, str(repeat), value)
        for source, layers in details["sources"].items()
        for layer, cut in layers.items()
        for repeat, value in enumerate(cut["accuracies"])
    ]
    truth = DIGITS_TRUTH.with_name("layer_truth_repeats.csv")
    write_table(truth, ("target", "source", "layer", "repeat", "value"), rows)
    zoo = digit_zoo("digits", layer_truth=str(truth))
    folder = DEFAULT_FOLDER
    networks = {path.stem: load_encoder(folder, path.stem) for path in folder.glob("*.safetensors")}
    count = len(details["sources"])
    return LayerZoo(zoo, networks, "digits", count, count)


def scan_layers(one: LayerZoo, num_probes: int, folder: str) -> pd.DataFrame:
    """Returns every score of the layers of a zoo."""
    layers = scan_zoo(one.zoo, "layers", {}, num_probes, folder).layers
    assert layers is not None
    probes = open_scan(str(Path(folder, "layers", one.zoo.folder_name))).probes()
    rows = [int(probe.uri.rpartition("#")[2]) for probe in probes]
    pictures_NSS = load_images(one.images, "held_out").pictures_NSS[rows]
    inputs = (torch.from_numpy(pictures_NSS)[:, None].float() / 255 - INPUT_MEAN) / INPUT_STD
    networks = {name: network.eval() for name, network in one.networks.items()}
    keys = ["target", "source", "layer"]
    return layers.merge(stitch_scores(networks, inputs), on=keys, validate="one_to_one")


def judge_layers(zoo: Zoo, layers: pd.DataFrame) -> Judged:
    """Judges every score and rule by the measured cuts of one zoo."""
    assert zoo.layer_truth is not None
    return by_source(
        judge(
            zoo.name,
            zoo.layer_truth,
            layers,
            relevant=2,
            is_mixed=zoo.is_mixed,
            decided=zoo.decided or zoo.name == SEEN,
            rules=LAYER_RULES,
        )
    )


def zoos_table(zoos: Sequence[LayerZoo]) -> list[str]:
    """What was measured, of what the suite asks for."""
    lines = ["| zoo | networks | pairs measured | of |", "|---|---:|---:|---:|"]
    lines += [f"| {o.zoo.name} | {len(o.networks)} | {o.pairs} | {o.due} |" for o in zoos]
    there = {one.zoo.name for one in zoos}
    missing = [zoo.name for zoo in ZOOS if zoo.layer_sources and zoo.name not in there]
    return [*lines, "", *([f"Not measured: {'; '.join(missing)}.", ""] if missing else [])]


def scores_table(judged: Sequence[Judged]) -> list[str]:
    """Every rule and score: each zoo, and the zoos that had no part in writing the rules down."""
    fresh = [one for one in judged if not one.decided]
    names = list(dict.fromkeys(name for one in judged for name, _ in one.values.columns))
    order = [name for name in dict.fromkeys((*LAYER_RULES, *names)) if name in names]
    lines = [
        "## Every score",
        "",
        "Mean over (source, target) pairs of Spearman's correlation with the truth / regret@1, and",
        f"gains over {LAYER_FORMER} (5 to 95 %, sources resampled in pairs) on the zoos that had",
        "no part in writing the rules down.",
        "",
        "| score | " + " | ".join(_heading(one) for one in judged) + f" | new zoos ({len(fresh)}) "
        "| gain in Spearman | gain in regret@1 |",
        "|---|" + "---:|" * (len(judged) + 3),
    ]
    for name in order:
        cells = [pair(*means(one, name)) for one in judged]
        cells.append(pair(*mean_over(fresh, name)))
        if name not in (LAYER_FORMER, CEILING):
            gains = [paired(fresh, name, LAYER_FORMER, each) for each in ("spearman", "regret")]
            cells += [interval(*gain[:3]) for gain in gains]
        else:
            cells += ["", ""]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _heading(one: Judged) -> str:
    return f"{one.zoo}: {len(one.values)} pairs"


def gains_table(judged: Sequence[Judged]) -> list[str]:
    """Every rule against the shipped sum, zoo by zoo: where it loses."""
    lines = [
        "## Zoo by zoo",
        "",
        f"Gain in Spearman over {LAYER_FORMER} (5 to 95 %, sources resampled in pairs); all zoos",
        "alike.",
        "",
        "| rule | " + " | ".join(one.zoo for one in judged) + " | all |",
        "|---|" + "---:|" * (len(judged) + 1),
    ]
    for name in LAYER_RULES:
        if name != LAYER_FORMER:
            parts = [*([zoo] for zoo in judged), judged]
            cells = [interval(*paired(z, name, LAYER_FORMER, "spearman")[:3]) for z in parts]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def depth_table(zoos: Sequence[Zoo]) -> list[str]:
    """What the truth says of each cut alone: its mean rank over all pairs, 1 for the best."""
    lines = [
        "## Which cut is best",
        "",
        "Mean rank of each cut over the pairs of a zoo by its measured truth, 1 to 6.",
        "",
        "| zoo | " + " | ".join(LAYERS) + " |",
        "|---|" + "---:|" * len(LAYERS),
    ]
    for zoo in zoos:
        truth = pd.read_csv(str(zoo.layer_truth))
        mean = truth.groupby(["target", "source", "layer"])["value"].mean().unstack()
        ranks = mean.rank(axis=1, ascending=False).mean()
        cells = [f"{ranks[layer]:.1f}" for layer in LAYERS]
        lines.append(f"| {zoo.name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def judge_models(num_probes: int, folder: str) -> Judged | None:
    """Judges stitching as a score of models, on the mini zoo; None without the shared data."""
    if not (SHARED / "minizoo").is_dir():
        return None
    zoo = mini_zoo(Path(folder))
    frame = scan_zoo(zoo, "models", {}, num_probes, folder).models
    probes = open_scan(str(Path(folder, "models", zoo.folder_name))).probes()
    rows = [int(probe.uri.rpartition("#")[2]) for probe in probes]
    encoder = importlib.import_module("encoder").Encoder  # of the folder that the scan imports
    networks = {}
    for name in sorted(set(frame["source"])):
        networks[name] = encoder().eval()
        state = torch.load(SHARED / "minizoo" / f"{name}.pt", weights_only=True)
        networks[name].load_state_dict(state)
    images = np.load(SHARED / "minizoo" / "probes.npz")["images"][rows]
    inputs = (torch.from_numpy(images).float() / 255 - 0.45) / 0.25
    stitched = stitch_scores(networks, inputs, ("code",)).drop(columns="layer")
    frame = frame.merge(stitched, on=["target", "source"], validate="one_to_one")
    return judge(
        zoo.name,
        zoo.truth,
        frame,
        relevant=zoo.relevant,
        is_mixed=False,
        decided=True,
        rules=MODEL_RULES,
    )


def models_table(judged: Judged | None) -> list[str]:
    """Stitching beside the shipped sum and the directed score, between output layers."""
    if judged is None:
        return []
    lines = [
        "## Stitching as a score of models",
        "",
        f"{judged.zoo}, {len(judged.values)} targets: Spearman / regret@1, and gain in Spearman",
        f"over {LAYER_FORMER} (5 to 95 %, targets resampled in pairs).",
        "",
        "| score | | gain |",
        "|---|---:|---:|",
    ]
    for name in MODEL_RULES:
        gain = interval(*paired([judged], name, LAYER_FORMER, "spearman")[:3])
        lines.append(f"| {name} | {pair(*means(judged, name))} | {gain} |")
    return [*lines, ""]


def main() -> None:
    """Scans every zoo with a layer truth, judges, prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 probes")
    quick = parser.parse_args().quick
    os.chdir(ROOT)
    num_probes = 40 if quick else PROBES
    scanned, found = [], find_layer_zoos()
    with tempfile.TemporaryDirectory() as folder:
        for one in found:
            scanned.append((one.zoo, scan_layers(one, num_probes, folder)))
            print(f"scanned {one.zoo.name}", flush=True)
        models = judge_models(num_probes, folder)
    judged = [judge_layers(*one) for one in scanned]
    lines = (
        zoos_table(found)
        + scores_table(judged)
        + gains_table(judged)
        + left_out_table(judged, LAYER_RULES, LAYER_FORMER)
    )
    lines += depth_table([zoo for zoo, _ in scanned]) + models_table(models)
    lines += [f"{num_probes} probes.", "", machine_line("scipy")]
    write_report("layers-truth", "python -m benchmarks.truth.layers", lines, quick=quick)


if __name__ == "__main__":
    main()
