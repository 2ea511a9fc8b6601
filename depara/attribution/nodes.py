"""The nodes of one batch of probes: a method's mean gradient at every layer, made into maps.

Of a method with several places on its path, a node is the maps at all of them, end to end, each of
norm ``1 / sqrt(places)``: the inner product of two nodes is then the mean cosine over the places,
and whatever works on nodes with one map works on these. A map that is all zero has cosine 0 with
everything, so that such a node is shorter than 1.

Shapes: ``B`` probes of a batch, ``S`` canvas side, ``P`` map pixels (of all maps), ``L`` layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from depara.attribution.layer_pass import LayerPass, OnFeatures, OnValues
from depara.attribution.maps import reduce_channels, sum_pool, unit_norm
from depara.attribution.methods import (
    Method,
    attribution,
    find_method,
    parameters_of,
    reference_canvas,
)
from depara.config.schema import AttributionConfig
from depara.models.conditioning import conditioning


@dataclass
class BatchNodes:
    """The maps of one batch on the device: float16 ``B P`` of unit norm, and norms ``B``, by layer.

    ``is_finite_LB`` tells whether a layer's features were finite; a map that is not finite has a
    norm that is not finite. ``conditioning_B`` is that of `depara.models.conditioning`, by layer.
    Of several maps, the norm is that of the last one.
    """

    is_finite_LB: Tensor
    maps_BP: dict[str, Tensor] = field(default_factory=dict)
    norms_B: dict[str, Tensor] = field(default_factory=dict)
    conditioning_B: dict[str, Tensor] = field(default_factory=dict)


def compute_features(
    layers: LayerPass,
    canvas_B3SS: Tensor,
    on_features: OnFeatures,
    on_values: OnValues | None = None,
) -> BatchNodes:
    """Hands out the features of every layer, without any gradient, and returns no maps."""
    return BatchNodes(layers.run(canvas_B3SS, on_features=on_features, on_values=on_values))


def compute_nodes(
    layers: LayerPass,
    canvas_B3SS: Tensor,
    probe_ids: Sequence[str],
    config: AttributionConfig,
    map_side: int,
    on_features: OnFeatures,
    on_values: OnValues | None = None,
) -> BatchNodes:
    """Returns the nodes of a batch at every layer, and hands out the features on the way.

    The features are those of the canvas itself, also when a method takes its gradients elsewhere.

    Args:
        layers: the model's layers.
        canvas_B3SS: canvases in [0, 1] on the device.
        probe_ids: their ids, which seed the noise of SmoothGrad.
        config: method, scalar (already in ``layers``), channels, steps and noise.
        map_side: side of the maps, px, a divisor of ``S``.
        on_features: see `LayerPass.run`.
        on_values: likewise.
    """
    method = find_method(config.method)
    shifted_B3SS = canvas_B3SS - reference_canvas(canvas_B3SS)
    maps = _Maps(shifted_B3SS, method, config, map_side)
    if method.path is None:
        with method.rules():
            is_finite_LB = layers.run(
                canvas_B3SS,
                on_norms=maps.take_norms,
                on_features=on_features,
                on_gradient=maps.finish,
                on_values=on_values,
            )
        return maps.nodes(is_finite_LB)
    is_finite_LB = layers.run(
        canvas_B3SS, on_norms=maps.take_norms, on_features=on_features, on_values=on_values
    )
    parameters = parameters_of(config)
    places = method.places(parameters) if method.places else ()
    assert max(len(places), 1) == config.num_maps
    points = method.path(canvas_B3SS, probe_ids, parameters)
    for number, (point_B3SS, weight) in enumerate(points, 1):
        maps.weight = weight
        is_finite_LB &= layers.run(point_B3SS, on_gradient=maps.add)
        if number in places[:-1]:
            maps.keep()
    for layer, gradient_B3SS in maps.gradients.items():
        maps.finish(layer, gradient_B3SS)
    return maps.nodes(is_finite_LB)


@dataclass
class _Maps:
    shifted_B3SS: Tensor
    method: Method
    config: AttributionConfig
    map_side: int
    weight: float = 1.0
    outputs: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, list[Tensor]] = field(default_factory=dict)
    finished: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    conditioning_B: dict[str, Tensor] = field(default_factory=dict)

    def take_norms(self, layer: str, norms_B: Tensor, num_values: int) -> None:
        """Keeps the norms of a layer's output at the canvas itself."""
        self.outputs[layer] = (norms_B, num_values)

    def add(self, layer: str, gradient_B3SS: Tensor) -> None:
        """Adds one weighted gradient to a layer's mean."""
        if layer in self.gradients:
            self.gradients[layer].add_(gradient_B3SS, alpha=self.weight)
        else:
            self.gradients[layer] = gradient_B3SS * self.weight

    def keep(self) -> None:
        """Makes every layer's gradient so far into one of several maps."""
        for layer, gradient_B3SS in self.gradients.items():
            self.kept.setdefault(layer, []).append(self._map(gradient_B3SS)[0])

    def finish(self, layer: str, gradient_B3SS: Tensor) -> None:
        """Makes a layer's mean gradient into maps."""
        norms_B, num_values = self.outputs[layer]
        self.conditioning_B[layer] = conditioning(
            self.shifted_B3SS, gradient_B3SS, norms_B, num_values, self.config.scalar
        )
        map_BP, norms_B = self._map(gradient_B3SS)
        if layer in self.kept:
            map_BP = torch.cat([*self.kept.pop(layer), map_BP], dim=1)
        self.finished[layer] = (map_BP, norms_B)

    def _map(self, gradient_B3SS: Tensor) -> tuple[Tensor, Tensor]:
        per_channel = attribution(gradient_B3SS, self.shifted_B3SS, self.method)
        map_BSS = reduce_channels(per_channel.detach(), self.config.channels)
        length = 1 / math.sqrt(self.config.num_maps)
        return unit_norm(sum_pool(map_BSS, self.map_side), length)

    def nodes(self, is_finite_LB: Tensor) -> BatchNodes:
        """Returns all that was finished."""
        return BatchNodes(
            is_finite_LB,
            {layer: maps for layer, (maps, _) in self.finished.items()},
            {layer: norms for layer, (_, norms) in self.finished.items()},
            self.conditioning_B,
        )
