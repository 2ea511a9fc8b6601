"""The query: one model is described, its graphs are made, compared, and the answer is kept.

Only the folder of the query is written, and the card of a model that had to be opened.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from depara.config import ModelConfig
from depara.config.model_entry import load_model_entry, model_entry
from depara.errors import ConfigError, DeparaError, StorageUnavailableError, StoreError
from depara.identity import short_hash
from depara.locations import redact
from depara.query.answer import QueryAnswer
from depara.query.comparison import compare
from depara.query.cosines import Graphs
from depara.query.intervals import query_intervals
from depara.query.own import OwnModel, compute_here, identify, own_graphs
from depara.query.progress import Progress, silent
from depara.query.tables import describing_tables, ranking_tables
from depara.query.zoo import Zoo, open_zoo, read_zoo, unusable_graphs
from depara.results import ScanResults
from depara.similarity.stored import NUMERIC_ERRORS
from depara.store.graphs import CommittedGraph
from depara.store.queries import (
    query_storage,
    read_query_manifest,
    read_query_tables,
    write_query,
)
from depara.store.storage import Storage

QUERY_VERSION = 1
"""Raised when an answer changes for equal graphs: older ones are then not taken again."""

_MOST_WORKERS = 4


class ShortList(Protocol):
    """What confines a query to some models of a zoo (`depara.nearest.ShortList`)."""

    @property
    def size(self) -> int:
        """How many models are left at most."""

    def choose(self, output: str, zoo: Zoo, graph: CommittedGraph, tell: Progress) -> Zoo:
        """Returns the zoo with the models that are to be compared with an output graph."""


def query(
    scan: ScanResults,
    model: ModelConfig | Mapping[str, Any] | str,
    *,
    fresh: bool = False,
    short_list: ShortList | None = None,
    on_progress: Progress | None = None,
) -> QueryAnswer:
    """Returns what a finished scan says of a model that it does not have.

    The model's graphs are computed in this process, on the scan's probes and with its settings,
    and compared with all graphs of the scan. The answer is kept in the output below ``queries/``
    and taken from there when the same model is asked of the same scan again.

    Args:
        scan: the scan, open.
        model: the fields of an entry of a scan file (``source``, ``weights``, ``layers``, ...), or
            a path or URI of a YAML file with one entry below ``models``.
        fresh: compute the answer anew, whatever is kept.
        short_list: chooses the models that are compared, as if the zoo had no others; None is all.
        on_progress: told what is done, and how much of it.

    Raises:
        ConfigError: the entry does not validate, its id is another model's of the scan, torch is
            needed and missing, or the scan is of a version that cannot be compared.
        ModelError: the model cannot be opened, cut or run.
        StoreError: canvases of the scan are missing or damaged, no graph of it can be used, or
            something cannot be written.
    """
    started, tell = time.perf_counter(), on_progress or silent
    entry = _entry(model)
    storage = Storage(scan.output)
    zoo = read_zoo(scan)
    own = identify(entry, zoo, storage, tell)
    zoo = _without_itself(own, zoo, scan)
    query_id = _query_id(own, zoo, short_list)
    if not fresh:
        with suppress(StoreError):  # damaged: made anew
            manifest = read_query_manifest(storage, query_id)
            if manifest is not None and not manifest["left_out"]:
                return QueryAnswer(scan, manifest, read_query_tables(storage, manifest), True)
    return _Query(scan, storage, own, zoo, query_id, short_list, tell).run(started)


def _entry(model: ModelConfig | Mapping[str, Any] | str) -> ModelConfig:
    if isinstance(model, ModelConfig):
        return model
    return load_model_entry(model) if isinstance(model, str) else model_entry(model)


def _without_itself(own: OwnModel, zoo: Zoo, scan: ScanResults) -> Zoo:
    """The zoo without the model, where it is in it: no model is its own source.

    Raises:
        ConfigError: the zoo has another model under this id.
    """
    name = own.card.model_id
    if not zoo.of_model(name):
        return zoo
    models = scan.table("models").set_index("model_id")
    if models.loc[name, "weights_sha256"] != own.card.weights_sha256:
        raise ConfigError(
            f"scan {scan.scan_id} has another model {name!r}, with other weights: ask for this "
            "one under an id of its own (--id, or `id` in its entry)"
        )
    rest = zoo.without(name)
    if not rest.outputs:
        raise ConfigError(f"scan {scan.scan_id} has no model beside {name!r} to compare it with")
    return rest


def _query_id(own: OwnModel, zoo: Zoo, short_list: ShortList | None) -> str:
    identity: dict[str, Any] = {
        "version": QUERY_VERSION,
        "scan": zoo.scan_id,
        "model": own.card.model_id,
        "graphs": own.keys,
        "output": own.card.output_layer,
        **({"short_list": short_list.size} if short_list else {}),
    }
    return f"{own.card.model_id}-{short_hash(identity)[:12]}"


@dataclass
class _Query:
    """One query at work."""

    scan: ScanResults
    storage: Storage
    own: OwnModel
    zoo: Zoo
    query_id: str
    short_list: ShortList | None
    on_progress: Progress

    def run(self, started: float) -> QueryAnswer:
        """Computes, writes and returns the answer."""
        mine = query_storage(self.storage, self.query_id)
        zoo = self._shortened(mine)
        self.on_progress("reading the zoo", 0, 0)
        zoo, opened = open_zoo(self.storage, zoo)
        own_by_layer = own_graphs(self.own, zoo, self.storage, mine, self.on_progress)
        made_s = time.perf_counter()
        own_by_key = {self.own.keys[layer]: graph for layer, graph in own_by_layer.items()}
        zoo, tables, compared_s = self._analysed(zoo, opened, own_by_key)
        tables |= describing_tables(self.own, own_by_layer)
        ended = time.perf_counter()
        record = {
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": json.loads(redact(self.own.entry.model_dump_json())),
            "model_id": self.own.card.model_id,
            "output_layer": self.own.card.output_layer,
            "graph_keys": self.own.keys,
            "left_out": [redact(reason) for reason in zoo.left_out],
            "num_graphs": len(zoo.graphs),
            "num_sources": len(zoo.outputs),
            **({"short_list_of": len(self.zoo.outputs)} if self.short_list else {}),
            "seconds": {
                "graphs": round(made_s - started, 3),
                "comparison": round(compared_s, 3),
                "intervals": round(ended - made_s - compared_s, 3),
                "all": round(ended - started, 3),
            },
        }
        manifest = write_query(self.storage, self.query_id, zoo.scan_id, tables, record)
        return QueryAnswer(self.scan, manifest, tables, False)

    def _shortened(self, mine: Storage) -> Zoo:
        """The zoo, or what a short list leaves of it: the model's graphs are then made first."""
        if self.short_list is None:
            return self.zoo
        graphs = own_graphs(self.own, self.zoo, self.storage, mine, self.on_progress)
        output = graphs[self.own.card.output_layer]
        return self.short_list.choose(self.scan.output, self.zoo, output, self.on_progress)

    def _analysed(
        self, zoo: Zoo, opened: Graphs, own_by_key: Graphs
    ) -> tuple[Zoo, dict[str, pa.Table], float]:
        """The tables, and the seconds of the comparison; graphs that end it are left out, once."""
        graphs = {**opened, **own_by_key}
        try:
            return zoo, *self._tables(zoo, graphs)
        except StorageUnavailableError:
            raise
        except NUMERIC_ERRORS as error:
            self.on_progress("looking for damaged graphs", 0, 0)
            scores = zoo.config.similarity.computed_scores
            keys = dict.fromkeys(graph.key for graph in zoo.graphs)
            unusable = unusable_graphs([opened[key] for key in keys], scores)
            if not unusable:
                if isinstance(error, DeparaError):
                    raise
                raise StoreError(
                    f"the graphs of scan {zoo.scan_id} cannot be compared: {error}; run the scan "
                    "again"
                ) from error
        zoo = zoo.without_graphs(unusable)
        return zoo, *self._tables(zoo, graphs)

    def _tables(self, zoo: Zoo, graphs: Graphs) -> tuple[dict[str, pa.Table], float]:
        import threadpoolctl

        memory_bytes = int(compute_here(zoo.config.compute).memory)
        workers = max(1, min(os.cpu_count() or 1, _MOST_WORKERS))
        with threadpoolctl.threadpool_limits(1):  # small products: more only get in their own way
            started = time.perf_counter()
            # The mean map of a whole zoo is not known from some of its models.
            has_centre = not self.short_list and "centre" in self.scan.manifest["tables"]
            stored_centre = self.scan.arrow_table("centre") if has_centre else None
            found = compare(
                self.own, zoo, graphs, memory_bytes, workers, self.on_progress, stored_centre
            )
            tables = ranking_tables(self.own, zoo, found.similarity, self.scan, found.centre)
            seconds = time.perf_counter() - started
            tables |= query_intervals(
                self.own, zoo, graphs, found, memory_bytes, workers, self.on_progress
            )
        return tables, seconds
