"""Do the sets that ``depara ensemble`` chooses serve their target? Decoders on joined codes tell.

For some targets of the digits' zoo: the codes of a set's encoders are joined, a 1x1 convolution
makes 8 channels of them, and the task's own head learns on 300 digits, as in the zoo's truth. The
chosen sets stand beside the two sources that are best alone and beside random pairs. Needs the scan
of ``make demo``.

    python -m benchmarks.ensembles
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._report import machine_line, write_report
from depara import open_scan
from depara.scan import Scan
from examples.digits.data import draw_digits, load_digits
from examples.digits.decoders import BRIEF, codes_of, losses_of_pictures, standardised
from examples.digits.encoder import CODE_CHANNELS, build_head
from examples.digits.fit import descend, examples_of, own_chance
from examples.digits.tasks import TASKS, Examples
from examples.digits.zoo import load_encoder

_ROOT = Path(__file__).resolve().parent.parent
_ZOO = _ROOT / "examples" / "digits" / "zoo"
_TARGETS = ("class10", "parity", "edges", "inpaint", "rotation")
_PICTURES = 300
_REPEATS = 2
_RANDOM_PAIRS = 6


def loss_of_set(task_name: str, members: Sequence[str]) -> float:
    """Returns the held-out loss of decoders on the joined codes, the mean over repeats."""
    task = TASKS[task_name]
    encoders = [load_encoder(_ZOO, name) for name in members]
    losses = []
    for repeat in range(_REPEATS):
        seed = BRIEF.seed + repeat + zlib.crc32(task_name.encode())
        with own_chance(BRIEF.seed):
            unseen = examples_of(task, load_digits("held_out"), BRIEF.seed)
            seen = examples_of(task, draw_digits(load_digits("train"), _PICTURES, seed), seed)
        codes, unseen_codes = standardised(_joined(encoders, seen), _joined(encoders, unseen))
        with own_chance(seed) as chance:
            width = CODE_CHANNELS * len(encoders)
            head = nn.Sequential(nn.Conv2d(width, CODE_CHANNELS, 1), build_head(task.num_classes))

            def loss_of(
                batch: Tensor,
                head: nn.Module = head,
                codes: Tensor = codes,
                targets: Tensor = seen.targets,
            ) -> Tensor:
                return task.loss(head(codes[batch]), targets[batch])

            descend(head.parameters(), loss_of, _PICTURES, BRIEF, chance)
            with torch.no_grad():
                answers = head(unseen_codes)
        losses.append(float(losses_of_pictures(task, answers, unseen.targets).double().mean()))
    return float(np.mean(losses))


def _joined(encoders: Sequence[nn.Module], examples: Examples) -> Tensor:
    return torch.cat([codes_of(one, examples) for one in encoders], dim=1)


def rows(scan: Scan) -> Iterator[list[str]]:
    """Yields the cells of each target's row."""
    for target in _TARGETS:
        chosen = scan.ensemble(target, 3).members
        others = [name for name in scan.models() if name != target]
        by_value = sorted(others, key=lambda name: -_alone(scan, target)[name])
        pairs = list(combinations(others, 2))
        drawn = np.random.default_rng(0).choice(len(pairs), _RANDOM_PAIRS, replace=False)
        random = [loss_of_set(target, pairs[place]) for place in drawn]
        losses = [loss_of_set(target, chosen[:size]) for size in range(1, len(chosen) + 1)]
        best_two = loss_of_set(target, by_value[:2])
        better = sum(losses[1] < one for one in random)
        cells = [f"{one:.4f}" for one in losses] + [""] * (3 - len(losses))
        cells += [f"{best_two:.4f}", f"{float(np.median(random)):.4f}"]
        yield [target, ", ".join(chosen), *cells, f"{better} of {_RANDOM_PAIRS} random pairs"]


def _alone(scan: Scan, target: str) -> dict[str, float]:
    table = scan.table("similarity")
    at_outputs = (table["target_layer"] == "code") & (table["source_layer"] == "code")
    rows = table[at_outputs & (table["target_model"] == target)]
    return dict(zip(rows["source_model"], rows["directed"], strict=True))


def main() -> None:
    """Measures and writes ``benchmarks/results/ensembles.md``."""
    scan = open_scan(str(_ROOT / "depara-out" / "digits"))
    heads = [
        "target",
        "chosen, in order",
        "loss of the first",
        "of the first two",
        "of all three",
        "of the two best alone",
        "of random pairs, median",
        "first two better than",
    ]
    lines = [f"| {' | '.join(heads)} |", f"|---|---|{'---:|' * (len(heads) - 2)}"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows(scan)]
    lines += ["", f"Held-out loss, lower is better; {_REPEATS} decoders each.", "", machine_line()]
    write_report("ensembles", "python -m benchmarks.ensembles", lines, quick=False)


if __name__ == "__main__":
    main()
