"""What past transfers teach about a scan's zoo, and whether it beats popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from depara.errors import ConfigError
from depara.evaluation.evaluation import Evaluation
from depara.evaluation.judgement import evaluate_scores
from depara.evaluation.queries import some
from depara.evaluation.scan import known_of, ranked_models, scan_scores
from depara.evaluation.truth import Truth
from depara.learning.learners import LEARNERS
from depara.learning.past import Past, past_of
from depara.learning.ranker import weights
from depara.results.results import ScanResults
from depara.types import Float64

SIMILARITY, POPULARITY = "similarity", "popularity"
FEWEST_JUDGED = 8
"""Left-out targets below which no learner is preferred: their interval would be too narrow."""
_LIKENESS = ("cka", "edge_similarity")
"""Which score says that two targets are alike: the first that was computed."""


@dataclass(frozen=True, eq=False)
class Learned:
    """Rankings learned from past transfers.

    ``evaluation`` judges the learners and the scan's similarity on targets that were left out, both
    as targets and as sources. ``ranked_by`` is what ranks: the best of those that beat popularity,
    else popularity; ``sentence`` says so and why. ``table`` has ``target_model, rank, source_model,
    score, ranked_by, past_targets, is_past``: all sources of all targets of the scan, ``score`` in
    the unit of what ranks, ``past_targets`` how many past targets the source was measured with,
    ``is_past`` whether the target has past transfers, which its own ranking does not see.
    ``weights`` are those of the ranker, by score, fitted to all the past.
    """

    evaluation: Evaluation
    ranked_by: str
    sentence: str
    table: pd.DataFrame
    weights: dict[str, float]

    def of(self, target: str) -> pd.DataFrame:
        """Returns the ranked sources of one target.

        Raises:
            ConfigError: the scan ranks nothing for it.
        """
        rows = self.table[self.table["target_model"] == target]
        if rows.empty:
            raise ConfigError(
                f"the scan ranks no source for {target!r}: targets are "
                f"{', '.join(dict.fromkeys(self.table['target_model']))}"
            )
        return rows.reset_index(drop=True)


def learn(
    scan: ScanResults, truth: Truth, *, relevant: int = 5, bootstrap: int = 1000, seed: int = 0
) -> Learned:
    """Returns what past transfers between models of a scan teach about all of its targets.

    Each learner of `LEARNERS` ranks the sources of every past target from the other ones. Of these
    and the scan's similarity, what has a higher mean Spearman correlation than popularity, with an
    interval above 0 on `FEWEST_JUDGED` targets or more, may rank; the best of those does, a learner
    only where it beats the similarity likewise. Else it is popularity, which is hard to beat: most
    zoos have sources that serve everything.

    Args:
        scan: a finished scan.
        truth: measured transfers between its models, higher = better.
        relevant: see `evaluate_scores`.
        bootstrap: resamples of the targets.
        seed: of the bootstrap.

    Raises:
        ConfigError: a truth of layers, or too few past transfers between models of the scan.
        StoreError: a table of the scan is missing or damaged.
    """
    if truth.kind != "models":
        raise ConfigError(
            f"{truth.origin} has a column 'layer': past transfers to learn from are those of whole "
            "models (target, source, value); `depara evaluate` judges layers"
        )
    scores = _scores(scan)
    past = past_of(scores, truth, next(name for name in _LIKENESS if name in scores))
    left_out = _left_out(past)
    judged = scores[["target", "source", SIMILARITY]].merge(
        _frame(past, {name: left_out[name] for name in LEARNERS}, past.targets_T.tolist()),
        on=["target", "source"],
    )
    evaluation = evaluate_scores(
        truth,
        judged,
        relevant=relevant,
        known=known_of(scan),
        bootstrap=bootstrap,
        seed=seed,
        scan_id=scan.scan_id,
        remarks=_single_sources(past, truth),
    )
    ranked_by, sentence = _verdict(evaluation)
    every = range(len(past.models))
    columns = {POPULARITY: left_out[POPULARITY], **{name: left_out[name] for name in LEARNERS}}
    final = scores[["target", "source", SIMILARITY]].merge(
        _frame(past, columns, list(every)), on=["target", "source"]
    )
    return Learned(
        evaluation,
        ranked_by,
        sentence,
        _table(final, past, ranked_by),
        dict(zip((*past.scores, POPULARITY), weights(past).tolist(), strict=True)),
    )


def _scores(scan: ScanResults) -> pd.DataFrame:
    """Returns every score of the pairs that the scan's ``model_ranking`` ranks: no random twins."""
    outputs, sources = ranked_models(scan)
    scores = scan_scores(scan, outputs, "models")
    return scores[scores["source"].isin(sources)].reset_index(drop=True)


