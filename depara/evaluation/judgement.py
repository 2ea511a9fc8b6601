"""Rankings judged by measured transfers: the numbers of every score and baseline.

``Q`` queries, ``C`` candidates of a query, ``K`` cut-offs, ``X`` numbers of a query: P@K and R@K at
every K, then `METRICS`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from depara.errors import ConfigError, SchemaError
from depara.evaluation.ablation import without_strongest as leave_out_strongest
from depara.evaluation.baselines import (
    BASELINES,
    NOISE_CEILING,
    Known,
    baseline_scores,
    unknown_baselines,
)
from depara.evaluation.bootstrap import draw_resamples, mean_intervals
from depara.evaluation.evaluation import Evaluation, metric_columns
from depara.evaluation.metrics import METRICS, expected_hits, precision_at, recall_at, relevance
from depara.evaluation.queries import Query, match, some
from depara.evaluation.reliability import noise_ceiling, reliabilities
from depara.evaluation.schema import EVALUATION_SCHEMA
from depara.evaluation.truth import Truth
from depara.types import Float64


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
    without_strongest: int = 0,
    weigh_by_reliability: bool = False,
) -> Evaluation:
    """Returns how well scores rank the sources of each target, or the layers of each source.

    Args:
        truth: the measured transfers; their common part with the scores is evaluated.
        scores: ``target, source`` (and ``layer``, when the truth has it) and one numeric column per
            score, higher = better; None judges the baselines alone, on all the truth.
        relevant: how many candidates, the best by truth, count as relevant.
        known: parameter counts, operations and depths of the candidates, for the baselines.
        bootstrap: resamples of the targets for the 5-95 % intervals of the means; 0 for none.
        seed: of the bootstrap.
        scan_id: recorded as where the scores come from.
        remarks: recorded before what was left out.
        without_strongest: how many sources of the highest mean true value to leave out.
        weigh_by_reliability: each target counts its truth's reliability in the means, instead of
            all the same.

    Raises:
        ConfigError: nothing can be evaluated, or an argument is out of range.
        SchemaError: the scores have not the columns they need.
    """
    if bootstrap < 0:
        raise ConfigError(f"bootstrap is {bootstrap}: give a number of resamples, 0 for none")
    left_out = list(remarks)
    if without_strongest:
        truth, scores, said = leave_out_strongest(truth, scores, without_strongest)
        left_out.append(said)
    matched = match(truth, scores, relevant)
    taken = [name for name in matched.scores if name in BASELINES]
    if taken:
        raise SchemaError(f"the score {taken[0]!r} has the name of a baseline: rename the column")
    queries = matched.queries
    known = known or Known()
    baselines = baseline_scores(queries, known)
    reliability_Q = reliabilities(queries)
    weight_Q = _weights(queries, reliability_Q, truth) if weigh_by_reliability else None
    weights_BQ = draw_resamples(len(queries), bootstrap, seed, weight_Q)
    sizes = [len(query.candidates) for query in queries]
    columns = metric_columns(max(sizes))
    values = {
        name: _measured(queries, score, relevant, max(sizes))
        for name, score in (*matched.scores.items(), *baselines.items())
    }
    once = _measured_once(queries, reliability_Q)
    if not once:
        values[NOISE_CEILING] = _only("spearman", noise_ceiling(reliability_Q), columns)
    elif len(once) < len(queries):
        left_out.append(f"the noise ceiling, as these were measured once: {some(once)}")
    parts = []
    for name, values_QX in values.items():
        low_X, high_X = mean_intervals(values_QX, weights_BQ)
        mean_X = np.average(values_QX, axis=0, weights=weight_Q)
        part = _tidy(queries, columns, values_QX, mean_X, low_X, high_X)
        parts.append(part.assign(score=name, is_baseline=name not in matched.scores))
    table = pd.concat(parts, ignore_index=True)[EVALUATION_SCHEMA.names]
    return Evaluation(
        kind=matched.kind,
        relevant=relevant,
        num_queries=len(queries),
        num_candidates=(min(sizes), max(sizes)),
        scores=tuple(matched.scores),
        baselines=tuple(name for name in values if name not in matched.scores),
        table=table,
        left_out=(*left_out, *matched.left_out, *unknown_baselines(queries, known)),
        truth=truth.origin,
        scan_id=scan_id,
        bootstrap=bootstrap,
        seed=seed,
        matched=matched,
        values=values,
        reliability_Q=reliability_Q,
        weight_Q=weight_Q,
    )


def _weights(queries: Sequence[Query], reliability_Q: Float64, truth: Truth) -> Float64:
    """Returns what each query counts in a mean that is weighed by reliability."""
    once = _measured_once(queries, reliability_Q)
    if once:
        raise ConfigError(
            f"{truth.origin} cannot be weighed by its reliability, as these were measured once: "
            f"{some(once)}. Give at least 2 repeats of each transfer, told apart by a column "
            "'repeat', or do not weigh"
        )
    if not reliability_Q.any():
        raise ConfigError(
            f"{truth.origin} cannot be weighed by its reliability: its repeats agree on no target"
        )
    return reliability_Q


def _measured_once(queries: Sequence[Query], reliability_Q: Float64) -> list[str]:
    pairs = zip(queries, reliability_Q, strict=True)
    return [query.label for query, reliability in pairs if np.isnan(reliability)]


def _only(metric: str, value_Q: Float64, columns: Sequence[tuple[str, int | None]]) -> Float64:
    """Returns numbers ``(Q, X)`` of which one metric is known."""
    values_QX = np.full((len(value_Q), len(columns)), np.nan)
    values_QX[:, columns.index((metric, None))] = value_Q
    return values_QX


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
    mean_X: Float64,
    low_X: Float64,
    high_X: Float64,
) -> pd.DataFrame:
    """Returns one row per number: the means over queries first, then each query's.

    What is not defined has no row.
    """
    rows = len(queries) + 1
    width = len(columns)
    unknown = np.full(values_QX.size, np.nan)
    table = pd.DataFrame(
        {
            "metric": [name for name, _ in columns] * rows,
            "k": pd.array([k for _, k in columns] * rows, dtype="Int32"),
            "target": np.repeat(np.array([None, *(q.target for q in queries)], object), width),
            "source": np.repeat(np.array([None, *(q.source for q in queries)], object), width),
            "value": np.concatenate([mean_X, values_QX.ravel()]),
            "low": np.concatenate([low_X, unknown]),
            "high": np.concatenate([high_X, unknown]),
        }
    )
    return table[table["value"].notna()]
