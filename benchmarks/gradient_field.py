"""Does the field of gradients rank measured transfers better than its last map, or than none of it?

Node similarity alone, of the output graphs of every zoo of the truth suite that is at hand: under
gradient * input, integrated gradients, and the gradient field at some and at all points of the same
path. Spearman's correlation with the measured transfers, the mean over targets; and what it stores.

    python -m benchmarks.gradient_field [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._report import machine_line, write_report
from benchmarks.truth.rules import Judged, mean_over, means, paired
from benchmarks.truth.scans import Zoo, find_zoos, judge_all, scan_all
from depara.texts import bytes_text

_STEPS = 20
_PATH = {"method": "integrated_gradients", "steps": _STEPS}
_FIELD = {"method": "gradient_field", "steps": _STEPS}
_BASE = "integrated_gradients"
SETTINGS: dict[str, dict[str, Any]] = {
    "grad_input": {},
    _BASE: _PATH,
    "gradient_field, 5 points": {**_FIELD, "points": 5},
    f"gradient_field, {_STEPS} points": {**_FIELD, "points": _STEPS},
}
_SCORES = {"node_similarity": "node", "node_centred": "centred", "V + E + D": "shipped sum"}
_PROBES = 200


def map_bytes(folder: Path) -> int:
    """Returns the bytes of all node files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("nodes-*.parquet"))


def table(
    zoos: Sequence[Zoo], judged: Mapping[str, Sequence[Judged]], sizes: Mapping[str, int]
) -> list[str]:
    """The rows of the report: each attribution and score, over zoos and in each."""
    names = [
        f"{zoo.name}, {len(one.values)} targets"
        for zoo, one in zip(zoos, judged[_BASE], strict=True)
    ]
    lines = [
        "| attribution | score | mean | " + " | ".join(names) + " | node files |",
        "|---|---|---:|" + "---:|" * (len(names) + 1),
    ]
    for name, results in judged.items():
        for score, shown in _SCORES.items():
            cells = [f"{means(one, score)[0]:.2f}" for one in results]
            mean = mean_over(results, score)[0]
            size = bytes_text(sizes[name]) if score == "node_similarity" else ""
            lines.append(f"| {name} | {shown} | {mean:.2f} | " + " | ".join(cells) + f" | {size} |")
    return lines


def differences(judged: Mapping[str, Sequence[Judged]]) -> list[str]:
    """How the node term differs from that of integrated gradients, target by target."""
    lines = []
    for name, results in judged.items():
        if name == _BASE:
            continue
        merged = [_beside(one, base) for one, base in zip(results, judged[_BASE], strict=True)]
        value, low, high, _ = paired(merged, "node_similarity", "base", "spearman")
        lines.append(f"- {name}: {value:+.3f} ({low:+.3f} to {high:+.3f})")
    return lines


def _beside(judged: Judged, base: Judged) -> Judged:
    values = judged.values.copy()
    values["base", "spearman"] = base.values["node_similarity", "spearman"]
    return Judged(judged.zoo, judged.is_mixed, judged.decided, values, judged.group)


def main() -> None:
    """Scans every zoo with every attribution, judges, prints and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 probes")
    quick = parser.parse_args().quick
    num_probes = 40 if quick else _PROBES
    with tempfile.TemporaryDirectory() as folder:
        zoos = find_zoos(Path(folder))
        jobs = [
            (zoo, name, {"attribution": attribution})
            for name, attribution in SETTINGS.items()
            for zoo in zoos
        ]
        frames = scan_all(jobs, num_probes, folder)
        judged = {name: judge_all(zoos, frames, name) for name in SETTINGS}
        sizes = {name: map_bytes(Path(folder, name.replace(" ", "-"))) for name in SETTINGS}
    lines = [
        f"Spearman's correlation with the measured transfers, the mean over targets; {num_probes} "
        f"probes, paths of {_STEPS} steps.",
        "",
        *table(zoos, judged, sizes),
        "",
        f"Node term against that of {_BASE}, in pairs (5 to 95 %):",
        "",
        *differences(judged),
        "",
        machine_line("scipy"),
    ]
    write_report("gradient_field", "python -m benchmarks.gradient_field", lines, quick=quick)


if __name__ == "__main__":
    main()
