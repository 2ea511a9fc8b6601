"""One batch of probes, computed in whatever form of the pass is asked for.

Shapes: ``B`` probes of a batch, ``S`` canvas side, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from depara.attribution.bus import Bus
from depara.attribution.forms import Form, ProbeValues
from depara.attribution.layer_pass import LayerPass, OnFeatures, OnValues, OverwrittenError
from depara.attribution.nodes import BatchNodes, compute_features, compute_nodes
from depara.attribution.prepared import PreparedModel
from depara.config.schema import AttributionConfig
from depara.errors import ModelError, NonFiniteError
from depara.models.foreign import one_line
from depara.types import UInt8


@dataclass
class BatchPass:
    """Computes the nodes of one batch after another.

    Args:
        model: the model, made ready by this class.
        layers: its layers, settings of the form aside.
        config: method, channels, steps and noise.
        map_side: side of the maps, px.
        bus: to the device that computes.
        model_id: for messages.
    """

    model: PreparedModel
    layers: LayerPass
    config: AttributionConfig
    map_side: int
    bus: Bus
    model_id: str
    _copying: set[Form] = field(default_factory=set)

    def run(
        self,
        canvas_BSS3: UInt8 | Tensor,
        probe_ids: Sequence[str],
        form: Form,
        on_features: OnFeatures,
        *,
        with_maps: bool,
        perturbation: float = 0.0,
        on_values: OnValues | None = None,
    ) -> BatchNodes:
        """Returns the nodes of a batch, without maps if none are asked for; hands out features.

        Args:
            canvas_BSS3: RGB canvases, of the host or on the device.
            probe_ids: one per canvas.
            form: which shortcuts to take.
            on_features: see `LayerPass.run`.
            with_maps: whether to compute maps.
            perturbation: largest relative change of the canvases' values.
            on_values: see `LayerPass.run`.

        Raises:
            NonFiniteError: features or maps are NaN or infinite; names layer and probe.
            LayerError, ModelError: see `LayerPass.run`.
            torch.OutOfMemoryError, RuntimeError, MemoryError: memory ran out.
        """
        canvas_B3SS = self.to_device(canvas_BSS3, form.channels_last)
        if perturbation:
            noise = torch.rand(canvas_B3SS.shape, generator=torch.Generator().manual_seed(0))
            canvas_B3SS *= 1 + perturbation * (2 * self.bus.upload("checks", noise) - 1)
        self.layers.ends_early, self.layers.skips_graph = form.ends_early, form.skips_graph
        with self.model.active(form.channels_last, form.is_fused):
            nodes = self._compute(canvas_B3SS, probe_ids, form, on_features, on_values, with_maps)
        self._check_finite(nodes, probe_ids)
        return nodes

    def last_probe(
        self,
        canvas_BSS3: UInt8 | Tensor,
        probe_ids: Sequence[str],
        form: Form,
        *,
        with_maps: bool,
        perturbation: float,
    ) -> ProbeValues:
        """Returns the values of the last probe of a batch; arguments and errors as `run`."""
        found = ProbeValues()

        def on_features(layer: str, features_BD: Tensor) -> None:
            found.take(layer, features_BD[-1])

        nodes = self.run(
            canvas_BSS3,
            probe_ids,
            form,
            on_features,
            with_maps=with_maps,
            perturbation=perturbation,
        )
        found.maps_P = attribution_of(nodes, len(probe_ids) - 1)
        return found

    def _compute(
        self,
        canvas_B3SS: Tensor,
        probe_ids: Sequence[str],
        form: Form,
        on_features: OnFeatures,
        on_values: OnValues | None,
        with_maps: bool,
    ) -> BatchNodes:
        while True:
            self.layers.keeps_copies = form in self._copying
            try:
                if not with_maps:
                    return compute_features(self.layers, canvas_B3SS, on_features, on_values)
                return compute_nodes(
                    self.layers,
                    canvas_B3SS,
                    probe_ids,
                    self.config,
                    self.map_side,
                    on_features,
                    on_values,
                )
            except OverwrittenError as error:
                if form in self._copying:
                    raise ModelError(f"{self.model_id}: {one_line(error)}") from error
                self._copying.add(form)

    def to_device(self, canvas_BSS3: UInt8 | Tensor, channels_last: bool) -> Tensor:
        """Returns canvases ``B 3 S S``, float32 in [0, 1], on the device."""
        pixels = canvas_BSS3
        if not isinstance(pixels, Tensor):
            staged = self.bus.host_empty(canvas_BSS3.shape, torch.uint8)
            np.copyto(staged.numpy(), canvas_BSS3)
            pixels = self.bus.upload("probes", staged)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        images = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=memory_format)
        return images.div_(255)

    def _check_finite(self, nodes: BatchNodes, probe_ids: Sequence[str]) -> None:
        names = list(self.layers.layers)
        checks = [("features", nodes.is_finite_LB)]
        if nodes.norms_B:
            norms_LB = torch.stack([nodes.norms_B[name] for name in names])
            checks.append(("attribution map", torch.isfinite(norms_LB)))
        for what, is_finite_LB in checks:
            if self.bus.is_true(is_finite_LB.all()):
                continue
            layer, probe = self.bus.fetch("checks", ~is_finite_LB).nonzero()[0].tolist()
            error = NonFiniteError(
                f"{self.model_id}: layer {names[layer]!r}: {what} of probe "
                f"{probe_ids[probe]} not finite (NaN, infinity or beyond float32's range): "
                "check the model's weights and its input mean and std"
            )
            error.layer, error.probe_id = names[layer], probe_ids[probe]
            raise error


def attribution_of(nodes: BatchNodes, row: int) -> dict[str, Tensor]:
    """Returns one probe's map times its norm, ``P``, float64, by layer."""
    return {
        layer: maps_BP[row].double() * nodes.norms_B[layer][row]
        for layer, maps_BP in nodes.maps_BP.items()
    }
