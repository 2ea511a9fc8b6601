"""The measured truth of a zoo: win rates from losses, how stable they are, and the files.

Shape suffixes: ``M`` encoders, ``N`` held-out pictures, ``R`` repeats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.digits.decoders import Decoded
from examples.digits.running import write_whole
from examples.digits.zoo import task_of

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Transfers:
    """How well every encoder serves one task.

    ``win_rates_RM`` in [0, 1], each repeat's mean over encoders 0.5; ``losses_M`` and ``errors_M``
    held out, the mean over repeats.
    """

    win_rates_RM: Float64
    losses_M: Float64
    errors_M: Float64

    def __post_init__(self) -> None:
        assert self.losses_M.shape == self.errors_M.shape == self.win_rates_RM.shape[1:]
        assert np.isfinite(self.losses_M).all()

    @property
    def values_M(self) -> Float64:
        """The truth: the mean win rate over the repeats, higher = better."""
        values: Float64 = self.win_rates_RM.mean(0)
        return values


def win_rates(losses_MN: Float64) -> Float64:
    """Returns the share of (picture, rival) pairs that each encoder wins, (M,) in [0, 1].

    An encoder wins where its loss is lower; equal losses count half. All other encoders are rivals,
    the target's own too, so the rates sum to M / 2. It is the ordinal measure of Taskonomy (Zamir
    et al., CVPR 2018, section 3.3), which no loss's scale can distort.
    """
    num_encoders = len(losses_MN)
    assert num_encoders > 1
    assert np.isfinite(losses_MN).all()
    lower = losses_MN[:, None] < losses_MN[None]
    equal = losses_MN[:, None] == losses_MN[None]
    wins_MM: Float64 = lower.mean(2) + 0.5 * equal.mean(2)
    rates: Float64 = (wins_MM.sum(1) - 0.5) / (num_encoders - 1)  # 0.5: every encoder ties itself
    return rates


def transfers_to(task: str, decoded: Sequence[Decoded]) -> Transfers:
    """Returns the transfers to one task, over the encoders in the order given."""
    losses_MRN = np.stack([each.losses[task] for each in decoded])
    rates_RM = np.stack([win_rates(losses_MRN[:, r]) for r in range(losses_MRN.shape[1])])
    errors_MR = np.stack([each.errors[task] for each in decoded])
    return Transfers(rates_RM, losses_MRN.mean((1, 2)), errors_MR.mean(1))


def stability(values_RC: Float64) -> float:
    """Returns the mean Spearman correlation between two repeats; NaN for fewer than two.

    A score cannot be expected to agree better with a repeat than another repeat does.
    """
    pairs = list(combinations(values_RC, 2))
    if not pairs or values_RC.shape[1] < 2:
        return float("nan")
    return float(np.mean([_spearman(first, second) for first, second in pairs]))


def stability_of_mean(one: float, repeats: int) -> float:
    """Returns what `stability` is for means over that many repeats (Spearman-Brown formula)."""
    return repeats * one / (1 + (repeats - 1) * one)


def stabilities(transfers: Mapping[str, Transfers], encoders: Sequence[str]) -> dict[str, float]:
    """Returns each task's `stability` over the encoders that were trained for other tasks."""
    found = {}
    for task, transfer in transfers.items():
        others = [place for place, name in enumerate(encoders) if task_of(name) != task]
        found[task] = stability(transfer.win_rates_RM[:, others])
    return found


def truth_rows(
    transfers: Mapping[str, Transfers], encoders: Sequence[str]
) -> list[tuple[str, str, float]]:
    """Returns ``target, source, value`` for every two encoders; none is its own source.

    A target stands for its task: in the mixed zoo, the three encoders of a task share their truth.
    """
    return [
        (target, source, float(transfers[task_of(target)].values_M[place]))
        for target in encoders
        for place, source in enumerate(encoders)
        if source != target
    ]


def write_table(path: Path, header: Sequence[str], rows: Sequence[tuple[str | float, ...]]) -> None:
    """Writes a CSV file, numbers with six decimals; names hold no commas."""
    lines = [
        ",".join(f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row)
        for row in (header, *rows)
    ]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def write_details(path: Path, key: str, details: Mapping[str, Any]) -> None:
    """Writes details as JSON with the hash of what decides them, floats to six decimals."""
    content = {"settings_key": key, **_rounded(dict(details))}
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def read_details(path: Path, key: str) -> dict[str, Any] | None:
    """Returns the details, or None when they are missing, damaged or of another hash."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("settings_key") != key:
        return None
    return content


def _spearman(first: Float64, second: Float64) -> float:
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return value
