"""The answers that people ask a finished scan for: what to start from, what belongs together."""

from depara.answers.changes import ScanChanges, diff
from depara.answers.labelled import DataRecommendation, recommend_for_labels
from depara.answers.matrix import matrix
from depara.answers.recommendation import Candidate, Costs, Recommendation, Trial
from depara.answers.recommender import Recommender, recommend
from depara.answers.tree import ModelTree, model_tree

__all__ = [
    "Candidate",
    "Costs",
    "DataRecommendation",
    "ModelTree",
    "Recommendation",
    "Recommender",
    "ScanChanges",
    "Trial",
    "diff",
    "matrix",
    "model_tree",
    "recommend",
    "recommend_for_labels",
]
