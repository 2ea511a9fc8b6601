"""The scores with labels judged by measured transfers to the labelled probes' own task."""

from __future__ import annotations

import pandas as pd

from depara.errors import ConfigError, near_names
from depara.evaluation.evaluation import Evaluation
from depara.evaluation.judgement import evaluate_scores
from depara.evaluation.scan import known_of
from depara.evaluation.truth import Truth
from depara.labelled.ranking import CONSENSUS
from depara.results.results import ScanResults


def evaluate_labels(
    results: ScanResults,
    truth: Truth,
    target: str,
    *,
    relevant: int,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Returns how well every score with labels, and their consensus, ranks the models.

    They rank models for one task: that of the probes' labels. So one target of the truth is judged,
    and there is no interval over targets: the number is that of this task alone.

    Args:
        results: a scan of labelled probes.
        truth: measured transfers of its models; a truth of models.
        target: the target of the truth that is the labelled task. It need not be a model of the
            scan; where it is one, its own row is no source.
        relevant: how many sources, the best by truth, count as relevant.
        bootstrap: see `evaluate_scan`.
        seed: of the bootstrap.

    Raises:
        ConfigError: no such target, a truth of layers, no scores with labels, or too little in
            common.
        StoreError: a table of the scan is missing or damaged.
    """
    if truth.kind != "models":
        raise ConfigError(
            f"{truth.origin} is a truth of layers: scores with labels are judged by transfers of "
            "models (target, source, value)"
        )
    table = truth.table if truth.repeats is None else truth.repeats
    kept = table[(table["target"] == target) & (table["source"] != target)]
    if kept.empty:
        known = sorted(set(table["target"]))
        hint = near_names(target, known) or f"its targets are {', '.join(known[:12])}"
        raise ConfigError(f"{truth.origin} has no target {target!r}: {hint}")
    return evaluate_scores(
        Truth(kept.reset_index(drop=True), truth.origin),
        _scores(results, target),
        relevant=relevant,
        known=known_of(results),
        bootstrap=bootstrap,
        seed=seed,
        scan_id=results.scan_id,
    )


def _scores(results: ScanResults, target: str) -> pd.DataFrame:
    """Returns the scores of the ranked models at their output layers: ``target, source``, scores.

    The consensus is a mean rank, hence negated. A score that is null of any model is left out.
    """
    table = results.table("label_scores")
    ranking = results.table("label_ranking")
    top = ranking[(ranking["ranking"] == "model") & (ranking["score"] == CONSENSUS)]
    if top.empty:
        raise ConfigError(
            f"scan {results.scan_id} has no scores with labels: scan probes of two classes or more "
            "(probes.label_column), with similarity.label_scores on"
        )
    at_output = table.merge(top[["model_id", "layer"]], on=["model_id", "layer"])
    wide = at_output.pivot_table(index="model_id", columns="score", values="value", sort=False)
    wide = wide.reindex(top["model_id"]).dropna(axis="columns")
    wide[CONSENSUS] = -top.set_index("model_id")["value"]
    return wide.rename_axis("source").reset_index().assign(target=target).rename_axis(None, axis=1)
