"""Gradient fields against the float64 oracle: each map, and the mean cosine of two models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depara.attribution.methods import field_places
from depara.config import AttributionConfig
from tests.attribution.networks import (
    SIDE,
    ConvNet,
    ReluNet,
    canvases,
    extract,
    preprocessing,
    probe_names,
    seeded,
)
from tests.oracle import attribution as oracle


def settings(**fields: Any) -> AttributionConfig:
    return AttributionConfig.model_validate({"method": "gradient_field", "steps": 6, **fields})


def oracle_nodes(
    network: nn.Module, layer: str, canvas_NSS3: np.ndarray, config: AttributionConfig
) -> np.ndarray:
    """Unit-norm maps ``N K P`` of the field at every place."""
    model = oracle.float64_copy(network)
    preprocess = oracle.float64_copy(preprocessing(SIDE))
    nodes = []
    for canvas_SS3 in canvas_NSS3:
        fields = oracle.gradient_field(
            lambda x: oracle.gradient(model, preprocess, layer, x, config.scalar),
            oracle.canvas_tensor(canvas_SS3),
            steps=config.steps,
            points=config.points,
        )
        nodes.append([oracle.node_map(one, config.channels, SIDE) for one in fields])
    return np.array(nodes)


@pytest.mark.parametrize("scalar", ["l2norm", "mean"])
@pytest.mark.parametrize("channels", ["mean", "abs"])
def test_every_map_of_a_node_equals_the_oracle(scalar: str, channels: str) -> None:
    network, canvas = seeded(ConvNet), canvases(3)
    config = settings(points=4, scalar=scalar, channels=channels)
    found = extract(network, ["stem", "down", "output"], canvas, config=config)
    for layer in ("stem", "down", "output"):
        expected_NKP = oracle_nodes(network, layer, canvas, config)
        maps_NKP = found.maps(layer).reshape(expected_NKP.shape)
        np.testing.assert_allclose(np.linalg.norm(maps_NKP, axis=2), 0.5, atol=1e-3)
        assert (2 * maps_NKP * expected_NKP).sum(axis=2).min() >= 0.9999, layer


def test_the_inner_product_of_two_nodes_is_the_mean_cosine_of_the_fields() -> None:
    one, other, canvas = seeded(ConvNet), seeded(ReluNet, 1), canvases(4)
    config = settings(steps=7, points=3)
    nodes = [extract(net, ["output"], canvas, config=config).maps("output") for net in (one, other)]
    expected = [oracle_nodes(net, "output", canvas, config) for net in (one, other)]
    cosines_NK = (expected[0] * expected[1]).sum(axis=2)
    np.testing.assert_allclose(
        (nodes[0] * nodes[1]).sum(axis=1), cosines_NK.mean(axis=1), atol=2e-4
    )
    assert np.ptp(cosines_NK, axis=1).max() > 0.01, "the places differ"


def test_one_point_is_integrated_gradients_bit_for_bit() -> None:
    network, canvas = seeded(ConvNet), canvases(4)
    layers = ["conv", "output"]
    path = AttributionConfig(method="integrated_gradients", steps=6)
    field = extract(network, layers, canvas, config=settings(points=1))
    plain = extract(network, layers, canvas, config=path)
    for layer in layers:
        np.testing.assert_array_equal(field.nodes[layer].maps_NP, plain.nodes[layer].maps_NP)
        np.testing.assert_array_equal(field.nodes[layer].norms_N, plain.nodes[layer].norms_N)


def test_the_last_map_is_that_of_integrated_gradients_and_its_norm() -> None:
    network, canvas = seeded(ConvNet), canvases(4)
    path = AttributionConfig(method="integrated_gradients", steps=6)
    field = extract(network, ["output"], canvas, config=settings(points=4))
    plain = extract(network, ["output"], canvas, config=path)
    last_NP = field.maps("output")[:, -(SIDE**2) :]
    np.testing.assert_allclose(2 * last_NP, plain.maps("output"), atol=1e-6)  # 2: exact in float16
    found, expected = field.nodes["output"], plain.nodes["output"]
    np.testing.assert_array_equal(found.norms_N, expected.norms_N)
    np.testing.assert_array_equal(found.conditioning_N, expected.conditioning_N)


def smooth_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 7 * 7, 5)
    )


def test_the_last_map_is_complete() -> None:
    """Its sum is s(x) - s(mu) (Sundararajan et al., 2017); earlier ones reach less far."""
    network, canvas = seeded(smooth_network()), canvases(3)
    config = settings(steps=32, points=4)
    model, preprocess = oracle.float64_copy(network), oracle.float64_copy(preprocessing())
    maps = extract(network, ["output"], canvas, config=config).nodes["output"]
    sums = 3 * 2 * (maps.maps_NP[:, -(SIDE**2) :].astype(np.float64)).sum(axis=1) * maps.norms_N
    for row, canvas_SS3 in enumerate(canvas):
        x = oracle.canvas_tensor(canvas_SS3)

        def scalar_at(point: Tensor) -> float:
            output = oracle.layer_output(model, preprocess, "output", point)
            return float(oracle.scalar_of(output, "l2norm"))

        gain = scalar_at(x) - scalar_at(oracle.MU.expand_as(x))
        fields = oracle.gradient_field(
            lambda point: oracle.gradient(model, preprocess, "output", point, "l2norm"),
            x,
            steps=config.steps,
            points=config.points,
        )
        assert float(fields[-1].sum()) == pytest.approx(gain, abs=1e-4)
        assert abs(float(fields[0].sum()) - gain) > 1e-3
        assert sums[row] == pytest.approx(gain, abs=1e-3)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_nodes_do_not_depend_on_batch_or_order(batch_size: int) -> None:
    network, canvas, names = seeded(ConvNet), canvases(5), probe_names(5)
    config = settings(points=3)
    whole = extract(network, ["output"], canvas, config=config).maps("output")
    turned = extract(
        network,
        ["output"],
        canvas[::-1].copy(),
        config=config,
        probe_ids=names[::-1],
        batch_size=batch_size,
    ).maps("output")
    np.testing.assert_allclose(turned[::-1], whole, atol=1e-4)


class LateNet(nn.Module):
    """Its output is zero until a canvas is far enough from the mean pixel."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(images.flatten(1)[:, :8] - self.threshold)


