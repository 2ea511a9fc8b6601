"""How often a group may lose its worker, and to what."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.pool.launcher import WorkerLostError
from cluster.pool.slots import (
    MAX_DEATHS_PER_GROUP,
    MAX_HANGS_PER_GROUP,
    MAX_NODE_LOSSES_PER_GROUP,
    Running,
)
from cluster.pool.units import FlushUnit, Group, GroupResult


@pytest.mark.parametrize(
    ("loss", "most"),
    [
        ({}, MAX_DEATHS_PER_GROUP),
        ({"is_hang": True}, MAX_HANGS_PER_GROUP),
        ({"is_node_loss": True}, MAX_NODE_LOSSES_PER_GROUP),
        # The first time it was not alone: whose memory it was is not known.
        ({"is_memory_loss": True}, MAX_DEATHS_PER_GROUP + 1),
    ],
)
def test_a_group_is_given_up_after_so_many_losses(loss: dict[str, Any], most: int) -> None:
    running = Running(Group("a", (FlushUnit(),)), GroupResult("a"))
    for _ in range(most - 1):
        assert running.lose(WorkerLostError("gone", **loss)) is None
    failure = running.lose(WorkerLostError("gone", **loss))
    assert failure is not None
    assert (failure.model_id, failure.stage, failure.error_type) == ("a", "flush", "WorkerDied")
    assert failure.message.endswith("last: gone")
