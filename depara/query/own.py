"""The queried model itself: its card, its keys, and its graphs, which are stored or made now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ByteSize

from depara.config import ComputeConfig, ModelConfig
from depara.errors import ConfigError, StoreError
from depara.fingerprints import model_fingerprints
from depara.query.progress import Progress
from depara.query.zoo import Zoo, unusable_graphs
from depara.similarity.stored import GraphRef
from depara.store.graphs import CommittedGraph, discard_graph, open_graph
from depara.store.keys import graph_key, method_settings
from depara.store.known import known_cards, write_card
from depara.store.storage import Storage
from depara.types import ModelCard

if TYPE_CHECKING:
    from depara.models import LoadedModel


@dataclass(frozen=True)
class OwnModel:
    """A model whose layers are chosen. ``loaded`` is the open model where it had to be opened."""

    entry: ModelConfig
    card: ModelCard
    keys: dict[str, str]
    loaded: LoadedModel | None = None

    @property
    def refs(self) -> tuple[GraphRef, ...]:
        """Its graphs in firing order."""
        name, output = self.card.model_id, self.card.output_layer
        return tuple(
            GraphRef(name, layer.name, layer.depth, self.keys[layer.name], layer.name == output)
            for layer in self.card.layers
        )

    @property
    def output(self) -> GraphRef:
        """The graph that stands for it as a target, and as a source."""
        return next(ref for ref in self.refs if ref.is_output)


def identify(entry: ModelConfig, zoo: Zoo, storage: Storage, on_progress: Progress) -> OwnModel:
    """Returns the model's card: known from before, or from opening it now.

    Raises:
        ModelError: it cannot be opened, or cut as it is asked to be.
        ConfigError: it must be opened, and torch is missing.
    """
    side, features = zoo.config.canvas.side, zoo.config.edges.features

    def fingerprint() -> str | None:
        return model_fingerprints([entry], canvas_side=side, features=features)[entry.id]

    before = fingerprint()
    known = known_cards(storage, [before]) if before else {}
    loaded = None
    card = known.get(before or "")
    if card is None or card.model_id != entry.id:
        on_progress("opening the model", 0, 0)
        with torch_needed():
            from depara.models import describe_model
        loaded, card = describe_model(entry, canvas_side=side, features=features)
        if before is not None and before == fingerprint():
            write_card(storage, before, card)
    settings = method_settings(zoo.config)
    keys = {
        layer.name: graph_key(card, layer, zoo.probe_set_key, settings) for layer in card.layers
    }
    return OwnModel(entry, card, keys, loaded)


def own_graphs(
    own: OwnModel, zoo: Zoo, storage: Storage, mine: Storage, on_progress: Progress
) -> dict[str, CommittedGraph]:
    """Returns the model's graphs by layer: those that are stored and sound, the others made now.

    Args:
        own: the model.
        zoo: the scan that is asked.
        storage: the output: its graphs, and its canvases, which are read only.
        mine: where new graphs go.
        on_progress: told what is done.

    Raises:
        ModelError: the model cannot be run.
        StoreError: the scan's canvases are missing or damaged, or something cannot be written.
        ConfigError: torch is missing.
    """
    found: dict[str, CommittedGraph] = {}
    for ref in own.refs:
        graph = _sound(storage, ref.key, zoo) or _sound(mine, ref.key, zoo)
        if graph is None:
            discard_graph(mine, ref.key)  # a damaged one would be taken for the new one
        else:
            found[ref.layer] = graph
    missing = {ref.layer: ref.key for ref in own.refs if ref.layer not in found}
    if missing:
        _make(own, missing, zoo, storage, mine, on_progress)
        found |= {layer: open_graph(mine, key) for layer, key in missing.items()}
    return found


def _make(
    own: OwnModel,
    missing: dict[str, str],
    zoo: Zoo,
    storage: Storage,
    mine: Storage,
    on_progress: Progress,
) -> None:
    import threadpoolctl

    with torch_needed():
        from depara.extraction.canvases import load_canvases
        from depara.extraction.graphs import device_here, make_graphs
        from depara.extraction.jobs import GraphSettings, ModelJob
        from depara.extraction.ranges import fitting_ranges, split_probes

    config = zoo.config
    compute = compute_here(config.compute)
    settings = replace(GraphSettings.of(config), compute=compute)
    memory_bytes = int(compute.memory)
    probe_set, canvas_NSS3 = load_canvases(
        storage,
        zoo.probe_set_key,
        memory_bytes=memory_bytes,
        spill_dir=compute.spill_dir,
        discard=False,
    )
    ranges = split_probes(zoo.num_probes, compute.unit_probes)
    ranges = fitting_ranges(ranges, len(missing), config.node_values, memory_bytes)
    job = ModelJob(own.entry, own.card, missing, zoo.probe_set_key, ranges, settings)
    on_progress("computing graphs", 0, zoo.num_probes)
    # Gram matrices are small products, one after the other: threads that wait for each other cost
    # more than they save, above all where other programs run.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        make_graphs(
            job,
            own.loaded,
            mine,
            probe_set,
            canvas_NSS3,
            device=device_here(compute.num_gpus),
            on_progress=lambda done, total: on_progress("computing graphs", done, total),
        )


def compute_here(compute: ComputeConfig) -> ComputeConfig:
    """Returns a scan's resources as far as this machine has them.

    Half of its memory at most; the folder for what does not fit only where there is one.
    """
    memory_bytes = int(compute.memory)
    with suppress(ValueError, OSError, AttributeError):
        machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory_bytes = min(memory_bytes, machine_bytes // 2)
    folder = compute.spill_dir
    here = folder if folder is not None and Path(folder).is_dir() else None
    return compute.model_copy(update={"memory": ByteSize(memory_bytes), "spill_dir": here})


def _sound(storage: Storage, key: str, zoo: Zoo) -> CommittedGraph | None:
    """A committed graph all of which can be used."""
    try:
        graph = open_graph(storage, key)
    except StoreError:
        return None
    return None if unusable_graphs([graph], zoo.config.similarity.computed_scores) else graph


@contextmanager
def torch_needed() -> Iterator[None]:
    """Says what to install where an import fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the model must be opened, and {error.name or 'torch'} is not installed: "
            'pip install "depara[scan]" (timm: and hf: models need the extras timm and hf)'
        ) from error
