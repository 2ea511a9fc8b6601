"""Scores with labels: how well each graph's features suit the classes of the probes.

``N`` labelled probes, ``K`` classes.
"""

from depara.labelled.features import LabelledFeatures
from depara.labelled.schema import LABEL_SCORES_SCHEMA, label_score_table
from depara.labelled.scores import (
    ScoreValue,
    label_scores,
    undefined_scores,
)

__all__ = [
    "LABEL_SCORES_SCHEMA",
    "LabelledFeatures",
    "ScoreValue",
    "label_score_table",
    "label_scores",
    "undefined_scores",
]
