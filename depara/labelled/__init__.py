"""Scores with labels: how well each graph's features suit the classes of the probes.

``N`` labelled probes, ``K`` classes.
"""

from depara.labelled.features import LabelledFeatures
from depara.labelled.hardness import score_names
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
    "ScoreValue",
    "half_samples",
    "label_ranking",
    "label_score_table",
    "label_scores",
    "score_names",
    "undefined_scores",
]
