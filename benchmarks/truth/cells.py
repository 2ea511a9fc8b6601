"""Cells of the truth suite's tables, and the table of left-out zoos that its reports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.truth.rules import FORMER, RULES, Judged, left_out_choice


def pair(spearman: float, regret: float) -> str:
    """Returns ``Spearman / regret@1`` as a cell; a dash where nothing is known."""
    if np.isnan(spearman):
        return "-"
    return f"{spearman:.2f}" + ("" if np.isnan(regret) else f" / {regret:.2f}")


def interval(value: float, low: float, high: float) -> str:
    """Returns a difference with its ends as a cell."""
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def left_out_table(
    judged: Sequence[Judged],
    rules: Mapping[str, Mapping[str, float]] = RULES,
    former: str = FORMER,
) -> list[str]:
    """What choosing a rule on all other zoos gains on the one left out; empty for one zoo."""
    if len(judged) < 2:
        return []
    table = left_out_choice(judged, rules, former)
    lines = [
        "## With a zoo left out",
        "",
        "The rule with the highest mean Spearman on all other zoos, and what it reaches here.",
        "",
        f"| zoo | chosen without it | Spearman / regret@1 | {former} |",
        "|---|---|---:|---:|",
    ]
    for row in table.itertuples():
        before = pair(row.former_spearman, row.former_regret)
        lines.append(f"| {row.zoo} | {row.rule} | {pair(row.spearman, row.regret)} | {before} |")
    columns = ["spearman", "regret", "former_spearman", "former_regret"]
    spearman, regret, *former_pair = table[columns].mean()
    lines.append(f"| mean | | {pair(spearman, regret)} | {pair(*former_pair)} |")
    return [*lines, ""]
