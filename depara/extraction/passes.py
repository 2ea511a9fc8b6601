"""The passes over one model's probes: one, or one for each arithmetic that its layers need."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from depara.attribution import Bus, Extractor, FeatureBank, FeatureSink
from depara.config.schema import Arithmetic
from depara.extraction.jobs import ModelJob
from depara.extraction.precision import Chosen, LayerPrecision, PrecisionGate
from depara.models import LoadedModel
from depara.types import LayerInfo, NodeMaps, Note, UInt8

_FORMS = 2
"""As written, for the proof of a model's first batches, and in the form that is fastest."""


class ModelPasses:
    """The extractors of one model; which there are is known when its first probes are.

    Args:
        job: the model and the settings.
        model: the model, open.
        layers: the layers to compute.
        bus: to the device.
        attempt: how often it has ended a worker: then batches are smaller.
        hands_return: whether what the model itself returns is asked for, with its output layer.
    """

    def __init__(
        self,
        job: ModelJob,
        model: LoadedModel,
        layers: Sequence[LayerInfo],
        bus: Bus,
        attempt: int,
        *,
        hands_return: bool,
    ) -> None:
        self._job = job
        self._model = model
        self._layers = layers
        self._bus = bus
        self._attempt = attempt
        self._hands_return = hands_return
        self._device_bytes = _device_bytes(bus, model.module)
        self._chosen: Mapping[str, LayerPrecision] = {}
        self._extractors: dict[Arithmetic, Extractor] = {}
        self._stack = ExitStack()

    @property
    def is_open(self) -> bool:
        """Whether the arithmetic has been chosen."""
        return bool(self._extractors)

    def open(self, canvas_NSS3: UInt8 | Tensor, probe_ids: Sequence[str]) -> None:
        """Chooses the arithmetic of each layer, by the first probes where there is a choice.

        Raises:
            ModelError: the model cannot be run; see `Extractor.extract`.
        """
        chosen = self._choose(canvas_NSS3, probe_ids)
        self._chosen, output = chosen.layers, self._job.card.output_layer
        kinds = dict.fromkeys(one.computed_in for one in chosen.layers.values())
        self._device_bytes = _device_bytes(self._bus, self._model.module, len(kinds))
        for arithmetic in kinds:
            layers = [n for n in self._layers if chosen.layers[n.name].computed_in == arithmetic]
            hands = self._hands_return and any(n.name == output for n in layers)
            extractor = self._extractor(layers, arithmetic, chosen.proven, hands_return=hands)
            self._extractors[arithmetic] = extractor
            self._stack.callback(extractor.close)

    def bank(self, num_probes: int) -> FeatureBank:
        """Returns room for the features of some probes at all layers."""
        compute = self._job.settings.compute
        return FeatureBank(
            num_probes,
            self._layers,
            memory_bytes=int(compute.memory),
            spill_dir=compute.spill_dir,
            bus=self._bus,
            device_bytes=self._device_bytes,
        )

    def extract(
        self,
        canvas_NSS3: UInt8 | Tensor,
        probe_ids: Sequence[str],
        on_features: FeatureSink,
        lacking: Collection[str],
        on_values: FeatureSink | None = None,
    ) -> dict[str, NodeMaps]:
        """Returns the nodes of some layers and hands out the features of all.

        Args:
            canvas_NSS3, probe_ids, on_features, on_values: see `Extractor.extract`.
            lacking: the layers whose maps are wanted.
        """
        nodes: dict[str, NodeMaps] = {}
        for arithmetic, extractor in self._extractors.items():
            nodes |= extractor.extract(
                canvas_NSS3,
                probe_ids,
                on_features,
                with_maps=any(self._chosen[name].computed_in == arithmetic for name in lacking),
                on_values=on_values,
            )
        return nodes

    def computed_in(self, layer: str) -> Arithmetic:
        """Returns the arithmetic of a layer."""
        return self._chosen[layer].computed_in

    def record(self, layer: str) -> dict[str, Any] | None:
        """Returns what a graph's marker says of its arithmetic; None where there was no choice."""
        is_choice = self._job.settings.compute.precision in ("bf16", "auto")
        return self._chosen[layer].record() if is_choice else None

    def notes(self, layer: str) -> list[Note]:
        """Returns what was noticed of a layer, and of the model where it is computed like it."""
        chosen = self._chosen[layer]
        found = [n for n in self._extractors[chosen.computed_in].notes if n.layer in (None, layer)]
        return [*found, *([chosen.note] if chosen.note else [])]

    @property
    def return_differs(self) -> bool:
        """See `Extractor.return_differs`."""
        return any(extractor.return_differs for extractor in self._extractors.values())

    def close(self) -> None:
        """Frees what is kept between calls."""
        self._stack.close()

    def _choose(self, canvas_NSS3: UInt8 | Tensor, probe_ids: Sequence[str]) -> Chosen:
        settings = self._job.settings
        asked = settings.compute.precision
        if asked in ("fp32", "tf32"):
            return Chosen({layer.name: LayerPrecision(asked) for layer in self._layers})
        candidates: tuple[Arithmetic, ...] = ("bf16",)
        if asked == "auto" and self._bus.device.type == "cuda":
            candidates = ("bf16", "tf32")
        gate = PrecisionGate(
            self._job.card.model_id,
            self._layers,
            lambda arithmetic, proven: self._extractor(self._layers, arithmetic, proven),
            self.bank,
            settings.edges.normalize,
        )
        return gate.choose(asked, candidates, canvas_NSS3, probe_ids)

    def _extractor(
        self,
        layers: Sequence[LayerInfo],
        arithmetic: Arithmetic,
        proven: Extractor | None,
        *,
        hands_return: bool = False,
    ) -> Extractor:
        settings, compute = self._job.settings, self._job.settings.compute
        return Extractor(
            self._model.module,
            self._model.preprocess,
            layers,
            settings.attribution,
            features=settings.edges.features,
            map_side=settings.map_side,
            bus=self._bus,
            batch_size=_batch_size(compute.batch_size, self._attempt),
            precision=arithmetic,
            proven=proven,
            memory_bytes=int(compute.memory),
            device_bytes=self._device_bytes,
            hands_return=hands_return,
            model_id=self._job.card.model_id,
        )


def _device_bytes(bus: Bus, module: nn.Module, num_passes: int = 1) -> int:
    """Returns what a device has free for a model's work: each pass has weights in two forms."""
    weights = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    return max(bus.free_bytes() - num_passes * _FORMS * weights, 0)


def _batch_size(configured: Any, attempt: int) -> Any:
    """After a death, which may be the memory's fault, smaller batches: a half, then a quarter."""
    if attempt == 0:
        return configured
    return max(1, (8 if configured == "auto" else int(configured)) >> attempt)
