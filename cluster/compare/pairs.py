"""Which pairs of graphs are to be compared: all but those that an earlier scan has compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.compare.chosen import ChosenModels
from cluster.extract.plan import ScanPlan
from depara.config import ScanConfig
from depara.errors import ModelError
from depara.objects import ProbeObjects
from depara.similarity import plan_tiles
from depara.similarity.stored import GraphRef
from depara.types import Failure


@dataclass(frozen=True)
class Reduction:
    """What is compared: every source graph with every target graph, or those of chosen models."""

    sources: tuple[GraphRef, ...]
    targets: tuple[GraphRef, ...]
    num_probes: int
    num_pixels: int
    config: ScanConfig
    objects: ProbeObjects | None = None
    chosen: ChosenModels | None = None

    @property
    def outputs(self) -> tuple[GraphRef, ...]:
        """The output graphs of all models but random-weights twins."""
        return tuple(g for g in self.sources if g.is_ranked)

    @property
    def is_square(self) -> bool:
        """Whether sources and targets are the same graphs, so that half the tiles suffice."""
        return self.sources == self.targets

    @property
    def num_pairs(self) -> int:
        """Number of rows of the similarity table."""
        if self.chosen is not None:
            return self.chosen.num_pairs
        return len(self.sources) * len(self.targets)


def make_reduction(plan: ScanPlan, failures: Sequence[Failure]) -> Reduction:
    """Returns what is compared: all graphs of the models that did not fail.

    Raises:
        ModelError: every model failed.
    """
    failed = {failure.model_id for failure in failures}
    graphs = tuple(
        GraphRef(
            model.card.model_id,
            graph.layer.name,
            graph.layer.depth,
            graph.key,
            graph.layer.name == model.card.output_layer,
            model.model.null_of,
        )
        for model in plan.models
        if model.card.model_id not in failed
        for graph in model.graphs
    )
    if not graphs:
        reasons = "\n".join(f"  {f.model_id}: {f.message}" for f in failures if f.model_id)
        raise ModelError(f"every model failed:\n{reasons}")
    square = plan.config.similarity.pairs == "all"
    outputs = tuple(graph for graph in graphs if graph.is_output and not graph.null_of)
    targets = graphs if square else outputs
    config = plan.config
    return Reduction(graphs, targets, plan.num_probes, config.node_values, config, plan.objects)


@dataclass(frozen=True)
class KnownTables:
    """The tables of an earlier scan that holds pairs; ``facts`` are its manifest's of them."""

    scan_id: str
    facts: dict[str, Any]

    @property
    def fact(self) -> dict[str, Any]:
        """What the manifest says of the similarity table."""
        return dict(self.facts["similarity"])


@dataclass(frozen=True)
class KnownChosen(KnownTables):
    """Pairs of chosen models that the similarity table of an earlier scan holds, among others."""

    models: ChosenModels

    @property
    def count(self) -> int:
        """How many pairs are known."""
        return self.models.num_pairs


@dataclass(frozen=True)
class KnownPairs(KnownTables):
    """Pairs that the similarity table of an earlier scan holds.

    ``sources`` and ``targets`` give, for each graph of a reduction, its place in that scan's table,
    or None. The similarity table has a row for each of ``num_sources`` and each target, whose
    models ``target_models`` are.
    """

    num_sources: int
    target_models: tuple[str, ...]
    sources: tuple[int | None, ...]
    targets: tuple[int | None, ...]

    @property
    def in_parts(self) -> bool:
        """Whether the table is in parts, whose rows are sorted by target."""
        return "parts" in self.fact

    def targets_of(self, fact: Mapping[str, Any] | None) -> list[int]:
        """Returns the places of the targets of one file of the table, in its order."""
        if fact is None or "targets" not in fact:
            return list(range(len(self.target_models)))
        wanted = set(fact["targets"])
        places = [place for place, name in enumerate(self.target_models) if name in wanted]
        return sorted(places, key=lambda place: self.target_models[place])

    @property
    def count(self) -> int:
        """How many pairs are known."""
        return _count_known(self.sources) * _count_known(self.targets)


Known = KnownPairs | KnownChosen


@dataclass(frozen=True)
class Region:
    """Sources against targets, as places in a reduction: a rectangle of the similarity matrix.

    ``is_symmetric``: both are the same graphs. ``mirrored``: the pairs with their roles exchanged
    are wanted too.
    """

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    is_symmetric: bool = False
    mirrored: bool = False


@dataclass(frozen=True)
class TileJob:
    """One tile with all that its task needs: graphs, and their places in the reduction."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    sources: tuple[GraphRef, ...]
    targets: tuple[GraphRef, ...]
    is_diagonal: bool
    mirrored: bool


def missing_regions(reduction: Reduction, known: Known | None) -> list[Region]:
    """Returns the rectangles that cover every pair which is not known, each once.

    Those of chosen models hold other pairs too.
    """
    if reduction.chosen is not None:
        done = known.models if isinstance(known, KnownChosen) else None
        blocks = reduction.chosen.without(done).blocks()
        return [Region(sources, targets) for sources, targets in blocks]
    assert not isinstance(known, KnownChosen)
    every_source = tuple(range(len(reduction.sources)))
    every_target = tuple(range(len(reduction.targets)))
    if known is None:
        return [Region(every_source, every_target, is_symmetric=reduction.is_square)]
    new = tuple(i for i in every_source if known.sources[i] is None)
    old = tuple(i for i in every_source if known.sources[i] is not None)
    if reduction.is_square:
        regions = [Region(new, new, is_symmetric=True), Region(new, old, mirrored=True)]
    else:
        new_targets = tuple(i for i in every_target if known.targets[i] is None)
        regions = [Region(new, every_target), Region(old, new_targets)]
    return [region for region in regions if region.sources and region.targets]


def tile_jobs(reduction: Reduction, regions: Sequence[Region], workers: int) -> list[TileJob]:
    """Returns the tiles of some regions, at least one for each worker where there are pairs."""
    compute = reduction.config.compute
    jobs = []
    for region in regions:
        tiles = plan_tiles(
            len(region.sources),
            len(region.targets),
            num_probes=reduction.num_probes,
            num_pixels=reduction.num_pixels,
            memory_bytes=int(compute.memory),
            symmetric=region.is_symmetric,
            min_tiles=workers,
            range_probes=min(compute.unit_probes, reduction.num_probes),
        )
        for tile in tiles:
            rows = region.sources[tile.source_start : tile.source_stop]
            columns = region.targets[tile.target_start : tile.target_stop]
            jobs.append(
                TileJob(
                    rows,
                    columns,
                    tuple(reduction.sources[row] for row in rows),
                    tuple(reduction.targets[column] for column in columns),
                    is_diagonal=tile.symmetric,
                    mirrored=region.mirrored or (region.is_symmetric and not tile.symmetric),
                )
            )
    return jobs


def _count_known(places: Sequence[int | None]) -> int:
    return sum(place is not None for place in places)
