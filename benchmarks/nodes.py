"""Would another node rank better? Candidates for it, judged by every zoo that is at hand.

Each candidate (`_node_candidates`) is judged alone, less what all models share, and in the shipped
sum: in the place of its node, and beside it. Every zoo is scanned once, for the other terms; the
candidates are computed by plain autograd on its networks, and so is today's node, which must be
that of the scan.

    python -m benchmarks.nodes [--quick] [--cache FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from benchmarks import _node_candidates
from benchmarks._node_candidates import CANDIDATES, TODAY, Array, Probed, centred
from benchmarks._report import machine_line, write_report
from benchmarks.truth.cells import interval, left_out_table, pair
from benchmarks.truth.rules import DEFAULT_RULE, RULES, Judged, mean_over, means, paired
from benchmarks.truth.scans import Zoo, find_zoos, judge_zoo, scan_zoo
from depara.config import parse_scan
from depara.models import LoadedModel, open_model
from depara.results import open_scan
from depara.types import UInt8

PROBES = 40
TERMS = ("node_similarity", "node_centred", "edge_similarity", "directed")
NO_NODE, TWICE = "E + D", "2 V + E + D"
NAMES = tuple(candidate.name for candidate in CANDIDATES)
FORMS: Mapping[str, tuple[str, str]] = {
    "alone": ("{}", "node_similarity"),
    "centred": ("{}, centred", "node_centred"),
    "in its place": ("{} + E + D", DEFAULT_RULE),
    "beside it": ("V + {} + E + D", DEFAULT_RULE),
}
"""How a candidate is judged: what that score is called, and what of today's it is held against."""

_IN_PLACE, _BESIDE = "in its place", "beside it"
_SAME = 0.01
"""How far today's node by plain autograd may lie from the scan's, whose maps are float16."""


def sum_rules() -> dict[str, dict[str, float]]:
    """Returns the sums that compete: the shipped one, two controls, and two of each candidate."""
    rules: dict[str, dict[str, float]] = {
        DEFAULT_RULE: dict(RULES[DEFAULT_RULE]),
        NO_NODE: {"edge_similarity": 1, "directed": 1},
        TWICE: {"node_similarity": 2, "edge_similarity": 1, "directed": 1},
    }
    for name in NAMES:
        rules[FORMS[_IN_PLACE][0].format(name)] = {name: 1, "edge_similarity": 1, "directed": 1}
        rules[FORMS[_BESIDE][0].format(name)] = {name: 1, **RULES[DEFAULT_RULE]}
    return rules


@dataclass(frozen=True)
class Measured:
    """The scores of one zoo's transfers, and the CPU seconds that its candidates took."""

    frame: pd.DataFrame
    cpu_s: float


def measure(zoo: Zoo, num_probes: int, folder: str) -> Measured:
    """Returns the terms of the shipped sum and both forms of every candidate, of every transfer.

    Raises:
        AssertionError: today's node by plain autograd is not that of the scan.
    """
    frame = scan_zoo(replace(zoo, layer_truth=None), "shipped", {}, num_probes, folder).models
    frame = frame[["target", "source", *TERMS]].copy()
    names, found, cpu_s = _similarities(zoo, folder)
    places = {name: place for place, name in enumerate(names)}
    rows, columns = (frame[side].map(places).to_numpy() for side in ("target", "source"))
    today = {"node_similarity": found[TODAY.name], "node_centred": centred(found[TODAY.name])}
    for column, matrix in today.items():
        off = float(np.abs(frame[column] - matrix[rows, columns]).max())
        assert off < _SAME, f"{zoo.name}: {column} by plain autograd is {off:.3f} off the scan's"
    for candidate in CANDIDATES:
        matrix = found[candidate.name]
        frame[FORMS["alone"][0].format(candidate.name)] = matrix[rows, columns]
        frame[FORMS["centred"][0].format(candidate.name)] = centred(matrix)[rows, columns]
    return Measured(frame, cpu_s)


def _similarities(zoo: Zoo, folder: str) -> tuple[list[str], dict[str, Array], float]:
    """The models, inner products ``(M, M)`` by candidate, CPU seconds; kept in a file."""
    models, canvas_NSS3 = _opened(zoo, folder)
    facts = [f"{name}: {model.weights_sha256}\n".encode() for name, model in models.items()]
    facts += [Path(_node_candidates.__file__).read_bytes(), canvas_NSS3.tobytes()]
    key = hashlib.sha256(b"".join(facts)).hexdigest()
    path = Path(folder, f"nodes-{zoo.folder_name}.npz")
    compared = (TODAY, *CANDIDATES)
    if path.exists():
        with np.load(path) as stored:
            if str(stored["key"]) == key:
                found = {one.name: stored[one.name] for one in compared}
                return list(models), found, float(stored["cpu_s"])
    canvas_N3SS = torch.from_numpy(canvas_NSS3).permute(0, 3, 1, 2).float() / 255
    started_s = time.process_time()
    probed = [Probed(model, canvas_N3SS) for model in models.values()]
    found = {one.name: one.similarities(probed) for one in compared}
    cpu_s = time.process_time() - started_s
    np.savez(path, key=np.array(key), cpu_s=np.array(cpu_s), **found)
    return list(models), found, cpu_s


