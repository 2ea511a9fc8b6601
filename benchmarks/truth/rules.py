"""Judging rules by the suite: per zoo, against each other in pairs, and with a zoo left out.

``T`` targets of a zoo, ``R`` resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from depara.evaluation import evaluate_scores, load_truth
from depara.types import Float64

FORMER = "V + 2 E"
"""The sum of the paper, and the default until the suite decided."""

DEFAULT_RULE = "V + E + D"

RULES: Mapping[str, Mapping[str, float]] = {
    FORMER: {"node_similarity": 1, "edge_similarity": 2},
    "V + Vc + 2 E": {"node_similarity": 1, "node_centred": 1, "edge_similarity": 2},
    "Vc + 2 E": {"node_centred": 1, "edge_similarity": 2},
    "V + E + D": {"node_similarity": 1, "edge_similarity": 1, "directed": 1},
    "V + Vc + E + D": {
        "node_similarity": 1,
        "node_centred": 1,
        "edge_similarity": 1,
        "directed": 1,
    },
    "V + Vc + 2 E + 2 K": {
        "node_similarity": 1,
        "node_centred": 1,
        "edge_similarity": 2,
        "mutual_knn": 2,
    },
}
"""The candidates. All but ``V + E + D`` were written down before any of the suite's truths was
measured: what a prototype on other zoos had found promising. ``V + E + D``, the best sum of an
earlier table, joined after the others had been judged. ``V`` node, ``Vc`` node less the zoo's mean
map, ``E`` edge, ``D`` directed, ``K`` mutual k nearest neighbours."""

LAYER_FORMER = DEFAULT_RULE

LAYER_RULES: Mapping[str, Mapping[str, float]] = {
    LAYER_FORMER: {"node_similarity": 1, "edge_similarity": 1, "directed": 1},
    "V + 2 E": {"node_similarity": 1, "edge_similarity": 2},
    "V + Vc + 2 E": {"node_similarity": 1, "node_centred": 1, "edge_similarity": 2},
    "E": {"edge_similarity": 1},
    "D": {"directed": 1},
    "E + D": {"edge_similarity": 1, "directed": 1},
    "G": {"gulp": 1},
    "E + G": {"edge_similarity": 1, "gulp": 1},
    "D + G": {"directed": 1, "gulp": 1},
    "V + E + D + G": {"node_similarity": 1, "edge_similarity": 1, "directed": 1, "gulp": 1},
    "S": {"stitch": 1},
    "D + S": {"directed": 1, "stitch": 1},
    "G + S": {"gulp": 1, "stitch": 1},
}
"""The candidates for the ranking of a source's layers, written down before the cuts of any zoo but
MNIST's were measured; MNIST's cuts had been judged before, and put ``gulp`` among them. ``G`` gulp,
``S`` token stitching (`stitching`)."""

RESAMPLES = 4_000


@dataclass(frozen=True)
class Judged:
    """One zoo judged: ``values`` has a row per query (a target, or a source and target of layers).

    Columns are ``(score, metric)``; ``group`` names queries that share their truth, which are
    resampled together.
    """

    zoo: str
    is_mixed: bool
    decided: bool
    values: pd.DataFrame
    group: Sequence[str]


def with_rules(
    frame: pd.DataFrame, rules: Mapping[str, Mapping[str, float]] = RULES
) -> pd.DataFrame:
    """Adds a column for each rule whose scores are there."""
    frame = frame.copy()
    for name, weights in rules.items():
        if set(weights) <= set(frame.columns):
            frame[name] = sum(weight * frame[column] for column, weight in weights.items())
    return frame


def judge(
    zoo: str,
    truth_file: str,
    frame: pd.DataFrame,
    *,
    relevant: int,
    is_mixed: bool,
    decided: bool,
    rules: Mapping[str, Mapping[str, float]] = RULES,
) -> Judged:
    """Judges every score, rule and baseline of one scan by its measured transfers."""
    truth = load_truth(truth_file)
    table = evaluate_scores(truth, with_rules(frame, rules), relevant=relevant, bootstrap=0).table
    table = table[table["target"].notna()]
    regret = (table["metric"] == "regret") & (table["k"] == 1)
    table = table[(table["metric"] == "spearman") | regret]
    query = table["target"] + table["source"].map(lambda one: f" < {one}" if one else "")
    values = table.assign(query=query).pivot(
        index="query", columns=["score", "metric"], values="value"
    )
    group = [
        str(name).partition("-")[0] if " < " not in str(name) else str(name)
        for name in values.index
    ]
    return Judged(zoo, is_mixed, decided, values, group)


def means(judged: Judged, score: str) -> tuple[float, float]:
    """Returns the means over queries of Spearman and of regret@1."""
    if (score, "spearman") not in judged.values:
        return float("nan"), float("nan")
    values = judged.values[score].reindex(columns=["spearman", "regret"]).mean()
    return float(values["spearman"]), float(values["regret"])


def paired(
    zoos: Sequence[Judged], score: str, other: str, metric: str, seed: int = 0
) -> tuple[float, float, float, float]:
    """Returns the mean difference of two scores, its 5 % and 95 % ends, the share above 0.

    Each zoo counts alike. In every resample the groups of each zoo are drawn with replacement, the
    same ones for both scores; the zoos are those that there are.
    """
    rng = np.random.default_rng(seed)
    value, samples_R = 0.0, np.zeros(RESAMPLES)
    for judged in zoos:
        gains = judged.values[score][metric] - judged.values[other][metric]
        by_group = gains.groupby(np.asarray(judged.group)).agg(["sum", "count"])
        sums_g, counts_g = (by_group[name].to_numpy(np.float64) for name in ("sum", "count"))
        drawn_Rg = rng.multinomial(len(sums_g), np.full(len(sums_g), 1 / len(sums_g)), RESAMPLES)
        samples_R += (drawn_Rg @ sums_g) / (drawn_Rg @ counts_g) / len(zoos)
        value += float(gains.mean()) / len(zoos)
    low, high = np.quantile(samples_R, (0.05, 0.95))
    return value, float(low), float(high), float((samples_R > 0).mean())


def by_source(judged: Judged) -> Judged:
    """The layer queries of one source resampled together: its cuts rank much alike for all."""
    sources = [str(name).partition(" < ")[2] for name in judged.values.index]
    return replace(judged, group=sources)


def left_out_choice(
    zoos: Sequence[Judged],
    rules: Mapping[str, Mapping[str, float]] = RULES,
    former: str = FORMER,
) -> pd.DataFrame:
    """Returns, for each zoo, the rule that is best on all others, and what it reaches there.

    Columns ``zoo, rule, spearman, regret, former_spearman, former_regret``.
    """
    there = [rule for rule in rules if all((rule, "spearman") in zoo.values for zoo in zoos)]
    rows = []
    for left_out in zoos:
        others = [one for one in zoos if one is not left_out]
        best = max(there, key=lambda rule: np.mean([means(z, rule)[0] for z in others]))
        rows.append((left_out.zoo, best, *means(left_out, best), *means(left_out, former)))
    names = ["zoo", "rule", "spearman", "regret", "former_spearman", "former_regret"]
    return pd.DataFrame(rows, columns=names)


def mean_over(zoos: Sequence[Judged], score: str) -> Float64:
    """Returns the means over zoos of Spearman and of regret@1."""
    return np.mean([means(zoo, score) for zoo in zoos], axis=0)
