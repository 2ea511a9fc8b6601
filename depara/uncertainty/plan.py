"""The plan of a scan's uncertainty: which blocks to resample, how often, for which rankings.

``A`` source graphs, ``B`` target graphs, ``N`` probes, ``P`` map pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from depara.errors import ConfigError
from depara.uncertainty.candidates import RANKINGS, GraphLabel, Ranking
from depara.uncertainty.footprint import (
    FurtherTerms,
    ResamplingFootprint,
    affordable_resamples,
)
from depara.uncertainty.settings import UncertaintySettings


@dataclass(frozen=True)
class UncertaintyTask:
    """One call of `block_uncertainty`: places of its sources and targets, and what it ranks."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True)
class UncertaintyPlan:
    """Tasks that together analyse every ranking once and every pair, all with ``settings``.

    ``settings.num_resamples`` is what the budget leaves of those wanted.
    """

    tasks: tuple[UncertaintyTask, ...]
    settings: UncertaintySettings


@dataclass(frozen=True)
class PlanLimits:
    """What a plan is made for.

    ``num_probes`` is ``N``, at least 2, ``num_pixels`` ``P``. ``memory_bytes``: what one task may
    allocate; tasks that run side by side share a machine's. ``settings``: resamples wanted, subsets
    and the grid of lambda. ``budget_s``: nominal seconds on one core for all tasks; over it, all
    take fewer resamples (`affordable_resamples`), not fewer than ``min_resamples``; None takes all
    of them. ``workers``: tasks that run side by side. ``further``: what is resampled beside nodes
    and edges.
    """

    num_probes: int
    num_pixels: int
    memory_bytes: int
    settings: UncertaintySettings
    budget_s: float | None = None
    min_resamples: int = 100
    workers: int = 1
    further: FurtherTerms = FurtherTerms()  # noqa: RUF009 (frozen)

    def within_budget(self, num_sources: int, num_targets: int) -> PlanLimits:
        """Returns the same with as many resamples as the budget has for so many pairs."""
        if self.budget_s is None:
            return self
        spent_s = self.further.seconds(num_sources, num_targets, num_probes=self.num_probes)
        count = affordable_resamples(
            num_sources,
            num_targets,
            num_probes=self.num_probes,
            budget_s=self.budget_s - spent_s,
            most=self.settings.num_resamples,
            least=min(self.min_resamples, self.settings.num_resamples),
        )
        settings = replace(self.settings, num_resamples=count)
        return replace(self, settings=settings, budget_s=None)


def plan_uncertainty(
    sources: Sequence[GraphLabel], targets: Sequence[GraphLabel], limits: PlanLimits
) -> UncertaintyPlan:
    """Returns tasks that each fit in memory, the quickest found for the workers.

    A graph's ranks are computed anew in each task that it is in, so the model ranking and the layer
    rankings are tasks of their own: the first needs the output graphs alone, and each of the others
    all layers of some models. Where every model has one layer, one kind of task does both.

    Args:
        sources: labels of all sources; none gives no tasks.
        targets: labels of all targets, output graphs.
        limits: what the plan is made for.

    Raises:
        ConfigError: not even one model's layers against one target fit in memory.
    """
    units = _units(sources)
    num_sources = sum(len(unit) for _, unit in units)
    if not (units and targets):
        return UncertaintyPlan((), limits.settings)
    limits = limits.within_budget(num_sources, len(targets))
    tasks: list[UncertaintyTask] = []
    for rankings in dict(units):
        blocks = _quickest_blocks(
            [unit for kind, unit in units if kind == rankings], len(targets), rankings, limits
        )
        tasks += [UncertaintyTask(rows, columns, rankings) for rows, columns in blocks]
    return UncertaintyPlan(tuple(tasks), limits.settings)


