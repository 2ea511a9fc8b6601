"""The scores with labels: one table, and their values for one graph.

``N`` labelled probes, ``K`` classes.

How well do a graph's features suit the classes that the probes are labelled with? Each score is a
function of `LabelledFeatures`, that is of the Grams which the worker keeps; adding one is a
function and a row. All are of raw features, hence exact for any part of the probes, but for
`parc_zscore`. None sees isotropic scale or the order of dimensions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from depara.labelled.evidence import logme
from depara.labelled.features import LabelledFeatures
from depara.labelled.mixture import nleep
from depara.labelled.pairs import NEIGHBOURS, knn, parc, parc_zscore
from depara.labelled.scatter import gbc, h_score, transrate
from depara.similarity.grams import FeatureGrams


@dataclass(frozen=True)
class LabelScore:
    """One row of `LABEL_SCORES`: what a score means, where it is from, and what it needs.

    Higher is always better: ``higher_is_better`` is there to be read, a score for which it does not
    hold is negated. ``min_classes`` is the fewest classes, ``min_per_class`` the fewest labelled
    probes of every class, ``min_probes`` the fewest labelled probes in all; besides, some class
    must have 2. ``needs`` says of which Gram the score is made.
    """

    function: Callable[[LabelledFeatures], float]
    reference: str
    meaning: str
    higher_is_better: Literal[True] = True
    min_classes: int = 2
    min_per_class: int = 1
    min_probes: int = 3
    needs: Literal["raw", "zscored"] = "raw"


class ScoreValue(NamedTuple):
    """A score of one graph: NaN where it is not defined, and then the reason why."""

    value: float
    reason: str | None = None


LABEL_SCORES: Mapping[str, LabelScore] = {
    "knn": LabelScore(
        function=knn,
        reference="Cover & Hart, IEEE Transactions on Information Theory 1967",
        meaning="leave-one-out accuracy of the 5 nearest neighbours by cosine, 0 to 1",
        min_probes=NEIGHBOURS + 1,
    ),
    "logme": LabelScore(
        function=logme,
        reference="You et al., 'LogME', ICML 2021",
        meaning="maximum log evidence per probe of linear models of the classes, mean, nats",
    ),
    "h_score": LabelScore(
        function=h_score,
        reference="Bao et al., ICIP 2019; shrinkage of Ibrahim et al., ECML PKDD 2022",
        meaning="between-class share of the variance, summed over directions, 0 to classes - 1",
    ),
    "transrate": LabelScore(
        function=transrate,
        reference="Huang et al., 'Frustratingly Easy Transferability Estimation', ICML 2022",
        meaning="coding rate of all features less that of the classes, nats",
    ),
    "nleep": LabelScore(
        function=nleep,
        reference="Li et al., 'Ranking Neural Checkpoints', CVPR 2021",
        meaning="mean log probability of the labels given the features' clusters, nats, at most 0",
    ),
    "parc": LabelScore(
        function=parc,
        reference="Bolya et al., 'Scalable Diverse Model Selection', NeurIPS 2021",
        meaning="Spearman's rho of pairwise likeness with being of one class, raw, -1 to 1",
    ),
    "parc_zscore": LabelScore(
        function=parc_zscore,
        reference="Bolya et al., NeurIPS 2021; z-scored as in their code",
        meaning="Spearman's rho of pairwise likeness with being of one class, z-scored, -1 to 1",
        needs="zscored",
    ),
    "gbc": LabelScore(
        function=gbc,
        reference="Pandy et al., 'Bhattacharyya Class Separability', CVPR 2022",
        meaning="minus the overlap of the classes as spherical Gaussians, summed over pairs",
        min_per_class=2,
    ),
}
"""Every score with labels by its name, the value of ``score`` in the ``label_scores`` table."""


def undefined_scores(labels: Sequence[str | None]) -> dict[str, str]:
    """Returns the scores that no features have with these labels, each with the reason.

    It depends on the labels alone: ask before a scan whether it will have scores with labels.

    Args:
        labels: of all probes; None where a probe has no label.
    """
    counts = Counter(label for label in labels if label is not None)
    reasons = {name: _undefined(score, counts) for name, score in LABEL_SCORES.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def label_scores(grams: FeatureGrams, labels: Sequence[str | None]) -> dict[str, ScoreValue]:
    """Returns every score of `LABEL_SCORES` for one graph, by name.

    Probes without a label are left out. A score that these labels or these features do not define
    is NaN with the reason; other scores are not affected. Nothing is random: the same Grams and
    labels give the same values.

    Args:
        grams: of all probes of the graph.
        labels: of all probes, in the same order; None where a probe has no label.

    Raises:
        ValueError: there is not one label, or None, per probe.
    """
    features = LabelledFeatures.select(grams, labels)
    reasons = undefined_scores(labels)
    if features.is_constant:
        constant = f"the features of the {features.num_probes} labelled probes do not differ"
        reasons = dict.fromkeys(LABEL_SCORES, constant) | reasons
    return {
        name: ScoreValue(math.nan, reasons[name]) if name in reasons else _value(score, features)
        for name, score in LABEL_SCORES.items()
    }


def _value(score: LabelScore, features: LabelledFeatures) -> ScoreValue:
    try:
        value = score.function(features)
    except np.linalg.LinAlgError as error:
        return ScoreValue(math.nan, f"the features' Gram matrix cannot be decomposed: {error}")
    if not math.isfinite(value):
        return ScoreValue(math.nan, "these features and labels give no finite value")
    return ScoreValue(value)


def _undefined(score: LabelScore, counts: Counter[str]) -> str | None:
    """Returns why labels, counted by class, leave a score undefined; None when they do not."""
    total = counts.total()
    if not counts:
        return "no probe has a label"
    if len(counts) < score.min_classes:
        return (
            f"the {total} labelled probes are of {len(counts)} class ({next(iter(counts))!r}), "
            f"needs {score.min_classes}"
        )
    if len(counts) == total:
        return f"each of the {total} labelled probes is the only one of its class"
    if total < score.min_probes:
        return f"{total} probes have a label, needs {score.min_probes}"
    name, fewest = min(counts.items(), key=lambda item: (item[1], item[0]))
    if fewest < score.min_per_class:
        probes = "probe" if fewest == 1 else "probes"
        return f"class {name!r} has {fewest} labelled {probes}, needs {score.min_per_class}"
    return None
