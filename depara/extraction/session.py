"""One model on one worker: opened once, fed with probe ranges, committed at the end."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from depara.attribution import Bus, FeatureBank
from depara.attribution.layer_pass import RETURNED
from depara.extraction.graph_checks import (
    checked_edges,
    feature_notes,
    feature_variation,
    map_notes,
)
from depara.extraction.jobs import CommitResult, ModelJob
from depara.extraction.memory import PeakMemory
from depara.extraction.objects import ObjectFeatures
from depara.extraction.outputs import ReturnedValues, unsteady_note
from depara.extraction.passes import ModelPasses
from depara.extraction.vectors import KeptVectors
from depara.graph import edge_index
from depara.ledger import part_bytes
from depara.models import LoadedModel
from depara.models.detectors import num_detection_tokens
from depara.store.graphs import GraphWriter
from depara.store.keys import model_settings
from depara.store.markers import GraphMarker
from depara.store.storage import Storage
from depara.types import NodeMaps, Note, ProbeRange, UInt8


def open_writers(job: ModelJob, storage: Storage) -> dict[str, GraphWriter]:
    """Returns the writers of those graphs that nobody has committed since the plan was made.

    And of those beside which features of the job's objects are to be written.
    """
    writers = {
        layer.name: GraphWriter(storage, job.graph_keys[layer.name], fresh=job.fresh)
        for layer in job.card.layers
        if layer.name in job.graph_keys
    }

    def is_whole(writer: GraphWriter) -> bool:
        has_objects = job.objects is None or writer.has_objects(job.objects.key)
        return writer.is_committed and has_objects

    return {name: writer for name, writer in writers.items() if not is_whole(writer)}


class FoundSession:
    """Stands for a model whose graphs another scan has committed meanwhile: nothing is left."""

    def __init__(self, job: ModelJob, device: str) -> None:
        self.job = job
        self._device = device

    def extract(
        self, probes: ProbeRange, canvas_NSS3: UInt8 | Tensor, probe_ids: list[str]
    ) -> None:
        """Does nothing."""

    def commit(self) -> CommitResult:
        """Says that every graph was found."""
        return CommitResult(0.0, 0, 0, self._device, len(self.job.graph_keys))

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class ModelSession:
    """Computes the missing graphs of one model; writing overlaps with computing.

    The device does the forward and backward passes on the caller's thread; background threads
    compress and write the node files: one where the CPU computes, else as many as there are CPUs
    beside the caller's. `commit` waits for them before any marker is written.
    """

    def __init__(
        self,
        job: ModelJob,
        model: LoadedModel,
        writers: dict[str, GraphWriter],
        bus: Bus,
        attempt: int,
    ) -> None:
        self.job = job
        self._bus = bus
        self._device = str(bus.device)
        self._seconds = 0.0
        self._reused_files = 0
        self._stack = ExitStack()
        compute, card = job.settings.compute, job.card
        self._writers = writers
        self._layers = [layer for layer in card.layers if layer.name in writers]
        self._new = {name: one for name, one in writers.items() if not one.is_committed}
        num_probes = job.ranges[-1].stop
        self._notes: dict[str, tuple[Note, ...]] = {}
        self._variation: dict[str, float] = {}
        self._memory = PeakMemory(self._device)
        self._bank: FeatureBank | None = None
        self._returned: ReturnedValues | None = None
        if job.settings.store_outputs and card.output_layer in self._new:
            self._returned = ReturnedValues(num_probes)
        self._vectors: KeptVectors | None = None
        if job.settings.store_features and card.output_layer in self._new:
            output = next(layer for layer in self._layers if layer.name == card.output_layer)
            self._vectors = KeptVectors(num_probes, output.num_features)
        self._objects: ObjectFeatures | None = None
        if job.objects is not None:
            self._objects = ObjectFeatures(
                job.objects,
                self._layers,
                input_side=card.input.side,
                num_last=num_detection_tokens(model.module),
                memory_bytes=int(compute.memory),
                bus=bus,
            )
        hands_return = self._returned is not None
        self._passes = ModelPasses(
            job, model, self._layers, bus, attempt, hands_return=hands_return
        )
        self._stack.callback(self._passes.close)
        writers_at_once = max(1, int(compute.num_cpus) - 1) if bus.is_separate else 1
        self._pool = ThreadPoolExecutor(writers_at_once, thread_name_prefix="depara-write")
        self._stack.callback(
            self._pool.shutdown
        )  # what is computed is written: the next try reuses it
        self._writes: deque[tuple[Future[None], int]] = deque()

    def extract(
        self, probes: ProbeRange, canvas_NSS3: UInt8 | Tensor, probe_ids: list[str]
    ) -> None:
        """Computes one probe range: features always, maps of the layers that lack the file."""
        started = time.perf_counter()
        if self._bank is None:
            self._open(canvas_NSS3, probe_ids)
        lacking = [
            name
            for name, writer in self._new.items()
            if not writer.has_nodes(probes, probe_ids, self.job.settings.node_values)
        ]
        self._reused_files += len(self._new) - len(lacking)
        maps = self._passes.extract(
            canvas_NSS3,
            probe_ids,
            lambda layer, row, features: self._take(layer, probes.start + row, features),
            lacking,
            lambda layer, row, values: self._take_values(layer, probes.start + row, values),
        )
        for name in lacking:
            self._write_behind(name, probes, probe_ids, maps[name])
        self._seconds += time.perf_counter() - started

    def commit(self) -> CommitResult:
        """Computes the edges, waits for all writes, and commits every graph of the model.

        Raises:
            NonFiniteError: a layer's features give edges that are not finite.
            ModelError: a layer's features cannot be compared.
            StoreError: something could not be written.
        """
        started = time.perf_counter()
        assert self._bank is not None
        pairs = edge_index(self.job.ranges[-1].stop)
        num_features = {layer.name: layer.num_features for layer in self._layers}
        normalize = self.job.settings.edges.normalize
        for name, writer in self._new.items():
            grams, cosine_E = checked_edges(self.job.card.model_id, name, self._bank, normalize)
            self._notes[name] = feature_notes(name, cosine_E)
            self._variation[name] = feature_variation(grams.raw_NN)
            writer.write_edges(pairs, cosine_E)
            writer.write_grams(grams)
        self._write_outputs()
        if self._vectors is not None:
            self._writers[self.job.card.output_layer].write_vectors(self._vectors.values_NC)
        self._write_objects()
        self.flush()
        seconds = self._seconds + time.perf_counter() - started
        peak_bytes = self._memory.peak_bytes()
        for name, writer in self._new.items():
            writer.commit(self._marker(name, num_features[name], seconds, peak_bytes))
        found = len(self.job.graph_keys) - len(self._writers)
        return CommitResult(seconds, peak_bytes, self._reused_files, self._device, found)

    def _open(self, canvas_NSS3: UInt8 | Tensor, probe_ids: list[str]) -> None:
        """Chooses the arithmetic by the first probes; only then is memory taken for all of them."""
        self._passes.open(canvas_NSS3, probe_ids)
        self._bank = self._stack.enter_context(self._passes.bank(self.job.ranges[-1].stop))
        for name, writer in self._writers.items():
            writer.computed_in = self._passes.computed_in(name)

    def _take(self, layer: str, row0: int, features_BD: Tensor) -> None:
        if layer != RETURNED:
            assert self._bank is not None
            self._bank.write(layer, row0, features_BD)
            if self._vectors is not None and layer == self.job.card.output_layer:
                self._vectors.write(row0, self._bus.fetch("features", features_BD))
        elif self._returned is not None:
            self._returned.write(row0, self._bus.fetch("outputs", features_BD))

    def _take_values(self, layer: str, row0: int, values: Tensor) -> None:
        if self._objects is not None:
            self._objects.write(layer, row0, values)

    def _write_objects(self) -> None:
        """Writes features of objects beside the graphs: before they are committed."""
        if self._objects is not None:
            for name, writer in self._writers.items():
                writer.write_objects(self._objects.key, *self._objects.result(name))

    def _write_outputs(self) -> None:
        """Writes what the model returned beside the graph of its output layer, or notes why not."""
        if self._returned is None:
            return
        layer = self.job.card.output_layer
        if self._passes.return_differs:
            self._notes[layer] += (unsteady_note(layer),)
            return
        note, outputs_NC = self._returned.note(layer), self._returned.complete()
        if note is not None:
            self._notes[layer] += (note,)
        if outputs_NC is not None:
            self._writers[layer].write_outputs(outputs_NC)

    def flush(self) -> None:
        """Waits until every node file is written."""
        while self._writes:
            self._writes.popleft()[0].result()

    def close(self) -> None:
        """Frees features, hooks and threads; uncommitted node files stay for the next try."""
        self._stack.close()

    def _write_behind(
        self, name: str, probes: ProbeRange, probe_ids: list[str], nodes: NodeMaps
    ) -> None:
        """Queues a write; waits for older ones while too many bytes are in the queue."""
        limit_bytes = part_bytes(self.job.settings.compute.memory, "writes")
        while self._writes and sum(size for _, size in self._writes) > limit_bytes:
            self._writes.popleft()[0].result()
        while self._writes and self._writes[0][0].done():
            self._writes.popleft()[0].result()
        write = self._pool.submit(self._writers[name].write_nodes, probes, probe_ids, nodes)
        self._writes.append((write, nodes.maps_NP.nbytes))

    def _marker(self, name: str, num_features: int, seconds: float, peak_bytes: int) -> GraphMarker:
        facts = self._writers[name].node_facts
        settings: dict[str, Any] = {
            **self.job.settings.method,
            **model_settings(self.job.card),
        }
        return GraphMarker(
            graph_key=self.job.graph_keys[name],
            model_id=self.job.card.model_id,
            layer=name,
            num_probes=self.job.ranges[-1].stop,
            num_pixels=self.job.settings.node_values,
            num_features=num_features,
            probe_set=self.job.probe_set_key,
            ranges=self.job.ranges,
            files={},
            settings=settings,
            seconds=seconds,
            peak_memory_bytes=peak_bytes,
            conditioning=facts.median_conditioning,
            precision=self._passes.record(name),
            notes=(
                *self._passes.notes(name),
                *self._notes[name],
                *map_notes(name, facts, self._variation[name]),
            ),
        )