def plan_chosen(
    sources: Sequence[GraphLabel],
    targets: Sequence[GraphLabel],
    blocks: Sequence[tuple[Sequence[int], Sequence[int]]],
    limits: PlanLimits,
) -> UncertaintyPlan:
    """Returns the tasks of some blocks, in which each target has all of its candidates.

    Args:
        sources: labels of all sources.
        targets: labels of all targets, output graphs.
        blocks: places of the sources and of the targets of each, all layers of each model.
        limits: what the plan is made for.

    Raises:
        ConfigError: not even one model's layers against one target fit in memory.
    """
    if not blocks:
        return UncertaintyPlan((), limits.settings)
    pairs = sum(len(rows) * len(columns) for rows, columns in blocks)
    num_sources = sum(len(rows) for rows, _ in blocks)
    limits = limits.within_budget(num_sources, -(-pairs // num_sources))
    tasks = []
    for rows, columns in blocks:
        own = plan_uncertainty(
            [sources[row] for row in rows], [targets[column] for column in columns], limits
        )
        tasks += [
            replace(
                task,
                sources=tuple(rows[row] for row in task.sources),
                targets=tuple(columns[column] for column in task.targets),
            )
            for task in own.tasks
        ]
    return UncertaintyPlan(tuple(tasks), limits.settings)


def _units(sources: Sequence[GraphLabel]) -> list[tuple[tuple[Ranking, ...], tuple[int, ...]]]:
    """Returns what must stay together, and for which rankings: all outputs; a model's layers."""
    outputs = tuple(place for place, source in enumerate(sources) if source.is_output)
    if len(outputs) == len(sources):
        return [(RANKINGS, outputs)] if outputs else []
    layers: dict[str, list[int]] = {}
    for place, source in enumerate(sources):
        layers.setdefault(source.model_id, []).append(place)
    units: list[tuple[tuple[Ranking, ...], tuple[int, ...]]] = []
    if outputs:
        units.append((("model",), outputs))
    units += [(("layer",), tuple(places)) for places in layers.values()]
    return units


Block = tuple[tuple[int, ...], tuple[int, ...]]


def _quickest_blocks(
    units: Sequence[tuple[int, ...]],
    num_targets: int,
    rankings: tuple[Ranking, ...],
    limits: PlanLimits,
) -> list[Block]:
    """Returns blocks of whole units against blocks of targets, the quickest that fit."""
    num_probes, memory_bytes = limits.num_probes, limits.memory_bytes
    active_edges = limits.settings.weighted_edges(num_probes, with_subsets="model" in rankings)
    best: tuple[float, int, list[tuple[int, ...]], int] | None = None
    least_bytes = 0
    for rows in _counts(len(units)):
        blocks = list(_joined(units, rows))
        for columns in _counts(num_targets):
            footprint = ResamplingFootprint(
                num_sources=max(len(block) for block in blocks),
                num_targets=-(-num_targets // columns),
                num_probes=num_probes,
                num_pixels=limits.num_pixels,
                active_edges=active_edges,
                further=limits.further,
            )
            least_bytes = footprint.min_bytes  # the last one is the smallest
            if least_bytes > memory_bytes:
                continue
            rounds = -(-len(blocks) * columns // limits.workers)
            cost = rounds * footprint.edge_cost(footprint.edge_steps(memory_bytes))
            if best is None or (cost, len(blocks) * columns) < best[:2]:
                best = (cost, len(blocks) * columns, blocks, columns)
    if best is None:
        raise ConfigError(
            f"resampling the layers of one model ({max(map(len, units))} graphs of {num_probes} "
            f"probes) against one target needs {least_bytes:,} bytes, the limit is "
            f"{memory_bytes:,}: raise compute.memory or take fewer resamples"
        )
    _, _, blocks, columns = best
    cuts = [num_targets * place // columns for place in range(columns + 1)]
    return [(rows, tuple(range(*cut))) for rows in blocks for cut in pairwise(cuts)]


def _joined(units: Sequence[tuple[int, ...]], count: int) -> Iterator[tuple[int, ...]]:
    """Yields about ``count`` blocks of neighbouring units, of about as many graphs each."""
    size = -(-sum(len(unit) for unit in units) // count)
    block: tuple[int, ...] = ()
    for unit in units:
        if block and len(block) + len(unit) > size:
            yield block
            block = ()
        block += unit
    yield block


def _counts(size: int) -> list[int]:
    """Returns 1 to 8, then steps of a quarter, up to ``size``: ascending."""
    counts, count = {size}, 1
    while count < size:
        counts.add(count)
        count += max(1, count // 4)
    return sorted(counts)