@pytest.mark.parametrize(("threshold", "zero"), [(0.0, 0), (1.0, 1), (1.6, 2), (9.0, 3)])
def test_a_map_that_is_all_zero_has_cosine_zero_and_shortens_its_node(
    threshold: float, zero: int
) -> None:
    canvas = np.full((1, SIDE, SIDE, 3), 255, np.uint8)  # red: 2.25 deviations from the mean
    found = extract(seeded(LateNet(threshold)), ["output"], canvas, config=settings(points=3))
    maps_KP = found.maps("output").reshape(3, -1)
    assert [not one.any() for one in maps_KP] == [place < zero for place in range(3)]
    assert (maps_KP**2).sum() == pytest.approx((3 - zero) / 3, abs=1e-3)
    assert (found.nodes["output"].norms_N[0] == 0) == (zero == 3)


@pytest.mark.parametrize(
    ("steps", "points", "places"),
    [(6, 3, (2, 4, 6)), (7, 3, (3, 5, 7)), (32, 5, (7, 13, 20, 26, 32)), (4, 4, (1, 2, 3, 4))],
)
def test_places_are_even_by_number_and_end_at_the_end(
    steps: int, points: int, places: tuple[int, ...]
) -> None:
    assert field_places({"steps": steps, "points": points}) == places


def test_more_points_than_steps_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"attribution.points 7 is more than .*steps 6: .* at most 6"
    ):
        settings(points=7)
    assert AttributionConfig(method="integrated_gradients", steps=2).points == 5, "it reads none"
