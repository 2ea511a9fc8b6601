"""How sure a scan is: other probes of the same kind, and fewer probes.

``A`` source graphs, ``B`` target graphs.
"""

from depara.uncertainty.block import (
    LAYER_SIMILARITY,
    BlockUncertainty,
    ModelUncertainty,
    block_uncertainty,
)
from depara.uncertainty.candidates import GraphLabel, Ranking
from depara.uncertainty.footprint import FurtherTerms, affordable_resamples, resampling_seconds
from depara.uncertainty.intervals import RankIntervals, ScoreIntervals
from depara.uncertainty.node_cosines import node_cosines
from depara.uncertainty.plan import (
    PlanLimits,
    UncertaintyPlan,
    UncertaintyTask,
    plan_chosen,
    plan_uncertainty,
)
from depara.uncertainty.resampling import ResampledScores, resampled_scores
from depara.uncertainty.settings import UncertaintySettings
from depara.uncertainty.stability import Stability, StabilityRow, summarize_stability
from depara.uncertainty.tables import stability_table, uncertainty_tables
from depara.uncertainty.terms import BlockCentre

__all__ = [
    "LAYER_SIMILARITY",
    "BlockCentre",
    "BlockUncertainty",
    "FurtherTerms",
    "GraphLabel",
    "ModelUncertainty",
    "PlanLimits",
    "RankIntervals",
    "Ranking",
    "ResampledScores",
    "ScoreIntervals",
    "Stability",
    "StabilityRow",
    "UncertaintyPlan",
    "UncertaintySettings",
    "UncertaintyTask",
    "affordable_resamples",
    "block_uncertainty",
    "node_cosines",
    "plan_chosen",
    "plan_uncertainty",
    "resampled_scores",
    "resampling_seconds",
    "stability_table",
    "summarize_stability",
    "uncertainty_tables",
]
