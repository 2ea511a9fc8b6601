"""Rankings judged by measured transfers: metrics, baselines, intervals, tables and pictures."""

from depara.evaluation.baselines import BASELINES, Known
from depara.evaluation.evaluation import Evaluation, metric_label
from depara.evaluation.judgement import evaluate_scores
from depara.evaluation.labels import evaluate_labels
from depara.evaluation.picture import draw_evaluation, plot_evaluation
from depara.evaluation.record import describe, write_evaluation
from depara.evaluation.scan import evaluate_scan
from depara.evaluation.schema import EVALUATION_SCHEMA, EVALUATION_TABLES
from depara.evaluation.terminal import evaluation_table
from depara.evaluation.truth import Truth, load_truth

__all__ = [
    "BASELINES",
    "EVALUATION_SCHEMA",
    "EVALUATION_TABLES",
    "Evaluation",
    "Known",
    "Truth",
    "describe",
    "draw_evaluation",
    "evaluate_labels",
    "evaluate_scan",
    "evaluate_scores",
    "evaluation_table",
    "load_truth",
    "metric_label",
    "plot_evaluation",
    "write_evaluation",
]
