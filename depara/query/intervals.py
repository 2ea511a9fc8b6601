"""How sure the ranks of a query are: the probes resampled, as in a scan.

``A`` graphs of the zoo that may be cut, ``B`` its output graphs, ``L`` layers of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from depara.query.comparison import Compared
from depara.query.cosines import Graphs
from depara.query.own import OwnModel
from depara.query.progress import Progress
from depara.query.zoo import Zoo
from depara.similarity.stored import GraphRef, StoredBlock
from depara.uncertainty import (
    BlockCentre,
    BlockUncertainty,
    FurtherTerms,
    PlanLimits,
    Ranking,
    UncertaintySettings,
    UncertaintyTask,
    block_uncertainty,
    plan_uncertainty,
    resampling_seconds,
    uncertainty_tables,
)

BUDGET_S = 7.0
"""Nominal seconds on one core that all resamples of a query may take; measured, about 20."""

_FEWEST = 100


@dataclass(frozen=True)
class _Block:
    """Sources that are ranked together for some targets, and which of the rankings are wanted."""

    sources: Sequence[GraphRef]
    targets: Sequence[GraphRef]
    rankings: tuple[Ranking, ...]


def query_intervals(
    own: OwnModel,
    zoo: Zoo,
    graphs: Graphs,
    compared: Compared,
    memory_bytes: int,
    workers: int,
    on_progress: Progress,
) -> dict[str, pa.Table]:
    """Returns the tables ``uncertainty``, ``rank_uncertainty`` and ``stability`` of a query.

    Of the pairs and ranks that the model takes part in; stability is that of its own sources.

    Args:
        own: the model.
        zoo: the zoo.
        graphs: the graphs of both.
        compared: what the comparison found; a map is read again only where its cosines lack it.
        memory_bytes: limit of what this allocates.
        workers: threads side by side. BLAS threads are the caller's to set: one is best.
        on_progress: told of the blocks resampled.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        DeparaError, ValueError, ArithmeticError: a graph's numbers cannot be compared.
    """
    on_progress("resampling", 0, 0)
    config = zoo.config.uncertainty
    if not config.resamples:
        return uncertainty_tables([])
    blocks = (
        _Block(zoo.candidates, (own.output,), ("model", "layer")),
        _Block((*zoo.outputs, own.output), zoo.outputs, ("model",)),
        _Block(own.refs, zoo.outputs, ("layer",)),
    )
    count = _affordable(blocks, zoo.num_probes, config.resamples)
    settings = UncertaintySettings(num_resamples=count, seed=config.seed)
    results = _resampled(
        blocks, zoo, graphs, compared, memory_bytes // workers, workers, settings, on_progress
    )
    tables = uncertainty_tables([found for _, found in results])
    of_target = uncertainty_tables([found for number, found in results if number == 0])
    name = own.card.model_id
    return {
        "uncertainty": _about(tables["uncertainty"], name),
        "rank_uncertainty": _about(tables["rank_uncertainty"], name),
        "stability": of_target["stability"],
    }


def _resampled(
    blocks: Sequence[_Block],
    zoo: Zoo,
    graphs: Graphs,
    compared: Compared,
    memory_bytes: int,
    workers: int,
    settings: UncertaintySettings,
    on_progress: Progress,
) -> list[tuple[int, BlockUncertainty]]:
    """The uncertainty of every task of every block, with the number of its block."""
    calls = [
        (number, task)
        for number, block in enumerate(blocks)
        for task in _tasks(block, zoo, memory_bytes, workers, settings)
    ]

    centre = compared.centre

    def resample(call: tuple[int, UncertaintyTask]) -> BlockUncertainty:
        block, task = blocks[call[0]], call[1]
        rows = [block.sources[place] for place in task.sources]
        columns = [block.targets[place] for place in task.targets]
        return block_uncertainty(
            StoredBlock([graphs[ref.key] for ref in rows]),
            StoredBlock([graphs[ref.key] for ref in columns]),
            sources=rows,
            targets=columns,
            num_probes=zoo.num_probes,
            terms=zoo.config.similarity.terms,
            layer_terms=zoo.config.similarity.own_layer_terms,
            memory_bytes=memory_bytes,
            settings=settings,
            rankings=task.rankings,
            cosines_ABN=compared.cosines.of_pairs(rows, columns),
            centre=None if centre is None else BlockCentre(centre.rows(rows), centre.rows(columns)),
        )

    results: list[tuple[int, BlockUncertainty]] = []
    with ThreadPoolExecutor(workers) as pool:
        for call, found in zip(calls, pool.map(resample, calls), strict=True):
            results.append((call[0], found))
            on_progress("resampling", len(results), len(calls))
    return results


def _tasks(
    block: _Block, zoo: Zoo, memory_bytes: int, workers: int, settings: UncertaintySettings
) -> list[UncertaintyTask]:
    """The tasks that analyse a block: those of the plan, for the rankings that are wanted."""
    similarity = zoo.config.similarity
    limits = PlanLimits(
        num_probes=zoo.num_probes,
        num_pixels=zoo.num_pixels,
        memory_bytes=memory_bytes,
        settings=settings,
        workers=workers,
        further=FurtherTerms.of(similarity.terms, similarity.own_layer_terms),
    )
    plan = plan_uncertainty(block.sources, block.targets, limits)
    wanted = set(block.rankings)
    return [
        replace(task, rankings=tuple(one for one in task.rankings if one in wanted))
        for task in plan.tasks
        if wanted & set(task.rankings)
    ]


def _affordable(blocks: Sequence[_Block], num_probes: int, most: int) -> int:
    """Resamples that the budget allows, rounded down to two digits, but `_FEWEST` at least."""
    one_s = sum(
        resampling_seconds(
            len(block.sources), len(block.targets), num_probes=num_probes, num_resamples=1
        )
        for block in blocks
    )
    count = int(min(BUDGET_S / one_s, most))
    scale = 10 ** max(0, len(str(count)) - 2)
    return min(most, max(_FEWEST, count if count == most else count // scale * scale))


def _about(table: pa.Table, model_id: str) -> pa.Table:
    """The rows in which the model is the source or the target."""
    is_source = pc.equal(table["source_model"], model_id)
    return table.filter(pc.or_(is_source, pc.equal(table["target_model"], model_id)))
