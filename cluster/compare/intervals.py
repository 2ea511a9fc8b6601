"""The tasks that write how sure the rankings of a large scan are: a part per block of targets.

Blocks that were resampled are cut otherwise than the tables: a part takes its targets from all of
them, and frees each when nobody else needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cluster.compare.parts import TablePart
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Ref
from cluster.pool.tasks import TaskFailure, failure_of, merge_failures
from depara.errors import StoreError
from depara.store.parts import joined_fact, write_part
from depara.store.storage import Storage
from depara.uncertainty import BlockUncertainty, Stability, uncertainty_tables

INTERVALS = ("uncertainty", "rank_uncertainty")
"""The tables of uncertainty that grow with the pairs."""

Facts = dict[str, dict[str, Any]]


def submit_parts(
    parts: Sequence[TablePart],
    blocks: Sequence[tuple[Collection[str], Ref]],
    scan_id: str,
    context: ScanContext,
) -> tuple[list[Ref], list[Ref]]:
    """Submits the tasks that write all parts, and those that keep what else blocks say.

    Args:
        parts: of the scan's tables.
        blocks: the target models of each resampled block, and the reference to it.
        scan_id: the scan.
        context: runs the tasks.

    Returns:
        References to the facts of each part, and to each block's stability.
    """
    launcher, output = context.launcher, context.storage.root
    written = []
    for part in parts:
        models = set(part.models)
        mine = [ref for targets, ref in blocks if not models.isdisjoint(targets)]
        written.append(launcher.submit(write_interval_part, output, scan_id, part, *mine))
    return written, [launcher.submit(stability_of, ref) for _, ref in blocks]


def write_interval_part(
    output: str, scan_id: str, part: TablePart, *blocks: BlockUncertainty | TaskFailure
) -> Facts | TaskFailure:
    """Writes a part of the tables of uncertainty; returns their facts, or an error as data."""
    failure = merge_failures(blocks)
    if failure is not None:
        return failure
    assert part.number is not None
    mine = [
        found
        for block in blocks
        if isinstance(block, BlockUncertainty)
        and (found := block.of_targets(part.models)) is not None
    ]
    tables, storage = uncertainty_tables(mine), Storage(output)
    try:
        return {
            name: write_part(
                storage, scan_id, name, part.number, tables[name],
                targets=part.models, key=part.key,
            )
            for name in INTERVALS
        }  # fmt: skip
    except StoreError as error:
        return failure_of(error)


def stability_of(block: BlockUncertainty | TaskFailure) -> Stability | TaskFailure | None:
    """Returns how stable a block's model ranking is; None where it ranks none."""
    if isinstance(block, TaskFailure):
        return block
    return None if block.model is None else block.model.stability


def join_parts(*parts: Facts | TaskFailure) -> Facts | TaskFailure:
    """Returns the facts of the tables whose parts were written."""
    failure = merge_failures(parts)
    if failure is not None:
        return failure
    facts = [part for part in parts if not isinstance(part, TaskFailure)]
    return {name: joined_fact([fact[name] for fact in facts]) for name in INTERVALS}
