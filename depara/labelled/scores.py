"""The scores with labels: one table, and their values for one graph.

``N`` labelled probes, ``K`` classes.

How well do a graph's features suit the classes that the probes are labelled with? Each score is a
function of `LabelledFeatures`, that is of the Grams which the worker keeps; all are listed in
`depara.catalog.LABEL_SCORES`. They are of raw features, hence exact for any part of the probes, but
for `parc_zscore`. None sees isotropic scale or the order of dimensions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from depara.catalog import LABEL_SCORES, LabelScore, hard_name, load
from depara.grams import GraphGrams
from depara.labelled.features import LabelledFeatures
from depara.labelled.hardness import hard_probes
from depara.types import Float32

_NOT_FINITE = "these features and labels give no finite value"
_NO_OUTPUTS = (
    "no return value of the model is kept beside this graph: it is beside that of the output "
    "layer, where the model returns one row of 2 or more values per probe and outputs were stored "
    "when the graph was made (`store_outputs`; `--fresh` makes it anew)"
)


class ScoreValue(NamedTuple):
    """A score of one graph: NaN where it is not defined, and then the reason why."""

    value: float
    reason: str | None = None


def undefined_scores(labels: Sequence[str | None]) -> dict[str, str]:
    """Returns the scores that no features have with these labels, each with the reason.

    It depends on the labels alone: ask before a scan whether it will have scores with labels.

    Args:
        labels: of all probes; None where a probe has no label.
    """
    counts = Counter(label for label in labels if label is not None)
    reasons = {name: _undefined(score, counts) for name, score in LABEL_SCORES.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def label_scores(
    grams: GraphGrams,
    labels: Sequence[str | None],
    hard: Sequence[int] = (),
    outputs_NC: Float32 | None = None,
) -> dict[str, ScoreValue]:
    """Returns every score of `LABEL_SCORES` for one graph, by name; then those of its hard probes.

    Probes without a label are left out. A score that these labels or these features do not define
    is NaN with the reason; other scores are not affected. Nothing is random: the same Grams and
    labels give the same values.

    Args:
        grams: of all probes of the graph.
        labels: of all probes, in the same order; None where a probe has no label.
        hard: shares of the probes, %, of whose hardest every score is computed once more
            (`hard_probes`), under the name of `hard_name`.
        outputs_NC: what the model itself returned for all probes, where that is kept.

    Raises:
        ValueError: there is not one label, or None, per probe.
    """
    features = LabelledFeatures.select(grams, labels, outputs_NC)
    scores = _of_features(features)
    for percent in hard:
        has_hard = features.num_classes > 1 and not features.is_constant
        found = _of_features(hard_probes(features, percent) if has_hard else features)
        about = f"of the hardest {percent} %: " if has_hard else ""
        for name, (value, reason) in found.items():
            why = None if reason is None else about + reason
            scores[hard_name(name, percent)] = ScoreValue(value, why)
    return scores


def _of_features(features: LabelledFeatures) -> dict[str, ScoreValue]:
    """Returns every score of some labelled probes."""
    counts = Counter(features.class_names[number] for number in features.class_N)
    reasons = {name: _undefined(score, counts) for name, score in LABEL_SCORES.items()}
    if features.is_constant:
        constant = f"the features of the {features.num_probes} labelled probes do not differ"
        reasons = {name: reason or constant for name, reason in reasons.items()}
    if features.outputs_NC is None:
        of_outputs = [name for name, score in LABEL_SCORES.items() if score.needs == "outputs"]
        reasons |= {name: reasons[name] or _NO_OUTPUTS for name in of_outputs}
    return {
        name: value_or_reason(score, features, _NOT_FINITE)
        if reason is None
        else ScoreValue(math.nan, reason)
        for (name, score), reason in zip(LABEL_SCORES.items(), reasons.values(), strict=True)
    }


def value_or_reason(score: LabelScore, features: object, not_finite: str) -> ScoreValue:
    """Returns a score of features that its row defines, or NaN with why there is no number."""
    try:
        value = load(score.code)(features)
    except np.linalg.LinAlgError as error:
        return ScoreValue(math.nan, f"the features cannot be decomposed: {error}")
    return ScoreValue(value) if math.isfinite(value) else ScoreValue(math.nan, not_finite)


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