def _left_out(past: Past) -> dict[str, Float64]:
    """Returns ``M M`` values of popularity and each learner: of every target from the others."""
    values: dict[str, list[Float64]] = {name: [] for name in (POPULARITY, *LEARNERS)}
    for target in range(len(past.models)):
        others = past.without(target)
        values[POPULARITY].append(others.popularity_M)
        for name, learner in LEARNERS.items():
            values[name].append(learner.score(others, target))
    return {name: np.stack(rows) for name, rows in values.items()}


def _frame(past: Past, values: dict[str, Float64], targets: list[int]) -> pd.DataFrame:
    """Returns ``target, source`` and the values of the pairs of some targets."""
    pairs = [(target, source) for target in targets for source in past.candidates(target)]
    rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    names = np.array(past.models, dtype=object)
    picked = {name: value_MM[rows, columns] for name, value_MM in values.items()}
    return pd.DataFrame({"target": names[rows], "source": names[columns], **picked})


def _single_sources(past: Past, truth: Truth) -> list[str]:
    """Returns a remark on past targets that teach nothing, as one source was measured at most."""
    learned = {past.models[place] for place in past.targets_T}
    rest = sorted(set(truth.table["target"]) & set(past.models) - learned)
    return [f"targets with one measured source of the scan: {some(rest)}"] if rest else []


def _verdict(evaluation: Evaluation) -> tuple[str, str]:
    """Returns what ranks, and the sentence that says why."""
    means = evaluation.means("spearman")["value"]
    if POPULARITY not in means.index:
        return SIMILARITY, "the past holds one target: nothing is left to learn from"
    yardstick = f"popularity ({means[POPULARITY]:.2f} mean Spearman)"
    if evaluation.num_queries < FEWEST_JUDGED:
        return POPULARITY, (
            f"ranked by popularity: {evaluation.num_queries} past targets are too few to tell "
            f"whether anything beats it, needs {FEWEST_JUDGED}"
        )
    gains = {name: _spearman(evaluation, name, POPULARITY) for name in evaluation.scores}
    better = [name for name, row in gains.items() if row["low"] > 0]
    if not better:
        near = max(gains, key=lambda name: means[name])
        return POPULARITY, (
            f"ranked by popularity: nothing beats {yardstick} on left-out targets, the nearest is "
            f"{near} with {means[near]:.2f}, {_gain(gains[near])}"
        )
    best = max(better, key=lambda name: means[name])
    gain = f"{_gain(gains[best])} over {yardstick}"
    said = f"{means[best]:.2f} mean Spearman on left-out targets, {gain}"
    if best == SIMILARITY or SIMILARITY not in better:
        return best, f"ranked by {best}: {said}"
    over = _spearman(evaluation, best, SIMILARITY)
    if over["low"] > 0:
        return best, f"ranked by {best}: {said}, and {_gain(over)} over the scan's similarity"
    return SIMILARITY, (
        f"ranked by similarity, which beats {yardstick}: learning adds nothing to it for sure, the "
        f"best is {best} with {_gain(over)} over its {means[SIMILARITY]:.2f}"
    )


def _spearman(evaluation: Evaluation, score: str, other: str) -> pd.Series:
    rows = evaluation.compare(score, other)
    row: pd.Series = rows[rows["metric"] == "spearman"].iloc[0]
    return row


def _gain(row: pd.Series) -> str:
    return f"a gain of {row['difference']:.2f} [{row['low']:.2f},{row['high']:.2f}]"


def _table(final: pd.DataFrame, past: Past, ranked_by: str) -> pd.DataFrame:
    """Returns the ranked sources of every target; equal scores are ordered by name."""
    measured = dict(zip(past.models, np.isfinite(past.fraction_TM).sum(axis=0), strict=True))
    known = {past.models[place] for place in past.targets_T}
    table = pd.DataFrame(
        {
            "target_model": final["target"],
            "source_model": final["source"],
            "score": final[ranked_by],
            "ranked_by": ranked_by,
            "past_targets": final["source"].map(measured).astype(np.int32),
            "is_past": final["target"].isin(known),
        }
    ).sort_values(["target_model", "score", "source_model"], ascending=[True, False, True])
    rank = table.groupby("target_model").cumcount() + 1
    table.insert(1, "rank", rank.astype(np.int32))
    return table.reset_index(drop=True)
