"""The scores with labels of a scan's graphs, and how sure their ranking is: stateless tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from cluster.compare.pairs import Reduction
from cluster.compare.unusable import failure_of_graphs
from cluster.pool.launcher import Launcher
from cluster.pool.tasks import TaskFailure
from depara.labelled import Labelling, label_ranking, label_score_table
from depara.labelled.scores import ScoreValue
from depara.objects import ProbeObjects
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef, open_graphs
from depara.store.graphs import CommittedGraph
from depara.store.storage import Storage
from depara.types import Float32, Float64

_GRAPHS_PER_TASK = 64
_MOST_HALVES = 40
_FEWEST_HALVES = 10
_HALF_SECONDS = 1.6e-2
"""All scores of one half sample of 100 probes on one core; grows about with the square."""

LabelRow = tuple[str, str, dict[str, ScoreValue]]
HalfRow = tuple[str, Float64]
"""A model, and the scores of its output graph on half samples, ``R S``."""

_T = TypeVar("_T")

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def wants_label_scores(reduction: Reduction, labels: Sequence[str | None]) -> bool:
    """Whether label scores are asked for, and labels or boxes suffice for one at least."""
    labelling = Labelling(tuple(labels), reduction.objects)
    return reduction.config.similarity.label_scores and labelling.has_scores


def score_calls(
    graphs: Sequence[GraphRef],
    labels: Sequence[str | None],
    hard: Sequence[int],
    output: str,
    threads: int,
    launcher: Launcher,
    objects: ProbeObjects | None = None,
) -> list[Call]:
    """Returns the tasks that score graphs with labels and boxes, all probes and the hard ones."""
    shared = launcher.share(Labelling(tuple(labels), objects))
    pieces = _pieces(graphs, _GRAPHS_PER_TASK)
    return [(score_labels, (output, threads, piece, shared, tuple(hard))) for piece in pieces]


def half_calls(
    graphs: Sequence[GraphRef],
    labels: Sequence[str | None],
    hard: Sequence[int],
    seed: int,
    budget_s: float,
    output: str,
    threads: int,
    launcher: Launcher,
    objects: ProbeObjects | None = None,
) -> list[Call]:
    """Returns the tasks that score output graphs on half samples, as many as the budget allows.

    Args:
        graphs: the output graphs that are ranked.
        labels: of the probes, in index order.
        hard: shares of the probes, %, of whose hardest the scores are wanted too.
        seed: of the half samples.
        budget_s: time of one core.
        output: where the graphs are.
        threads: of each task.
        launcher: shares values and says how many tasks run at once.
        objects: of the probes, None where there are none.
    """
    labelling = Labelling(tuple(labels), objects)
    whole_s = _HALF_SECONDS * (labelling.size / 200) ** 2
    each_s = whole_s * (1 + sum((percent / 100) ** 2 for percent in hard)) * max(len(graphs), 1)
    count = int(min(max(budget_s / each_s, _FEWEST_HALVES), _MOST_HALVES))
    shared = launcher.share(labelling.halves(count, seed))
    size = max(1, math.ceil(len(graphs) / max(launcher.capacity(), 1)))
    pieces = _pieces(graphs, min(size, _GRAPHS_PER_TASK))
    return [(score_halves, (output, threads, piece, shared, tuple(hard))) for piece in pieces]


def score_labels(
    output: str,
    threads: int,
    graphs: Sequence[GraphRef],
    labelling: Labelling,
    hard: Sequence[int] = (),
) -> list[LabelRow] | TaskFailure:
    """Returns the label scores of some graphs, or the error as data."""

    def scored(graph: CommittedGraph) -> dict[str, ScoreValue]:
        return labelling.scores(graph.read_grams(), hard, *_beside(graph, labelling))

    found = _of_each(output, threads, graphs, scored)
    if isinstance(found, TaskFailure):
        return found
    return [(ref.model_id, ref.layer, one) for ref, one in zip(graphs, found, strict=True)]


def score_halves(
    output: str,
    threads: int,
    graphs: Sequence[GraphRef],
    halves: Sequence[Labelling],
    hard: Sequence[int] = (),
) -> list[HalfRow] | TaskFailure:
    """Returns the label scores of some output graphs on half samples, or the error as data."""

    def scored(graph: CommittedGraph) -> Float64:
        grams, beside = graph.read_grams(), _beside(graph, halves[0])
        scores = (half.scores(grams, hard, *beside) for half in halves)
        return np.array([[one.value for one in found.values()] for found in scores], np.float64)

    found = _of_each(output, threads, graphs, scored)
    if isinstance(found, TaskFailure):
        return found
    return [(ref.model_id, one) for ref, one in zip(graphs, found, strict=True)]


def _beside(graph: CommittedGraph, labelling: Labelling) -> tuple[Float32 | None, Float32 | str]:
    """What lies beside a graph: the return values of its model, the features of the objects."""
    outputs_NC = graph.read_outputs()
    if labelling.objects is None or not labelling.has_objects:
        return outputs_NC, ""
    return outputs_NC, graph.read_objects(labelling.objects.key)


def label_tables(
    rows: Sequence[LabelRow], outputs: Mapping[str, str], halves: Sequence[HalfRow]
) -> dict[str, pa.Table]:
    """Returns the tables of label scores and of their ranking.

    Args:
        rows: of all graphs, in the order of the table.
        outputs: output layer of each model that is ranked.
        halves: of the output graphs.
    """
    return {
        "label_scores": label_score_table(rows),
        "label_ranking": label_ranking(rows, outputs, dict(halves)),
    }


def known_label_rows(
    table: pa.Table, labelled: Mapping[str, tuple[str, str]], order: Sequence[tuple[str, str, str]]
) -> list[LabelRow]:
    """Returns the label scores that an earlier scan has of some graphs, under their present names.

    Args:
        table: its label scores.
        labelled: model and layer there of each graph that it has.
        order: model, layer and key of the graphs now.
    """
    scores: dict[tuple[str, str], dict[str, ScoreValue]] = {}
    for row in table.to_pylist():
        value = math.nan if row["value"] is None else row["value"]
        graph = scores.setdefault((row["model_id"], row["layer"]), {})
        graph[row["score"]] = ScoreValue(value, row["reason"])
    return [(model, layer, scores[labelled[key]]) for model, layer, key in order if key in labelled]


def _of_each(
    output: str, threads: int, graphs: Sequence[GraphRef], scored: Callable[[CommittedGraph], _T]
) -> list[_T] | TaskFailure:
    import threadpoolctl

    storage = Storage(output)
    try:
        with threadpoolctl.threadpool_limits(threads):
            return [scored(graph) for graph in open_graphs(storage, graphs)]
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(error, storage, graphs, scored)


def _pieces(graphs: Sequence[GraphRef], size: int) -> list[Sequence[GraphRef]]:
    return [graphs[start : start + size] for start in range(0, len(graphs), size)]
