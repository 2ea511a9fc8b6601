"""The nodes and features of one model: canvases in, unit-norm maps and features per layer out.

Shapes: ``N`` probes, ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels, ``D`` features,
``L`` layers.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from depara.attribution.batch_pass import BatchPass, attribution_of
from depara.attribution.batching import CPU_SIZES, CUDA_SIZES, BatchTuner, Choice
from depara.attribution.bus import Bus
from depara.attribution.extraction_job import ExtractionJob, FeatureSink
from depara.attribution.forms import PLAIN, Difference, Form, ProbeValues, ReturnProof
from depara.attribution.layer_pass import LayerPass
from depara.attribution.memory import PeakMemory, freed_memory_kept
from depara.attribution.pass_proof import TOLERANCES, Evaluate, PassProof, must_double
from depara.attribution.prepared import PreparedModel
from depara.attribution.torch_state import arithmetic
from depara.config.schema import Arithmetic, AttributionConfig, FeatureReduction
from depara.errors import ModelError, OutOfMemoryError
from depara.ledger import device_part, part_bytes
from depara.models.compiled import compiler_off
from depara.models.dry_pass import layer_module
from depara.models.foreign import is_out_of_memory, one_line
from depara.types import LayerInfo, NodeMaps, Note, UInt8

_FIRST_PROBES = 2


class Extractor:
    """Extracts DEPARA nodes and features of one model at several layers.

    For each batch of canvases: one forward pass in eval mode with frozen parameters, and for each
    layer one backward to the canvas alone. The node of probe ``x`` at a layer ``F`` is
    ``a = (x - mu) * d s(F(x)) / d x`` (Song et al., DEPARA, CVPR 2020, Eq. 3), ``mu`` the ImageNet
    mean pixel; `METHODS` lists the alternatives. It is reduced over channels, summed over cells,
    and divided by its Euclidean norm. The results do not depend on batch size, order or memory
    format beyond float32 rounding.

    The model is left exactly as it was whenever no `extract` runs. Two threads must not use the
    same module at once. ``notes`` are what was noticed so far, of the model or of a layer.

    Args:
        module: the model; layer names refer to its submodules, ``output`` to itself.
        preprocess: from canvases ``B 3 S S`` in [0, 1] to the model's input, differentiable.
        layers: the cut points, in firing order.
        attribution: method, scalar, channels, steps and noise.
        features: ``flatten`` or ``gap``.
        map_side: side of the maps, px, a divisor of the canvas side.
        bus: to the device that computes; None is the host itself.
        batch_size: probes per batch, or ``auto`` to choose size and memory format by measuring on
            the first probes; the choice is kept for later calls.
        precision: ``fp32``; ``tf32`` to allow TensorFloat-32 on CUDA; ``bf16``, see `LayerPass`.
        proven: an extractor of the same model in ``fp32`` that has run: what it has found that the
            model does not allow is given up here from the start, with its notes.
        memory_bytes: memory of this worker; a batch's activations take their part of it, or of
            the device's (`depara.ledger`).
        device_bytes: of a device with memory of its own, to be shared out; None is what is free.
        hands_return: also hand out what the model itself returns, see `LayerPass`.
        model_id: for messages.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: nn.Module,
        layers: Sequence[LayerInfo],
        attribution: AttributionConfig,
        *,
        features: FeatureReduction = "flatten",
        map_side: int,
        bus: Bus | None = None,
        batch_size: int | Literal["auto"] = "auto",
        precision: Arithmetic = "fp32",
        proven: Extractor | None = None,
        memory_bytes: int = 4 * 2**30,
        device_bytes: int | None = None,
        hands_return: bool = False,
        model_id: str = "model",
    ) -> None:
        assert layers
        self.model_id = model_id
        self.notes: list[Note] = []
        self._config = attribution
        self._map_side = map_side
        self._bus = bus or Bus()
        self._device = self._bus.device
        self._precision = precision
        self._memory_bytes = memory_bytes
        self._device_bytes = device_bytes
        self._batch_size = batch_size
        self._names = [layer.name for layer in layers]
        self._model = PreparedModel(module, preprocess, self._bus)
        self._layers = LayerPass(
            module,
            preprocess,
            {name: layer_module(module, name) for name in self._names},
            attribution.scalar,
            features,
            model_id,
            restore=self._model.restore_state,
            hands_return=hands_return,
            precision=precision,
        )
        self._batch = BatchPass(
            self._model, self._layers, attribution, map_side, self._bus, model_id
        )
        self._proof = PassProof(
            model_id, precision, self.notes, is_doubled=must_double(module, self._device)
        )
        if proven is not None:
            self._proof.adopt(proven._proof)
            self.notes += proven.notes
        self._tuners: dict[bool, BatchTuner] = {}
        self._is_unmeasured = dict.fromkeys((True, False), batch_size == "auto")
        self._has_pairs = False
        self._returned = ReturnProof(TOLERANCES[precision].features)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the memory that is kept between calls; the extractor stays usable."""
        self._model.release()

    @property
    def return_differs(self) -> bool:
        """Whether the model returned something else for a probe alone than in its batch."""
        return self._returned.differs

    def extract(
        self,
        canvas_uint8_NSS3: UInt8 | Tensor,
        probe_ids: Sequence[str],
        on_features: FeatureSink,
        *,
        with_maps: bool = True,
        on_values: FeatureSink | None = None,
    ) -> dict[str, NodeMaps]:
        """Returns the nodes of the probes by layer, and hands out their features on the way.

        Args:
            canvas_uint8_NSS3: RGB canvases, of the host or on the device.
            probe_ids: one id per canvas; seeds the noise of SmoothGrad, and named in messages.
            on_features: called once per layer and row with float32 features on the device.
            with_maps: False runs forward passes only and returns no nodes.
            on_values: called likewise with a layer's whole output, perhaps several times per row.

        Raises:
            NonFiniteError: features or maps are NaN or infinite; names layer and probe.
            LayerError: a layer never fires, fires twice or gives no row per probe.
            ModelError: the model or a backward through it raises.
            OutOfMemoryError: one probe alone does not fit.
        """
        side = canvas_uint8_NSS3.shape[1]
        assert canvas_uint8_NSS3.dtype in (np.uint8, torch.uint8)
        assert tuple(canvas_uint8_NSS3.shape) == (len(probe_ids), side, side, 3)
        job = ExtractionJob(
            canvas_uint8_NSS3, probe_ids, on_features, with_maps, self._bus, on_values
        )
        if with_maps:
            job.allocate(self._names, self._config.num_maps * self._map_side**2)
        with ExitStack() as stack:
            stack.enter_context(arithmetic(self._precision))
            stack.enter_context(compiler_off())
            if self._device.type == "cpu":
                stack.enter_context(freed_memory_kept())
            self._run(job)
        return job.nodes()

    def _run(self, job: ExtractionJob) -> None:
        self._model.forget_state()
        if not self._has_pairs and job.num_probes:
            self._find_pairs(job)
        start = 0
        while start < job.num_probes:
            tuner = self._tuner(job.with_maps)
            num_left = job.num_probes - start
            is_measured = (
                start == 0 and self._is_unmeasured[job.with_maps] and num_left > _FIRST_PROBES
            )
            choice = Choice(_FIRST_PROBES, tuner.formats[0])
            if not is_measured:
                choice = tuner.next(num_left)
            begin = perf_counter()
            run = self._run_measured if is_measured else self._run_fitting
            done = run(job, start, choice)
            seconds = perf_counter() - begin
            start += done
            if not done or not self._is_proven(job, is_last=start == job.num_probes):
                start = 0
                job.start_over()
            elif not is_measured:
                tuner.record(choice, done, job.num_probes - start, seconds)

    def _find_pairs(self, job: ExtractionJob) -> None:
        """Finds, with the first probe, which layers can be differentiated as one."""
        canvas_B3SS = self._batch.to_device(job.canvas_NSS3[:1], channels_last=False)
        try:
            self._model.find_pairs(
                lambda: self._layers.run(canvas_B3SS), self._layers.layers.values()
            )
            self._has_pairs = True
        except ModelError:
            self._has_pairs = True  # none; what else it means shows in the first batch
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise

    def _tuner(self, with_maps: bool) -> BatchTuner:
        if with_maps not in self._tuners:
            sizes: tuple[int, ...] = CUDA_SIZES if self._device.type == "cuda" else CPU_SIZES
            if self._batch_size != "auto":
                sizes = (self._batch_size,)
            has_formats = self._model.has_images and self._proof.allowed.channels_last
            self._tuners[with_maps] = BatchTuner(sizes, (True, False) if has_formats else (False,))
            if self._proof.is_single:
                self._tuners[with_maps].limit(1)
        return self._tuners[with_maps]

    def _run_measured(self, job: ExtractionJob, start: int, choice: Choice) -> int:
        """Runs the first probes while following their memory, and limits the batches to come."""
        form = self._proof.form(choice.channels_last)
        with self._model.active(form.channels_last, form.is_fused) as tensors:
            peak = PeakMemory(tensors)
        with peak:
            done = self._run_fitting(job, start, choice)
        budget = part_bytes(self._memory_bytes, "activations")
        if self._bus.is_separate:
            free_bytes = self._device_bytes
            free_bytes = self._bus.free_bytes() if free_bytes is None else free_bytes
            budget = device_part(free_bytes, "activations")
        if done:
            self._tuner(job.with_maps).limit(max(int(budget * done / max(peak.peak_bytes, 1)), 1))
            self._is_unmeasured[job.with_maps] = False
        return done

    def _run_fitting(self, job: ExtractionJob, start: int, choice: Choice) -> int:
        """Runs one batch, halving it while memory does not suffice; returns its probes.

        Zero: the model fails in this form of the pass, and another one has been found for it.
        """
        form = self._proof.form(choice.channels_last)
        size = min(choice.batch_size, job.num_probes - start)
        if self._proof.is_single:
            size = 1
        while True:
            rows = range(start, start + size)
            try:
                self._run_batch(job, rows, form)
                return size
            except OutOfMemoryError:
                raise
            except ModelError as error:
                failed = [row for row in rows if job.probe_ids[row] == error.probe_id]
                others = [row for row in rows if row not in failed]
                self._settle(job, form, [*others, *failed], error)
                return 0
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise self._no_memory(error) from error
                size //= 2
                self._tuner(job.with_maps).limit(size)
            self._free_memory()

    def _run_batch(self, job: ExtractionJob, rows: Sequence[int], form: Form) -> None:
        """Runs one batch for good, and keeps the last probe's values if they must be proven."""
        start, size = rows[0], len(rows)
        is_waiting = any(one == form for one, _, _ in job.unproven)
        wants_features, wants_maps = self._proof.due(
            form, size, job.with_maps, is_waiting=is_waiting
        )
        found = ProbeValues()

        def on_features(layer: str, features_BD: Tensor) -> None:
            if wants_features:
                found.take(layer, features_BD[size - 1])
            job.deliver(layer, start, features_BD[:size])

        def on_values(layer: str, values: Tensor) -> None:
            if job.on_values is not None:
                job.on_values(layer, start, values[:size])

        nodes = self._batch.run(
            *job.take([*rows, *rows] if size == 1 and self._proof.is_doubled else rows),
            form,
            on_features,
            with_maps=job.with_maps,
            on_values=on_values,
        )
        job.store(start, nodes, size)
        if wants_maps:
            found.maps_P = attribution_of(nodes, size - 1)
        if wants_features:
            job.unproven.append((form, rows, found))

    def _is_proven(self, job: ExtractionJob, *, is_last: bool) -> bool:
        """Compares what is unproven with the plain pass; False: it failed, all is to come again.

        The first two batches are compared together, so that the second one ran right after the
        first.
        """
        if len(job.unproven) == 1 and not self._proof.is_begun and not is_last:
            return True
        while job.unproven:
            form, rows, found = job.unproven.pop(0)
            cause = self._proof.difference(self._evaluator(job), found, rows[-1])
            if cause is not None:
                self._settle(job, form, rows, cause)
                return False
            self._returned.compare(found)
            self._proof.accept(form, len(rows), job.with_maps)
        return True

    def _settle(
        self, job: ExtractionJob, form: Form, rows: Sequence[int], cause: Difference | ModelError
    ) -> None:
        self._proof.settle(self._evaluator(job), form, rows, job.with_maps, cause)
        self._tuners.clear()
        is_auto = self._batch_size == "auto" and not self._proof.is_single
        self._is_unmeasured = dict.fromkeys((True, False), is_auto)

    def _evaluator(self, job: ExtractionJob) -> Evaluate:
        def evaluate(
            form: Form, rows: Sequence[int], with_maps: bool, perturbation: float
        ) -> ProbeValues:
            try:
                values = self._batch.last_probe(
                    *job.take(rows), form, with_maps=with_maps, perturbation=perturbation
                )
                if form == PLAIN and not perturbation:
                    self._returned.plain_C = values.returned_C
                return values
            except (RuntimeError, MemoryError) as error:
                if len(set(rows)) == 1 and is_out_of_memory(error):
                    raise self._no_memory(error) from error
                raise

        return evaluate

    def _no_memory(self, error: BaseException) -> OutOfMemoryError:
        return OutOfMemoryError(
            f"{self.model_id}: out of memory with a single probe: {one_line(error)}: "
            "use a machine with more memory, a smaller input.side or fewer layers"
        )

    def _free_memory(self) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
