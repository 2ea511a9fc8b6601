"""The nodes and features of one model: canvases in, unit-norm maps and features per layer out.

Shapes: ``N`` probes, ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels, ``D`` features,
``L`` layers.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from depara.attribution.batching import CPU_SIZES, CUDA_SIZES, BatchTuner, Choice
from depara.attribution.layer_pass import LayerPass, OverwrittenError
from depara.attribution.memory import PeakMemory, device_free_bytes, freed_memory_kept
from depara.attribution.nodes import BatchNodes, compute_features, compute_nodes
from depara.attribution.prepared import PreparedModel
from depara.attribution.torch_state import arithmetic
from depara.config.schema import AttributionConfig, FeatureReduction, Precision
from depara.errors import ModelError, NonFiniteError, OutOfMemoryError
from depara.models.dry_pass import layer_module
from depara.models.foreign import is_out_of_memory, one_line
from depara.types import LayerInfo, NodeMaps, Note, UInt8

FeatureSink = Callable[[str, int, Tensor], None]
"""Takes a layer's name, the row of the first probe, and features ``B D``, valid during the call."""

ConditioningSink = Callable[[str, int, Tensor], None]
"""Takes a layer's name, the row of the first probe, and conditionings ``B``."""

_ACTIVATION_SHARE = 3 / 8
"""Share of the host memory limit for a batch's activations: half goes to features."""
_FREE_SHARE = 1 / 2
"""Share of the device's free memory for a batch's activations: cuDNN's workspace needs some."""
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
        device: ``cpu`` or a CUDA device.
        batch_size: probes per batch, or ``auto`` to choose size and memory format by measuring on
            the first probes; the choice is kept for later calls.
        precision: ``fp32``, or ``tf32`` to allow TensorFloat-32 on CUDA.
        memory_bytes: memory of this worker; a batch's activations take at most three eighths of it
            (on CUDA: half of the device's free memory).
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
        device: str | torch.device = "cpu",
        batch_size: int | Literal["auto"] = "auto",
        precision: Precision = "fp32",
        memory_bytes: int = 4 * 2**30,
        model_id: str = "model",
    ) -> None:
        assert layers
        self.model_id = model_id
        self.notes: list[Note] = []
        self._config = attribution
        self._map_side = map_side
        self._device = torch.device(device)
        self._precision = precision
        self._memory_bytes = memory_bytes
        self._batch_size = batch_size
        self._names = [layer.name for layer in layers]
        self._model = PreparedModel(module, preprocess, self._device)
        self._layers = LayerPass(
            module,
            preprocess,
            {name: layer_module(module, name) for name in self._names},
            attribution.scalar,
            features,
            model_id,
        )
        self._tuners: dict[bool, BatchTuner] = {}
        self._is_unmeasured = dict.fromkeys((True, False), batch_size == "auto")
        self._has_pairs = False

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

    def extract(
        self,
        canvas_uint8_NSS3: UInt8,
        probe_ids: Sequence[str],
        on_features: FeatureSink,
        *,
        on_conditioning: ConditioningSink | None = None,
        with_maps: bool = True,
    ) -> dict[str, NodeMaps]:
        """Returns the nodes of the probes by layer, and hands out their features on the way.

        Args:
            canvas_uint8_NSS3: RGB canvases.
            probe_ids: one id per canvas; seeds the noise of SmoothGrad, and named in messages.
            on_features: called once per layer and row with float32 features on the device.
            on_conditioning: called with the maps' conditioning (`depara.models.conditioning`), a
                row maybe more than once.
            with_maps: False runs forward passes only and returns no nodes.

        Raises:
            NonFiniteError: features or maps are NaN or infinite; names layer and probe.
            LayerError: a layer never fires, fires twice or gives no row per probe.
            ModelError: the model or a backward through it raises.
            OutOfMemoryError: one probe alone does not fit.
        """
        side = canvas_uint8_NSS3.shape[1]
        assert canvas_uint8_NSS3.dtype == np.uint8
        assert canvas_uint8_NSS3.shape == (len(probe_ids), side, side, 3)
        job = _Job(canvas_uint8_NSS3, probe_ids, on_features, on_conditioning, with_maps)
        if with_maps:
            job.allocate(self._names, self._map_side**2, self._device.type == "cuda")
        with ExitStack() as stack:
            stack.enter_context(arithmetic(self._precision))
            if self._device.type == "cpu":
                stack.enter_context(freed_memory_kept())
            self._run(job)
        return job.nodes()

    def _run(self, job: _Job) -> None:
        if not self._has_pairs and job.num_probes:
            self._find_pairs(job)
        if job.with_maps not in self._tuners:
            self._tuners[job.with_maps] = self._new_tuner()
        tuner = self._tuners[job.with_maps]
        start = 0
        if self._is_unmeasured[job.with_maps] and job.num_probes > _FIRST_PROBES:
            start = self._run_measured(job)
        while start < job.num_probes:
            choice = tuner.next(job.num_probes - start)
            begin = perf_counter()
            done = self._run_fitting(job, start, choice)
            start += done
            tuner.record(choice, done, job.num_probes - start, perf_counter() - begin)

    def _find_pairs(self, job: _Job) -> None:
        """Finds, with the first probe, which layers can be differentiated as one."""
        canvas_B3SS = self._to_device(job.canvas_NSS3[:1], channels_last=False)
        try:
            self._model.find_pairs(
                lambda: self._layers.run(canvas_B3SS), self._layers.layers.values()
            )
            self._has_pairs = True
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise

    def _new_tuner(self) -> BatchTuner:
        sizes: tuple[int, ...] = CUDA_SIZES if self._device.type == "cuda" else CPU_SIZES
        if self._batch_size != "auto":
            sizes = (self._batch_size,)
        return BatchTuner(sizes, (True, False) if self._model.has_images else (False,))

    def _run_measured(self, job: _Job) -> int:
        """Runs the first probes while following their memory, and limits the batches to come."""
        choice = Choice(_FIRST_PROBES, self._tuners[job.with_maps].formats[0])
        with self._model.active(choice.channels_last) as tensors:
            peak = PeakMemory(tensors)
        with peak:
            done = self._run_fitting(job, 0, choice)
        if self._device.type == "cuda":
            budget = _FREE_SHARE * device_free_bytes(self._device)
        else:
            budget = _ACTIVATION_SHARE * self._memory_bytes
        self._tuners[job.with_maps].limit(max(int(budget * done / max(peak.peak_bytes, 1)), 1))
        self._is_unmeasured[job.with_maps] = False
        return done

    def _run_fitting(self, job: _Job, start: int, choice: Choice) -> int:
        """Runs one batch, halving it while memory does not suffice; returns its probes."""
        size = min(choice.batch_size, job.num_probes - start)
        while True:
            try:
                self._run_batch(job, start, size, choice.channels_last)
                return size
            except OverwrittenError as error:
                if self._layers.keeps_copies:
                    raise ModelError(f"{self.model_id}: {one_line(error)}") from error
                self._layers.keeps_copies = True
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise OutOfMemoryError(
                        f"{self.model_id}: out of memory with a single probe: {one_line(error)}: "
                        "use a machine with more memory, a smaller input.side or fewer layers"
                    ) from error
                size //= 2
                self._tuners[job.with_maps].limit(size)
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _run_batch(self, job: _Job, start: int, size: int, channels_last: bool) -> None:
        rows = slice(start, start + size)
        canvas_B3SS = self._to_device(job.canvas_NSS3[rows], channels_last)
        probe_ids = job.probe_ids[rows]

        def on_features(layer: str, features_BD: Tensor) -> None:
            job.deliver(layer, start, features_BD)

        with self._model.active(channels_last):
            if job.with_maps:
                nodes = compute_nodes(
                    self._layers, canvas_B3SS, probe_ids, self._config, self._map_side, on_features
                )
            else:
                nodes = compute_features(self._layers, canvas_B3SS, on_features)
        job.store(start, nodes)
        self._check_finite(nodes, probe_ids)

    def _to_device(self, canvas_BSS3: UInt8, channels_last: bool) -> Tensor:
        """Returns canvases ``B 3 S S``, float32 in [0, 1], on the device."""
        pixels = torch.tensor(canvas_BSS3)
        if self._device.type == "cuda":
            pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        images = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format)
        return images.div_(255)

    def _check_finite(self, nodes: BatchNodes, probe_ids: Sequence[str]) -> None:
        checks = [("features", nodes.is_finite_LB)]
        if nodes.norms_B:
            norms_LB = torch.stack([nodes.norms_B[name] for name in self._names])
            checks.append(("attribution map", torch.isfinite(norms_LB)))
        for what, is_finite_LB in checks:
            if bool(is_finite_LB.all()):
                continue
            layer, probe = (~is_finite_LB).nonzero()[0].tolist()
            error = NonFiniteError(
                f"{self.model_id}: layer {self._names[layer]!r}: {what} of probe "
                f"{probe_ids[probe]} not finite (NaN, infinity or beyond float32's range): "
                "check the model's weights and its input mean and std"
            )
            error.layer, error.probe_id = self._names[layer], probe_ids[probe]
            raise error


