"""Rankings judged by measured transfers: metrics, baselines, intervals, tables and pictures."""

from depara.evaluation.baselines import BASELINES, Known
from depara.evaluation.evaluation import Evaluation, evaluate_scores
from depara.evaluation.picture import draw_evaluation, plot_evaluation
from depara.evaluation.record import write_evaluation
from depara.evaluation.scan import evaluate_scan
from depara.evaluation.schema import EVALUATION_SCHEMA
from depara.evaluation.terminal import evaluation_table
from depara.evaluation.truth import Truth, load_truth

__all__ = [
    "BASELINES",
    "EVALUATION_SCHEMA",
    "Evaluation",
    "Known",
    "Truth",
    "draw_evaluation",
    "evaluate_scan",
    "evaluate_scores",
    "evaluation_table",
    "load_truth",
    "plot_evaluation",
    "write_evaluation",
]
