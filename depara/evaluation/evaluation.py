"""A ranking judged by measured transfers: every score beside the baselines, per target and mean.

``Q`` queries, ``C`` candidates of a query, ``K`` cut-offs, ``X`` numbers of a query: P@K and R@K at
every K, then `METRICS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from depara.errors import ConfigError, SchemaError
from depara.evaluation.baselines import BASELINES, Known, baseline_scores
from depara.evaluation.bootstrap import draw_resamples, mean_intervals
from depara.evaluation.metrics import METRICS, expected_hits, precision_at, recall_at, relevance
from depara.evaluation.queries import Query, match
from depara.evaluation.schema import EVALUATION_SCHEMA
from depara.evaluation.truth import Kind, Truth
from depara.types import Float64


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well scores rank, and how well the baselines do.

    ``table`` has the columns of `EVALUATION_SCHEMA`; ``scores`` and ``baselines`` are the names in
    it, in order; ``left_out`` says in words what could not be evaluated. ``scan_id`` is None when
    the scores are of no scan.
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

    def means(self, metric: str, k: int | None = None) -> pd.DataFrame:
        """Returns ``value, low, high`` of one metric's mean over targets, one row per score.

        Raises:
            ConfigError: no such metric, or not at this k.
        """
        table = self.table
        wanted = table["target"].isna() & (table["metric"] == metric)
        wanted &= table["k"].isna() if k is None else (table["k"] == k).fillna(False)
        if not wanted.any():
            known = ", ".join(table["metric"].unique())
            raise ConfigError(f"the evaluation has no metric {metric!r} at k = {k}: it has {known}")
        return table[wanted].set_index("score")[["value", "low", "high"]]

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

        Columns ``score, is_baseline``, then ``spearman``, ..., ``precision@1``, ..., ``regret@3``.
        """
        names = [*self.scores, *self.baselines]
        columns = {
            metric_label(metric, k): self.means(metric, k)["value"].loc[names].to_numpy()
            for metric, k in self.headline()
        }
        flags = [False] * len(self.scores) + [True] * len(self.baselines)
        return pd.DataFrame({"score": names, "is_baseline": flags, **columns})

    def to_tables(self) -> dict[str, pa.Table]:
        """Returns the Arrow tables by name: ``evaluation``, with `EVALUATION_SCHEMA`."""
        table = pa.Table.from_pandas(self.table, schema=EVALUATION_SCHEMA, preserve_index=False)
        return {"evaluation": table.replace_schema_metadata(None)}


def evaluate_scores(
    truth: Truth,
    scores: pd.DataFrame | None,
    *,
    relevant: int,
    known: Known | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    scan_id: str | None = None,
    remarks: Sequence[str] = (),
) -> Evaluation:
    """Returns how well scores rank the sources of each target, or the layers of each source.

    Args:
        truth: the measured transfers; their common part with the scores is evaluated.
        scores: ``target, source`` (and ``layer``, when the truth has it) and one numeric column per
            score, higher = better; None judges the baselines alone, on all the truth.
        relevant: how many candidates, the best by truth, count as relevant.
        known: parameter counts and depths of the candidates, for the baselines.
        bootstrap: resamples of the targets for the 5-95 % intervals of the means; 0 for none.
        seed: of the bootstrap.
        scan_id: recorded as where the scores come from.
        remarks: recorded before what was left out.

    Raises:
        ConfigError: nothing can be evaluated, or an argument is out of range.
        SchemaError: the scores have not the columns they need.
    """
    if bootstrap < 0:
        raise ConfigError(f"bootstrap is {bootstrap}: give a number of resamples, 0 for none")
    matched = match(truth, scores, relevant)
    taken = [name for name in matched.scores if name in BASELINES]
    if taken:
        raise SchemaError(f"the score {taken[0]!r} has the name of a baseline: rename the column")
    queries = matched.queries
    baselines = baseline_scores(queries, known or Known())
    weights_BQ = draw_resamples(len(queries), bootstrap, seed)
    sizes = [len(query.candidates) for query in queries]
    columns = metric_columns(max(sizes))
    parts = []
    for group, is_baseline in ((matched.scores, False), (baselines, True)):
        for name, score in group.items():
            values_QX = _measured(queries, score, relevant, max(sizes))
            low_X, high_X = mean_intervals(values_QX, weights_BQ)
            part = _tidy(queries, columns, values_QX, low_X, high_X)
            parts.append(part.assign(score=name, is_baseline=is_baseline))
    table = pd.concat(parts, ignore_index=True)[EVALUATION_SCHEMA.names]
    return Evaluation(
        kind=matched.kind,
        relevant=relevant,
        num_queries=len(queries),
        num_candidates=(min(sizes), max(sizes)),
        scores=tuple(matched.scores),
        baselines=tuple(baselines),
        table=table,
        left_out=(*remarks, *matched.left_out),
        truth=truth.origin,
        scan_id=scan_id,
        bootstrap=bootstrap,
        seed=seed,
    )


def metric_columns(cutoffs: int) -> list[tuple[str, int | None]]:
    """Returns the (metric, k) of the X numbers of a query, in order."""
    at_k = [(name, k) for name in ("precision", "recall") for k in range(1, cutoffs + 1)]
    return [*at_k, *((metric.name, metric.k) for metric in METRICS)]


def metric_label(metric: str, k: int | None) -> str:
    """Returns a metric's name with its k, such as ``precision@5``."""
    return metric if k is None else f"{metric}@{k}"


def _measured(
    queries: Sequence[Query], scores: Sequence[Float64], relevant: int, cutoffs: int
) -> Float64:
    """Returns the numbers ``(Q, X)`` of one score."""
    rows = []
    for query, score_C in zip(queries, scores, strict=True):
        hits = expected_hits(score_C, relevance(query.truth_C, relevant))
        # Past its last candidate a query has found all that is relevant, and nothing more comes.
        hits_K = np.append(hits, np.full(cutoffs - len(hits), float(relevant)))
        single = [metric.measure(score_C, query.truth_C) for metric in METRICS]
        rows.append(np.concatenate([precision_at(hits_K), recall_at(hits_K, relevant), single]))
    return np.array(rows)


def _tidy(
    queries: Sequence[Query],
    columns: Sequence[tuple[str, int | None]],
    values_QX: Float64,
    low_X: Float64,
    high_X: Float64,
) -> pd.DataFrame:
    """Returns one row per number: the means over queries first, then each query's."""
    rows = len(queries) + 1
    width = len(columns)
    unknown = np.full(values_QX.size, np.nan)
    return pd.DataFrame(
        {
            "metric": [name for name, _ in columns] * rows,
            "k": pd.array([k for _, k in columns] * rows, dtype="Int32"),
            "target": np.repeat(np.array([None, *(q.target for q in queries)], object), width),
            "source": np.repeat(np.array([None, *(q.source for q in queries)], object), width),
            "value": np.concatenate([values_QX.mean(axis=0), values_QX.ravel()]),
            "low": np.concatenate([low_X, unknown]),
            "high": np.concatenate([high_X, unknown]),
        }
    )
