"""Finding the graphs whose numbers end a comparison, so that each costs itself alone.

A comparison is of many graphs at once and says at best at which place of a block it failed. Only
then are its graphs looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from cluster.compare.blocks import GraphRef
from cluster.pool.tasks import TaskFailure, failure_of
from depara.errors import DamagedGraphError, DeparaError, StorageUnavailableError
from depara.graph import rank_vector
from depara.similarity.scores import score_vectors
from depara.store.graphs import CommittedGraph, open_graph
from depara.store.storage import Storage

NUMERIC_ERRORS = (DeparaError, ValueError, ArithmeticError)
"""What numbers that cannot be compared raise; `numpy.linalg.LinAlgError` is a ValueError."""

_LONGEST_MAP = 1.01
"""float16 leaves the norm of a map off 1 by up to 1e-3."""


def failure_of_graphs(
    error: Exception,
    storage: Storage,
    graphs: Iterable[GraphRef],
    check: Callable[[CommittedGraph], object],
) -> TaskFailure:
    """Returns why a task over some graphs failed: those that fail by themselves, if any do.

    Args:
        error: one of `NUMERIC_ERRORS`.
        storage: the output.
        graphs: of the task.
        check: raises when a graph cannot take part.

    Raises:
        Exception: the error itself, when no graph explains it and it is not meant for users.
        StorageUnavailableError: the storage does not answer.
    """
    if isinstance(error, StorageUnavailableError):
        raise error
    if isinstance(error, DamagedGraphError):
        return failure_of(error)
    unusable = {}
    for ref in dict.fromkeys(graphs):
        try:
            check(open_graph(storage, ref.key))
        except StorageUnavailableError:
            raise
        except DamagedGraphError as damage:
            return failure_of(damage)
        except NUMERIC_ERRORS as reason:
            unusable[ref.key] = (
                f"model {ref.model_id!r}, layer {ref.layer!r}: its committed graph cannot be "
                f"compared: {reason}; check the weights, or leave the layer out of `layers`"
            )
    if unusable:
        return TaskFailure(next(iter(unusable.values())), tuple(unusable), unusable=unusable)
    if isinstance(error, DeparaError):
        return failure_of(error)
    raise error


def check_graph(graph: CommittedGraph, scores: Sequence[str]) -> None:
    """Does with one graph alone what a comparison does with it.

    Raises:
        DeparaError, ValueError, ArithmeticError: it cannot be compared.
    """
    for probes in graph.marker.ranges:
        norms_n = np.linalg.norm(graph.read_maps(probes).astype(np.float64), axis=1)
        if not (norms_n <= _LONGEST_MAP).all():
            raise ValueError(f"maps of probes {probes} are not of unit norm, or not finite")
    rank_vector(graph.read_edges())
    if scores:
        grams = graph.read_grams()
        for name in scores:
            for role in ("source", "target"):
                score_vectors(name, grams, role)
