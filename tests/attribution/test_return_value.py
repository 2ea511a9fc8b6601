"""What a model itself returns, handed out by the pass of the layers before it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depara.attribution import Extractor
from depara.attribution.layer_pass import RETURNED
from depara.config import AttributionConfig
from tests.attribution.networks import (
    SIDE,
    ConvNet,
    canvases,
    extract,
    layers_of,
    preprocessing,
    probe_names,
    seeded,
)

LAYERS = ["stem", "down"]


class Returned:
    """One extraction that asks for the return value."""

    def __init__(self, network: nn.Module, count: int = 7, **options: object) -> None:
        self.canvas_NSS3 = canvases(count)
        self.values: dict[int, np.ndarray] = {}
        self.layers: set[str] = set()
        options = {"map_side": SIDE, "batch_size": 3, **options}
        self.extractor = Extractor(
            network,
            preprocessing(),
            layers_of(network, LAYERS),
            AttributionConfig(),
            hands_return=True,
            **options,
        )
        with self.extractor:
            self.nodes = self.extractor.extract(self.canvas_NSS3, probe_names(count), self.take)

    def take(self, layer: str, row0: int, values_BD: Tensor) -> None:
        self.layers.add(layer)
        if layer == RETURNED:
            assert not values_BD.requires_grad
            self.values |= {row0 + i: row.numpy().copy() for i, row in enumerate(values_BD)}


@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_it_is_that_of_the_model_alone(batch_size: object):
    network = seeded(ConvNet)
    found = Returned(network, batch_size=batch_size)
    pixels = torch.from_numpy(found.canvas_NSS3).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = copy.deepcopy(network)(preprocessing()(pixels)).numpy()
    got = np.array([found.values[row] for row in range(7)])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert not found.extractor.return_differs
    assert found.extractor.notes == []


def test_the_layers_maps_are_the_same_with_and_without_it():
    network = seeded(ConvNet)
    found = Returned(network)
    plain = extract(network, LAYERS, found.canvas_NSS3, batch_size=3)
    for layer in LAYERS:
        np.testing.assert_array_equal(found.nodes[layer].maps_NP, plain.nodes[layer].maps_NP)


class NoMatrix(ConvNet):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, :, None]


class Compares(ConvNet):
    """Its return value depends on the batch; its layers do not."""

    def forward(self, images: Tensor) -> Tensor:
        values = super().forward(images)
        return values - values.mean(dim=0)


def test_a_return_value_of_another_form_is_not_handed_out():
    assert Returned(seeded(NoMatrix)).layers == set(LAYERS)


def test_a_return_value_that_depends_on_the_batch_is_told_and_costs_no_layer():
    found = Returned(seeded(Compares))
    assert found.extractor.return_differs
    assert found.extractor.notes == []
    assert set(found.nodes) == set(LAYERS)
