"""Finding the graphs whose numbers end a comparison, so that each costs itself alone.

A comparison is of many graphs at once and says at best at which place of a block it failed. Only
then are its graphs looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cluster.pool.tasks import TaskFailure, failure_of
from depara.errors import DamagedGraphError, DeparaError, StorageUnavailableError
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef
from depara.store.graphs import CommittedGraph, open_graph
from depara.store.storage import Storage


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
