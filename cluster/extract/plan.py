"""The plan: which graphs exist, which are missing, and the work units that compute them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from cluster.extract.costs import extraction_seconds
from cluster.extract.units import CommitUnit, ExtractUnit
from cluster.pool.units import Group, Unit
from depara.config import ModelConfig, ScanConfig
from depara.extraction.jobs import GraphSettings, ModelJob
from depara.extraction.ranges import fitting_ranges, split_probes
from depara.objects import ProbeObjects
from depara.store.keys import graph_key, method_settings
from depara.types import LayerInfo, ModelCard, ProbeRange


@dataclass(frozen=True)
class GraphPlan:
    """One graph of the scan: its layer, its key, and whether it is committed already."""

    layer: LayerInfo
    key: str
    committed: bool


@dataclass(frozen=True)
class ModelPlan:
    """One model of the scan and its graphs in firing order."""

    model: ModelConfig
    card: ModelCard
    graphs: tuple[GraphPlan, ...]

    @property
    def missing(self) -> tuple[GraphPlan, ...]:
        """The graphs that no earlier scan has committed."""
        return tuple(graph for graph in self.graphs if not graph.committed)

    def feature_bytes(self, num_probes: int) -> int:
        """Returns the bytes of the features of the missing graphs, all layers and probes."""
        return sum(4 * num_probes * graph.layer.num_features for graph in self.missing)


@dataclass(frozen=True)
class ScanPlan:
    """All that a scan will do, before any of it is done."""

    config: ScanConfig
    models: tuple[ModelPlan, ...]
    probe_set_key: str
    ranges: tuple[ProbeRange, ...]
    fresh: bool = False
    is_labelled: bool = False
    objects: ProbeObjects | None = None

    @property
    def graph_keys(self) -> list[str]:
        """The keys of all graphs, committed or not."""
        return [graph.key for model in self.models for graph in model.graphs]

    @property
    def num_probes(self) -> int:
        """Number of probes."""
        return self.ranges[-1].stop

    @property
    def num_graphs(self) -> int:
        """Number of graphs of all models, committed or not."""
        return sum(len(model.graphs) for model in self.models)

    @property
    def num_missing(self) -> int:
        """Number of graphs to compute."""
        return sum(len(model.missing) for model in self.models)

    @property
    def map_bytes(self) -> int:
        """Bytes of a graph's maps, float16, which hardly compress."""
        return 2 * self.num_probes * self.config.node_values

    @property
    def graph_bytes(self) -> int:
        """Upper estimate of a graph's files: maps, 12 bytes per edge and 24 per pair of Grams."""
        num_edges = self.num_probes * (self.num_probes - 1) // 2
        return self.map_bytes + 12 * num_edges + 24 * (num_edges + self.num_probes)

    @property
    def bytes_to_write(self) -> int:
        """Upper estimate of the bytes of all missing graphs."""
        return self.num_missing * self.graph_bytes

    def with_missing(self, keys: Collection[str]) -> ScanPlan:
        """Returns the plan that is left when all graphs but these are committed."""
        models = tuple(
            replace(
                model,
                graphs=tuple(replace(g, committed=g.key not in keys) for g in model.graphs),
            )
            for model in self.models
        )
        return replace(self, models=models, fresh=False)

    def groups(self, rank: int = 0) -> list[Group]:
        """Returns the work: one group per model with missing graphs, each graph computed once.

        Two models with the same weights share their graphs: the first one listed computes them.

        Args:
            rank: how many scans that started earlier are at the same work now. The first one takes
                the longest groups first; the next ones begin elsewhere, so that they meet as late
                as possible and find done what the others have done.
        """
        claimed: set[str] = set()
        groups = []
        settings = GraphSettings.of(self.config, is_labelled=self.is_labelled)
        for model in self.models:
            keys = {
                graph.layer.name: graph.key for graph in model.missing if graph.key not in claimed
            }
            claimed.update(keys.values())
            if keys:
                groups.append(self._group(model, keys, settings))
        return _begin_elsewhere(groups, rank) if rank else groups

    def ranges_for(self, num_layers: int) -> tuple[ProbeRange, ...]:
        """Returns a model's probe ranges: the scan's, halved until all its layers' maps fit."""
        memory_bytes = int(self.config.compute.memory)
        return fitting_ranges(self.ranges, num_layers, self.config.node_values, memory_bytes)

    def _group(self, model: ModelPlan, keys: dict[str, str], settings: GraphSettings) -> Group:
        ranges = self.ranges_for(len(keys))
        job = ModelJob(
            model.model,
            model.card,
            keys,
            self.probe_set_key,
            ranges,
            settings,
            self.fresh,
            self.objects,
        )
        units: list[Unit] = [ExtractUnit(job, probes) for probes in ranges]
        seconds = extraction_seconds(model.card, keys, self.num_probes, self.config.attribution)
        return Group(model.card.model_id, (*units, CommitUnit(job)), seconds)


def make_plan(
    config: ScanConfig,
    cards: Sequence[ModelCard],
    probe_set_key: str,
    num_probes: int,
    find_committed: Callable[[Sequence[str]], Collection[str]],
    *,
    fresh: bool = False,
    is_labelled: bool = False,
    objects: ProbeObjects | None = None,
) -> ScanPlan:
    """Returns the plan for the models that could be resolved.

    Args:
        config: the scan.
        cards: one per model that works; models of the config without one are left out.
        probe_set_key: identity of the probe set.
        num_probes: size of the probe set.
        find_committed: returns those of some graph keys that are committed.
        fresh: compute all graphs, whatever is committed.
        is_labelled: whether any probe has a label.
        objects: of the probes, whose features are to be kept beside the graphs.
    """
    settings = method_settings(config)
    by_id = {card.model_id: card for card in cards}
    keys = {
        (card.model_id, layer.name): graph_key(card, layer, probe_set_key, settings)
        for card in cards
        for layer in card.layers
    }
    committed = set() if fresh else set(find_committed(list(keys.values())))
    models = []
    for model in config.models:
        card = by_id.get(model.id)
        if card is not None:
            graphs = tuple(
                GraphPlan(layer, key := keys[model.id, layer.name], key in committed)
                for layer in card.layers
            )
            models.append(ModelPlan(model, card, graphs))
    ranges = split_probes(num_probes, config.compute.unit_probes)
    return ScanPlan(config, tuple(models), probe_set_key, ranges, fresh, is_labelled, objects)


def _begin_elsewhere(groups: list[Group], rank: int) -> list[Group]:
    """Groups in another order: backwards for rank 1, from other places onwards after that."""
    order = sorted(groups, key=lambda group: (-group.seconds, group.name))
    if rank == 1:
        order.reverse()
    else:
        start = len(order) * (rank - 1) // rank
        order = order[start:] + order[:start]
    return [replace(group, seconds=float(-place)) for place, group in enumerate(order)]
