"""Which scores with labels are worth their cost: each against measured transfers to labelled tasks.

Four targets have classes that their probes are labelled with: the ten digits and their parity in
the digits' zoo (the scan and the truth of ``make demo``), and ten kinds of photos and animal or
vehicle in the mini zoo of the shared data folder, without which the first two are judged alone.
For each, Spearman's correlation of a score with the measured transfer over all models but the
target's own; the same of hard probes; and the CPU time of one graph of 200 or 300 probes.

    python -m benchmarks.labelled
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, spearmanr

from benchmarks._report import machine_line, write_report
from depara import open_scan
from depara.attribution import FeatureBank
from depara.catalog import LABEL_SCORES, hard_name, load, votes
from depara.grams import GraphGrams
from depara.labelled import LabelledFeatures, label_scores
from depara.labelled.hardness import hard_probes
from depara.store.graphs import open_graph
from depara.store.storage import Storage
from depara.types import LayerInfo

_ROOT = Path(__file__).resolve().parent.parent
_DIGITS = _ROOT / "depara-out" / "digits"
_TRUTH = _ROOT / "examples" / "digits" / "zoo" / "truth.csv"
_VEHICLES = {0, 1, 8, 9}
_HARD = (50, 25)
_CONSENSUS = "consensus of those that vote"
_ALL = "consensus of all"
NAMES = [name for name, score in LABEL_SCORES.items() if score.needs != "outputs"]


@dataclass(frozen=True)
class Case:
    """A labelled target: the Grams of its sources, the labels, and what each source reached."""

    name: str
    grams: Mapping[str, GraphGrams]
    labels: Sequence[str]
    truth: Mapping[str, float]


def digits() -> Iterator[Case]:
    """The targets of the digits' zoo that have classes."""
    scan = open_scan(str(_DIGITS))
    keys = {name: scan.graph_key(name) for name in scan.models()}
    grams = {n: open_graph(Storage(scan.output), key).read_grams() for n, key in keys.items()}
    digit = [str(probe.label) for probe in scan.probes()]
    truth = pd.read_csv(_TRUTH)
    for target, labels in (("class10", digit), ("parity", [str(int(y) % 2) for y in digit])):
        rows = truth[(truth["target"] == target) & (truth["source"] != target)]
        values = dict(zip(rows["source"], rows["value"], strict=True))
        yield Case(f"digits: {target}", {n: grams[n] for n in values}, labels, values)


def photos(folder: Path) -> Iterator[Case]:
    """The targets of the mini zoo that have classes; the truth is the loss of trained decoders."""
    spec = importlib.util.spec_from_file_location("minizoo_encoder", folder / "encoder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    transfer = json.loads((folder / "transfer.json").read_text())
    with np.load(folder / "probes.npz") as file:
        images = (torch.from_numpy(file["images"]).float() / 255 - 0.45) / 0.25
        classes = file["labels"].tolist()
    grams = {}
    for task in [name for name in transfer if "/" not in name]:
        encoder = module.Encoder().eval()
        encoder.load_state_dict(torch.load(folder / f"{task}.pt", weights_only=True))
        with torch.inference_mode():
            grams[task] = _grams(encoder(images).flatten(1))
    labels = {
        "class10": [str(c) for c in classes],
        "superclass": ["vehicle" if c in _VEHICLES else "animal" for c in classes],
    }
    for target, ys in labels.items():
        truth = {name: -transfer[target][name][0] for name in grams if name != target}
        yield Case(f"photos: {target}", {n: grams[n] for n in truth}, ys, truth)


def _grams(features_ND: torch.Tensor) -> GraphGrams:
    count, size = features_ND.shape
    layer = LayerInfo("code", 0, 1.0, size, (size,))
    with FeatureBank(count, [layer], memory_bytes=2**30) as bank:
        bank.write("code", 0, features_ND)
        return bank.grams("code")


def correlations(case: Case) -> dict[str, float]:
    """Returns Spearman's correlation of every score, and of the consensus, with the truth."""
    scores = {n: label_scores(one, case.labels, _HARD) for n, one in case.grams.items()}
    names = [name for name in next(iter(scores.values())) if name.partition("@")[0] in NAMES]
    truth = [case.truth[source] for source in scores]
    values = {name: [one[name].value for one in scores.values()] for name in names}
    ranks = {name: rankdata(np.negative(of_one)) for name, of_one in values.items()}
    values[_CONSENSUS] = list(-np.mean([ranks[name] for name in NAMES if votes(name)], axis=0))
    values[_ALL] = list(-np.mean([ranks[name] for name in NAMES], axis=0))
    return {name: float(spearmanr(of_one, truth).statistic) for name, of_one in values.items()}


def milliseconds(cases: Sequence[Case], name: str) -> float:
    """Returns the median CPU time of one score of one graph, its own eigenvectors included."""
    spent = []
    for case in cases:
        for grams in list(case.grams.values())[:5]:
            features = LabelledFeatures.select(grams, case.labels)
            start = time.process_time()
            load(LABEL_SCORES[name].code)(features)
            spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


def hard_milliseconds(cases: Sequence[Case]) -> float:
    """Returns the median CPU time to find the hard probes of one graph."""
    spent = []
    for case in cases:
        features = LabelledFeatures.select(next(iter(case.grams.values())), case.labels)
        start = time.process_time()
        hard_probes(features, _HARD[-1])
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


def lines(cases: Sequence[Case]) -> Iterator[str]:
    """Returns the table."""
    found = [correlations(case) for case in cases]
    heads = [case.name for case in cases]
    heads += [
        "mean",
        *(f"mean of the hardest {percent} %" for percent in _HARD),
        "CPU ms per graph",
    ]
    yield f"| | {' | '.join(heads)} |"
    yield f"|---|{'---:|' * len(heads)}"
    for name in [*NAMES, _CONSENSUS, _ALL]:
        cells = [f"{one[name]:.2f}" for one in found]
        cells.append(f"{np.mean([one[name] for one in found]):.2f}")
        is_score = name in LABEL_SCORES
        for percent in _HARD:
            hard = [one[hard_name(name, percent)] for one in found] if is_score else []
            cells.append(f"{np.mean(hard):.2f}" if hard else "")
        cells.append(f"{milliseconds(cases, name):.1f}" if is_score else "")
        yield f"| {f'`{name}`' if is_score else name} | {' | '.join(cells)} |"
    counts = ", ".join(str(len(case.truth)) for case in cases)
    yield ""
    yield (
        f"Spearman's correlation with the measured transfer over {counts} sources. The hard probes "
        f"of a graph are found in {hard_milliseconds(cases):.1f} ms of CPU; their scores are "
        "cheaper than those of all."
    )
    yield ""
    yield machine_line("scipy")


def main() -> None:
    """Measures and writes ``benchmarks/results/labelled.md``."""
    shared = Path(os.environ.get("DEPARA_SHARED_DATA", _ROOT.parent / "shared" / "data"))
    cases = list(digits())
    if (shared / "minizoo").is_dir():
        cases += photos(shared / "minizoo")
    write_report("labelled", "python -m benchmarks.labelled", list(lines(cases)), quick=False)


if __name__ == "__main__":
    main()
