"""What a judgement of rankings holds: every score beside the baselines, per target and mean.

``Q`` queries, ``K`` cut-offs, ``X`` numbers of a query: P@K and R@K at every K, then `METRICS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from depara.errors import ConfigError, near_names
from depara.evaluation.baselines import (
    NOISE_CEILING,
)
from depara.evaluation.bootstrap import draw_resamples
from depara.evaluation.metrics import METRICS
from depara.evaluation.paired import paired_differences
from depara.evaluation.queries import Matched
from depara.evaluation.reliability import noise_ceiling
from depara.evaluation.schema import EVALUATION_TABLES
from depara.evaluation.setups import setup_stability
from depara.evaluation.truth import Kind
from depara.types import Float64


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well scores rank, and how well the baselines do.

    ``table`` has the columns of `EVALUATION_SCHEMA`; ``scores`` and ``baselines`` are the names in
    it, in order; ``left_out`` says in words what could not be evaluated. ``scan_id`` is None when
    the scores are of no scan. ``matched`` is what was judged, ``values`` the numbers ``(Q, X)`` of
    each score and baseline. ``reliability_Q`` is that of each query's truth, NaN where it was
    measured once; ``weight_Q`` what each query counts in the means, None when all count the same.
    """

    kind: Kind
    relevant: int
    num_queries: int
    num_candidates: tuple[int, int]
    scores: tuple[str, ...]
    baselines: tuple[str, ...]
    table: pd.DataFrame
    left_out: tuple[str, ...]
    truth: str
    scan_id: str | None
    bootstrap: int
    seed: int
    matched: Matched
    values: Mapping[str, Float64]
    reliability_Q: Float64
    weight_Q: Float64 | None = None

    def means(self, metric: str, k: int | None = None) -> pd.DataFrame:
        """Returns ``value, low, high`` of one metric's mean over targets, one row per score.

        NaN where it is not defined.

        Raises:
            ConfigError: no such metric, or not at this k.
        """
        table = self.table
        wanted = table["target"].isna() & (table["metric"] == metric)
        wanted &= table["k"].isna() if k is None else (table["k"] == k).fillna(False)
        if (metric, k) not in metric_columns(self.num_candidates[1]):
            known = ", ".join(dict.fromkeys(metric for metric, _ in metric_columns(1)))
            raise ConfigError(f"the evaluation has no metric {metric!r} at k = {k}: it has {known}")
        rows = table[wanted].set_index("score")[["value", "low", "high"]]
        return rows.reindex([*self.scores, *self.baselines])

    def curve(self, score: str) -> pd.DataFrame:
        """Returns ``k, precision, recall`` of one score with intervals, means over targets.

        The columns ``precision_low``, ``precision_high``, ``recall_low`` and ``recall_high`` are
        the intervals. Precision over recall is the precision-recall curve of the paper.
        """
        table = self.table[self.table["target"].isna() & (self.table["score"] == score)]
        parts = []
        for metric in ("precision", "recall"):
            rows = table[table["metric"] == metric].set_index("k")[["value", "low", "high"]]
            parts.append(rows.set_axis([metric, f"{metric}_low", f"{metric}_high"], axis=1))
        return pd.concat(parts, axis=1).reset_index()

    def headline(self) -> list[tuple[str, int | None]]:
        """Returns the (metric, k) that tell most: correlations, P@1, P@relevant and regrets."""
        precisions = [("precision", k) for k in sorted({1, self.relevant})]
        single = [(metric.name, metric.k) for metric in METRICS]
        correlations = [pair for pair in single if pair[1] is None]
        return [*correlations, *precisions, *(pair for pair in single if pair[1] is not None)]

    def summary(self) -> pd.DataFrame:
        """Returns the means over targets of the headline metrics, one row per score and baseline.

        Columns ``score, is_baseline``, then ``spearman``, ..., ``precision@1``, ..., ``regret@1``,
        ..., ``relative_accuracy@1``; NaN where one is not defined.
        """
        names = [*self.scores, *self.baselines]
        columns = {
            metric_label(metric, k): self.means(metric, k)["value"].loc[names].to_numpy()
            for metric, k in self.headline()
        }
        flags = [False] * len(self.scores) + [True] * len(self.baselines)
        return pd.DataFrame({"score": names, "is_baseline": flags, **columns})

    def targets(self) -> pd.DataFrame:
        """Returns what is known of each query: its size, and how far its truth can be met.

        Columns ``target, source`` (None for models), ``num_candidates``, ``reliability`` and its
        root ``ceiling_noise``, the highest Spearman to be expected, both NaN without repeats.
        """
        queries = self.matched.queries
        return pd.DataFrame(
            {
                "target": [query.target for query in queries],
                "source": np.array([query.source for query in queries], dtype=object),
                "num_candidates": [len(query.candidates) for query in queries],
                "reliability": self.reliability_Q,
                NOISE_CEILING: noise_ceiling(self.reliability_Q),
            }
        )

    def compare(self, score: str, other: str) -> pd.DataFrame:
        """Returns whether one score or baseline is better than another, by each headline metric.

        The columns of `PAIRED_SCHEMA`: mean difference over targets, its bootstrap interval, and
        the share of the resamples in which ``score`` is better. The resamples are those of the
        means. Metrics that are not defined for both have no row.

        Raises:
            ConfigError: the evaluation has no such score, or both are the same.
        """
        for name in (score, other):
            if name not in self.values:
                hint = near_names(name, self.values) or f"it has {', '.join(self.values)}"
                raise ConfigError(f"the evaluation has no score {name!r}; {hint}")
        if score == other:
            raise ConfigError(f"{score!r} is compared with itself: name two scores")
        columns = metric_columns(self.num_candidates[1])
        places = [columns.index(pair) for pair in self.headline()]
        found = paired_differences(
            self.values[score][:, places],
            self.values[other][:, places],
            draw_resamples(self.num_queries, self.bootstrap, self.seed, self.weight_Q),
            self.weight_Q,
            np.array([metric in LOWER_IS_BETTER for metric, _ in self.headline()]),
        )
        rows = pd.DataFrame(
            {
                "score": score,
                "other": other,
                "metric": [metric for metric, _ in self.headline()],
                "k": pd.array([k for _, k in self.headline()], dtype="Int32"),
                "difference": found.mean_X,
                "low": found.low_X,
                "high": found.high_X,
                "p_better": found.p_better_X,
            }
        )
        return rows[rows["difference"].notna()].reset_index(drop=True)

    def stability(self, setups: int = 100) -> pd.DataFrame:
        """Returns whether random sub-setups agree on the scores, one row per metric.

        The columns of `SETUPS_SCHEMA`; see `depara.evaluation.setups`. Baselines do not take part.

        Raises:
            ConfigError: fewer than two scores or setups, or a truth that is too small.
        """
        return setup_stability(
            self.matched.queries,
            self.matched.scores,
            weight_Q=self.weight_Q,
            setups=setups,
            seed=self.seed,
        )

    def to_tables(
        self, paired: pd.DataFrame | None = None, setups: pd.DataFrame | None = None
    ) -> dict[str, pa.Table]:
        """Returns the Arrow tables by name, with the schemas of `EVALUATION_TABLES`.

        ``evaluation``; ``paired`` and ``setups`` are what `compare` and `stability` gave, without
        rows where they are None.
        """
        frames = {"evaluation": self.table, "paired": paired, "setups": setups}
        return {name: _arrow(frame, EVALUATION_TABLES[name]) for name, frame in frames.items()}


LOWER_IS_BETTER = frozenset(metric.name for metric in METRICS if metric.lower_is_better)
"""The metrics whose lower values are better."""


def metric_columns(cutoffs: int) -> list[tuple[str, int | None]]:
    """Returns the (metric, k) of the X numbers of a query, in order."""
    at_k = [(name, k) for name in ("precision", "recall") for k in range(1, cutoffs + 1)]
    return [*at_k, *((metric.name, metric.k) for metric in METRICS)]


def metric_label(metric: str, k: int | None) -> str:
    """Returns a metric's name with its k, such as ``precision@5``."""
    return metric if k is None else f"{metric}@{k}"


def _arrow(frame: pd.DataFrame | None, schema: pa.Schema) -> pa.Table:
    if frame is None:
        return schema.empty_table()
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    return table.replace_schema_metadata(None)