def _opened(zoo: Zoo, folder: str) -> tuple[dict[str, LoadedModel], UInt8]:
    """The networks of a zoo by name, and the canvases ``N S S 3`` that its scan has seen."""
    canvas_NSS3 = open_scan(f"{folder}/shipped/{zoo.folder_name}").canvases()
    entries = parse_scan(yaml.safe_dump({**zoo.scan, "output": folder})).config.models
    side = canvas_NSS3.shape[1]
    return {entry.id: open_model(entry, canvas_side=side) for entry in entries}, canvas_NSS3


def zoos_table(judged: Sequence[Judged]) -> list[str]:
    """What the candidates are judged by."""
    lines = ["| zoo | targets | architectures |", "|---|---:|---|"]
    for one in judged:
        kind = "several" if one.is_mixed else "one"
        lines.append(f"| {one.zoo} | {len(one.values)} | {kind} |")
    return [*lines, ""]


def candidates_list() -> list[str]:
    """What each candidate is."""
    return [*(f"- **{one.name}**: {one.meaning}." for one in CANDIDATES), ""]


def scores_table(judged: Sequence[Judged]) -> list[str]:
    """Every candidate in every form, the mean over zoos."""
    lines = [
        "## Spearman / regret@1",
        "",
        "Mean over targets, then over zoos. V node, E edge, D directed; `centred` is less the mean",
        f"of all models; `in its place` is {NO_NODE} and the candidate, `beside it` {DEFAULT_RULE}",
        "and the candidate.",
        "",
        "| | " + " | ".join(FORMS) + " |",
        "|---|" + "---:|" * len(FORMS),
    ]
    controls = {
        "**node** (today)": ["node_similarity", "node_centred", DEFAULT_RULE, TWICE],
        "no node": [None, None, NO_NODE, None],
    }
    candidates = {name: [form.format(name) for form, _ in FORMS.values()] for name in NAMES}
    for name, scores in {**controls, **candidates}.items():
        cells = [pair(*mean_over(judged, one)) if one else "" for one in scores]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def differences_table(judged: Sequence[Judged]) -> list[str]:
    """Every candidate against today's, over all zoos and told apart by their architectures."""
    parts = {"all zoos": judged}
    if len({one.is_mixed for one in judged}) == 2:
        parts["of one architecture"] = [one for one in judged if not one.is_mixed]
        parts["of several"] = [one for one in judged if one.is_mixed]
    heads = [f"{name} ({len(zoos)})" for name, zoos in parts.items()]
    lines = [
        "## Against today's, in pairs",
        "",
        "Gain in Spearman (5 to 95 %, targets resampled in pairs), and in regret@1 over all zoos",
        "(negative is better): alone against the node, centred against node_centred, in a sum",
        f"against {DEFAULT_RULE}.",
        "",
        "| | form | " + " | ".join(heads) + " | regret@1 |",
        "|---|---|" + "---:|" * (len(heads) + 1),
    ]
    rows = [("no node", _IN_PLACE, NO_NODE), ("node twice", _BESIDE, TWICE)]
    rows += [(name, form, FORMS[form][0].format(name)) for form in FORMS for name in NAMES]
    for name, form, score in rows:
        base = FORMS[form][1]
        gains = [paired(zoos, score, base, "spearman") for zoos in parts.values()]
        gains.append(paired(judged, score, base, "regret"))
        cells = " | ".join(interval(*gain[:3]) for gain in gains)
        lines.append(f"| {name} | {form} | {cells} |")
    return [*lines, ""]


def gains_by_zoo(judged: Sequence[Judged]) -> list[str]:
    """What a candidate changes in the sum, zoo by zoo: where it must not be generalised."""
    lines = [
        "## Zoo by zoo",
        "",
        f"Gain in mean Spearman over {DEFAULT_RULE}: in the place of the node / beside it.",
        "",
        "| | " + " | ".join(one.zoo for one in judged) + " |",
        "|---|" + "---:|" * len(judged),
    ]
    for name in NAMES:
        cells = []
        for one in judged:
            base = means(one, DEFAULT_RULE)[0]
            gains = [means(one, FORMS[f][0].format(name))[0] - base for f in (_IN_PLACE, _BESIDE)]
            cells.append(" / ".join(f"{gain:+.3f}" for gain in gains))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def report(judged: Sequence[Judged]) -> list[str]:
    """The tables of the report."""
    return [
        *zoos_table(judged),
        *candidates_list(),
        *scores_table(judged),
        *differences_table(judged),
        *gains_by_zoo(judged),
        *left_out_table(judged, sum_rules(), DEFAULT_RULE),
    ]


def main() -> None:
    """Scans every zoo, computes every candidate, judges, prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 probes")
    parser.add_argument("--cache", type=Path, help="folder of graphs and similarities to keep")
    options = parser.parse_args()
    num_probes = 20 if options.quick else PROBES
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.cache or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        zoos = find_zoos(folder)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            each = partial(measure, num_probes=num_probes, folder=str(folder))
            measured = list(pool.map(each, zoos))
    judged = [
        judge_zoo(zoo, one.frame, sum_rules()) for zoo, one in zip(zoos, measured, strict=True)
    ]
    lines = [
        *report(judged),
        f"{num_probes} probes; the candidates took {sum(one.cpu_s for one in measured):.0f} CPU s.",
        "",
        machine_line("scipy"),
    ]
    write_report("nodes", "python -m benchmarks.nodes", lines, quick=options.quick)


if __name__ == "__main__":
    main()
