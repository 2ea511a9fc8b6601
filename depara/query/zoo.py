"""The zoo that a query is compared with: a finished scan's graphs and settings, as it stored them.

``G`` graphs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pydantic import ValidationError

from depara.config import ScanConfig
from depara.errors import ConfigError, StorageUnavailableError, StoreError
from depara.results import ScanResults
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef, check_graph, graph_refs
from depara.store.graphs import CommittedGraph, open_graph
from depara.store.keys import comparison_settings
from depara.store.storage import Storage

_READS_AT_ONCE = 8


@dataclass(frozen=True)
class Zoo:
    """The graphs of a scan that are compared, and the settings that they were made with.

    ``graphs`` are all of its graphs, twins among them, in the order of its tables; ``left_out``
    says in words which of them cannot be used.
    """

    scan_id: str
    config: ScanConfig
    probe_set_key: str
    num_probes: int
    graphs: tuple[GraphRef, ...]
    left_out: tuple[str, ...] = ()

    @property
    def num_pixels(self) -> int:
        """Pixels of all maps of one node."""
        return self.config.node_values

    @property
    def outputs(self) -> tuple[GraphRef, ...]:
        """The output graphs of all models but twins: sources and targets of the model ranking."""
        return tuple(graph for graph in self.graphs if graph.is_ranked)

    @property
    def candidates(self) -> tuple[GraphRef, ...]:
        """All graphs but those of twins: what may be cut."""
        return tuple(graph for graph in self.graphs if not graph.null_of)

    def of_model(self, model_id: str) -> tuple[GraphRef, ...]:
        """Returns the graphs of one model."""
        return tuple(graph for graph in self.graphs if graph.model_id == model_id)

    def without(self, model_id: str) -> Zoo:
        """Returns the zoo without a model and its twins."""
        kept = (g for g in self.graphs if model_id not in (g.model_id, g.null_of))
        return replace(self, graphs=tuple(kept))

    def of_models(self, models: Collection[str]) -> Zoo:
        """Returns the zoo with some models alone, and their twins."""
        kept = (g for g in self.graphs if (g.null_of or g.model_id) in models)
        return replace(self, graphs=tuple(kept))

    def without_graphs(self, unusable: dict[str, str]) -> Zoo:
        """Returns the zoo without graphs that cannot be used; without an output graph, its model.

        Args:
            unusable: why, by key.

        Raises:
            StoreError: nothing is left.
        """
        gone = {g.model_id for g in self.graphs if g.is_output and g.key in unusable}
        kept = tuple(g for g in self.graphs if g.key not in unusable and g.model_id not in gone)
        reasons = [
            f"model {graph.model_id!r}, layer {graph.layer!r}: {unusable[graph.key]}"
            + ("; the whole model is left out" if graph.is_output else "")
            for graph in self.graphs
            if graph.key in unusable
        ]
        if not any(graph.is_ranked for graph in kept):
            raise StoreError(
                f"no graph of scan {self.scan_id} can be used: {reasons[0]}; run the scan again"
            )
        return replace(self, graphs=kept, left_out=(*self.left_out, *reasons))


def read_zoo(scan: ScanResults) -> Zoo:
    """Returns the graphs and settings of a finished scan.

    Raises:
        ConfigError: it is of a version whose graphs cannot be compared with new ones.
        StoreError: a table is missing or damaged.
    """
    manifest = scan.manifest
    too_old = ConfigError(
        f"scan {scan.scan_id} was made by another version of depara, whose graphs cannot be "
        "compared with new ones: run the scan again, and ask the new one"
    )
    try:
        config = ScanConfig.model_validate(manifest["config"])
        key, num_probes = str(manifest["probe_set"]), int(manifest["num_probes"])
        same = comparison_settings(config, key, num_probes) == manifest["comparison"]
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise too_old from error
    if not same:
        raise too_old
    models = scan.arrow_table("models").select(["model_id", "null_of"]).to_pylist()
    graphs = graph_refs(scan.arrow_table("layers").to_pylist(), models)
    if not any(graph.is_ranked for graph in graphs):
        raise ConfigError(f"scan {scan.scan_id} has no model to compare with")
    return Zoo(scan.scan_id, config, key, num_probes, graphs)


def open_zoo(storage: Storage, zoo: Zoo) -> tuple[Zoo, dict[str, CommittedGraph]]:
    """Returns the zoo without graphs that are not there any more, and the others by key.

    Raises:
        StoreError: nothing is left.
        StorageUnavailableError: the storage does not answer.
    """
    opened: dict[str, CommittedGraph] = {}
    unusable: dict[str, str] = {}

    def look(key: str) -> CommittedGraph | str:
        try:
            graph = open_graph(storage, key)
        except StorageUnavailableError:
            raise
        except StoreError as error:
            return str(error)
        marker = graph.marker
        if (marker.num_probes, marker.num_pixels) != (zoo.num_probes, zoo.num_pixels):
            return "is of other probes or maps"
        return graph

    keys = list(dict.fromkeys(graph.key for graph in zoo.graphs))
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        for key, found in zip(keys, pool.map(look, keys), strict=True):
            if isinstance(found, str):
                unusable[key] = found
            else:
                opened[key] = found
    return (zoo.without_graphs(unusable) if unusable else zoo), opened


def unusable_graphs(graphs: Sequence[CommittedGraph], scores: Collection[str]) -> dict[str, str]:
    """Returns why each graph that cannot be compared cannot, by key: all of it is read.

    Raises:
        StorageUnavailableError: the storage does not answer.
    """

    def look(graph: CommittedGraph) -> str | None:
        try:
            check_graph(graph, list(scores))
        except StorageUnavailableError:
            raise
        except NUMERIC_ERRORS as error:
            return str(error)
        return None

    import threadpoolctl

    with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        reasons = zip(graphs, pool.map(look, graphs), strict=True)
        return {graph.marker.graph_key: why for graph, why in reasons if why is not None}
