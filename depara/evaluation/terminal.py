"""An evaluation as a table for the terminal."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from depara.evaluation.baselines import BASELINES, NOISE_CEILING
from depara.evaluation.evaluation import Evaluation
from depara.evaluation.queries import some
from depara.evaluation.reliability import MOSTLY_NOISE, mostly_noise
from depara.evaluation.schema import HYBRID

_HEADERS = {"spearman": "Spearman", "precision": "P", "regret": "regret"}
_REGRETS = (1, 3)


def evaluation_table(evaluation: Evaluation) -> Group:
    """Returns the means over targets of every score, then of the baselines; 80 columns wide.

    Spearman and P@relevant with their intervals, P@1 and two regrets; the other metrics are in
    `Evaluation.summary`. The best score of each column is bold; below stand what the rows mean and
    what was left out.
    """
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("score", overflow="fold")
    columns = []
    for metric, k in evaluation.headline():
        if metric in _HEADERS and (metric != "regret" or k in _REGRETS):
            header = _HEADERS[metric] if k is None else f"{_HEADERS[metric]}@{k}"
            with_interval = k in (None, evaluation.relevant) and metric != "regret"
            table.add_column(header, justify="left" if with_interval else "right", no_wrap=True)
            columns.append(_cells(evaluation, metric, k, with_interval))
    for name in (*evaluation.scores, *evaluation.baselines):
        style = "dim" if name in evaluation.baselines else ""
        is_last_score = bool(evaluation.scores) and name == evaluation.scores[-1]
        cells = (column[name] for column in columns)
        table.add_row(Text(name, style), *cells, end_section=is_last_score)
    return Group(Text(_title(evaluation), "italic"), table, Text(_caption(evaluation), "dim"))


def _cells(
    evaluation: Evaluation, metric: str, k: int | None, with_interval: bool
) -> dict[str, Text]:
    """Returns one column's cells by score."""
    means = evaluation.means(metric, k)
    judged = means.loc[list(evaluation.scores), "value"]
    best = None if judged.empty else (judged.min() if metric == "regret" else judged.max())
    cells = {}
    for name, row in means.iterrows():
        is_best = name in evaluation.scores and row["value"] == best
        style = "bold" if is_best else ("dim" if name in evaluation.baselines else "")
        cells[str(name)] = Text(_cell(row, with_interval), style)
    return cells


def _cell(row: pd.Series, with_interval: bool) -> str:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    if math.isnan(value):
        return "-"
    shown = f"{value:5.2f}" if with_interval else f"{value:.2f}"
    is_known = with_interval and math.isfinite(low) and _short(low) != _short(high)
    return f"{shown} [{_short(low)},{_short(high)}]" if is_known else shown


def _short(value: float) -> str:
    """Returns two decimals without the leading zero: ``.57``, ``-.20``, ``1.0``."""
    text = f"{value:.2f}"
    return "1.0" if text == "1.00" else text.replace("0.", ".", 1)


def _title(evaluation: Evaluation) -> str:
    fewest, most = evaluation.num_candidates
    counted = str(most) if fewest == most else f"{fewest} to {most}"
    if evaluation.kind == "layers":
        what = f"layers of {evaluation.num_queries} (target, source) pairs, {counted} each"
    else:
        what = f"sources of {evaluation.num_queries} targets, {counted} each"
    return f"rankings against measured transfers: {what}, {evaluation.relevant} relevant"


def _caption(evaluation: Evaluation) -> str:
    lines = ["regret: part of the true range lost by trying only the first k, lower is better"]
    if evaluation.bootstrap and evaluation.num_queries > 1:
        lines.append("[low,high]: 5-95 % bootstrap over the targets")
    if HYBRID in evaluation.scores:
        lines.append(f"{HYBRID}: the zoo's generally best source first, then by similarity")
    lines += [f"{name}: {BASELINES[name].meaning}" for name in evaluation.baselines]
    lines += _of_repeats(evaluation)
    lines += [f"left out - {reason}" for reason in evaluation.left_out]
    return "\n".join(lines)


def _of_repeats(evaluation: Evaluation) -> list[str]:
    """Returns what repeated measurements say of the truth, nothing without them."""
    targets = evaluation.targets().dropna(subset=["reliability"])
    if targets.empty:
        return []
    mean, ceiling = (
        float(np.average(targets[name], weights=evaluation.weight_Q))
        for name in ("reliability", NOISE_CEILING)
    )
    pairs = zip(evaluation.matched.queries, evaluation.reliability_Q, strict=True)
    by_target = sorted((value, query.label) for query, value in pairs if math.isfinite(value))
    lines = [
        f"this truth can be met to a Spearman of at most {ceiling:.2f}: the reliability of its "
        f"means over repeats is {mean:.2f}; by target, lowest first: "
        + some([f"{label} {value:.2f}" for value, label in by_target])
    ]
    noise = mostly_noise(evaluation.matched.queries, evaluation.reliability_Q)
    if noise:
        lines.append(f"mostly noise (reliability below {MOSTLY_NOISE}): {', '.join(noise)}")
    if evaluation.weight_Q is not None:
        lines.append("means over targets are weighed by the truth's reliability")
    return lines
