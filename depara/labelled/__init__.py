"""Scores with labels: how well each graph's features suit the classes of the probes.

``N`` labelled probes, ``K`` classes.
"""

from depara.labelled.features import LabelledFeatures
from depara.labelled.ranking import (
    CONSENSUS,
    LABEL_RANKING_SCHEMA,
    half_samples,
    label_ranking,
)
from depara.labelled.schema import LABEL_SCORES_SCHEMA, label_score_table
from depara.labelled.scores import (
    ScoreValue,
    label_scores,
    undefined_scores,
)

__all__ = [
    "CONSENSUS",
    "LABEL_RANKING_SCHEMA",
    "LABEL_SCORES_SCHEMA",
    "LabelledFeatures",
    "ScoreValue",
    "half_samples",
    "label_ranking",
    "label_score_table",
    "label_scores",
    "undefined_scores",
]
