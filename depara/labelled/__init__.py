"""Scores with labels: how well each graph's features suit the classes of the probes.

``N`` labelled probes, ``K`` classes.
"""

from depara.labelled.evidence import logme_regression
from depara.labelled.features import LabelledFeatures
from depara.labelled.hardness import score_names
from depara.labelled.labelling import Labelling
from depara.labelled.objects import ObjectFeatures, object_scores
from depara.labelled.ranking import (
    CONSENSUS,
    half_samples,
    label_ranking,
)
from depara.labelled.schema import label_score_table
from depara.labelled.scores import (
    ScoreValue,
    label_scores,
    undefined_scores,
)

__all__ = [
    "CONSENSUS",
    "LabelledFeatures",
    "Labelling",
    "ObjectFeatures",
    "ScoreValue",
    "half_samples",
    "label_ranking",
    "label_score_table",
    "label_scores",
    "logme_regression",
    "object_scores",
    "score_names",
    "undefined_scores",
]