@dataclass
class _Job:
    """One call of `Extractor.extract`: what goes in, and what has come out so far."""

    canvas_NSS3: UInt8
    probe_ids: Sequence[str]
    on_features: FeatureSink
    on_conditioning: ConditioningSink | None
    with_maps: bool
    maps_NP: dict[str, Tensor] = field(default_factory=dict)
    norms_N: dict[str, Tensor] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)

    @property
    def num_probes(self) -> int:
        return len(self.probe_ids)

    def allocate(self, layers: Sequence[str], num_pixels: int, is_pinned: bool) -> None:
        for layer in layers:
            self.maps_NP[layer] = torch.empty(
                (self.num_probes, num_pixels), dtype=torch.float16, pin_memory=is_pinned
            )
            self.norms_N[layer] = torch.empty(
                self.num_probes, dtype=torch.float32, pin_memory=is_pinned
            )

    def deliver(self, layer: str, row0: int, features_BD: Tensor) -> None:
        """Hands features on, without the rows that a failed larger batch handed on before."""
        skipped = max(self.delivered.get(layer, 0) - row0, 0)
        if skipped < len(features_BD):
            self.on_features(layer, row0 + skipped, features_BD[skipped:])
            self.delivered[layer] = row0 + len(features_BD)

    def store(self, row0: int, nodes: BatchNodes) -> None:
        for layer, maps_BP in nodes.maps_BP.items():
            rows = slice(row0, row0 + len(maps_BP))
            self.maps_NP[layer][rows].copy_(maps_BP, non_blocking=True)
            self.norms_N[layer][rows].copy_(nodes.norms_B[layer], non_blocking=True)
            if self.on_conditioning is not None:
                self.on_conditioning(layer, row0, nodes.conditioning_B[layer])

    def nodes(self) -> dict[str, NodeMaps]:
        return {
            layer: NodeMaps(maps_NP.numpy(), self.norms_N[layer].numpy())
            for layer, maps_NP in self.maps_NP.items()
        }
