"""The epsilon rule against ReLU networks, a hand-derived case, and the oracle's other form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from depara.attribution.epsilon_rule import EPSILON, epsilon_rule
from depara.config import AttributionConfig
from tests.attribution.networks import ReluNet, canvases, extract, seeded

POINTS = torch.tensor([-7.0, -2.5, -0.4, -1e-5, 0.0, 1e-5, 0.3, 1.7, 6.5], dtype=torch.float64)

PRELU = torch.tensor([0.2], dtype=torch.float64)

FORMS: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "relu": [nnf.relu, torch.relu, Tensor.relu, nn.ReLU(), nn.ReLU(inplace=True)],
    "relu_": [torch.relu_, Tensor.relu_, nnf.relu_, lambda z: nnf.relu(z, inplace=True)],
    "relu6": [nnf.relu6, nn.ReLU6(), nn.ReLU6(inplace=True)],
    "hardtanh": [nnf.hardtanh, nn.Hardtanh(), nn.Hardtanh(inplace=True), nnf.hardtanh_],
    "leaky_relu": [
        lambda z: nnf.leaky_relu(z, 0.01),
        nn.LeakyReLU(),
        nn.LeakyReLU(inplace=True),
        nnf.leaky_relu_,
    ],
    "prelu": [lambda z: nnf.prelu(z, PRELU), lambda z: z.prelu(PRELU)],
    "elu": [nnf.elu, nn.ELU(), nn.ELU(inplace=True), nnf.elu_],
    "celu": [nnf.celu, torch.celu, nn.CELU(inplace=True), nnf.celu_],
    "selu": [nnf.selu, torch.selu, nn.SELU(), nn.SELU(inplace=True), torch.selu_],
    "gelu": [nnf.gelu, nn.GELU()],
    "gelu_tanh": [lambda z: nnf.gelu(z, approximate="tanh"), nn.GELU(approximate="tanh")],
    "silu": [nnf.silu, nn.SiLU(), nn.SiLU(inplace=True)],
    "mish": [nnf.mish, nn.Mish(), nn.Mish(inplace=True)],
    "sigmoid": [torch.sigmoid, Tensor.sigmoid, nn.Sigmoid(), torch.sigmoid_, Tensor.sigmoid_],
    "tanh": [torch.tanh, Tensor.tanh, nn.Tanh(), torch.tanh_, Tensor.tanh_],
    "softplus": [nnf.softplus, nn.Softplus()],
    "hardswish": [nnf.hardswish, nn.Hardswish(), nn.Hardswish(inplace=True)],
    "hardsigmoid": [nnf.hardsigmoid, nn.Hardsigmoid(), nn.Hardsigmoid(inplace=True)],
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_has_the_slope_of_the_rule_and_its_own_value(name: str) -> None:
    for form in FORMS[name]:
        with torch.no_grad():
            value = form(POINTS.clone())
        sign = torch.where(POINTS >= 0, 1.0, -1.0)
        leaf = POINTS.clone().requires_grad_()
        with epsilon_rule():
            found = form(leaf * 1)
        torch.testing.assert_close(found, value, rtol=0, atol=0)
        (slope,) = torch.autograd.grad(found.sum(), leaf)
        torch.testing.assert_close(slope, value / (POINTS + EPSILON * sign))


def test_an_in_place_call_changes_its_argument() -> None:
    z = torch.tensor([-1.0, 2.0], requires_grad=True) * 1
    with epsilon_rule():
        returned = nn.ReLU(inplace=True)(z)
    assert returned is z
    assert z.tolist() == [0.0, 2.0]


def test_nothing_is_changed_outside_of_the_context() -> None:
    z = torch.tensor([2.0], requires_grad=True)
    with epsilon_rule():
        pass
    assert float(torch.autograd.grad(torch.tanh(z), z)[0]) == pytest.approx(1 - np.tanh(2.0) ** 2)


def test_a_hand_derived_network() -> None:
    """y = v * tanh(w x): relevance (v / 1) * tanh(wx) / (wx + eps) * w * x, about y itself."""
    x = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    w, v = 1.3, -2.0
    with epsilon_rule():
        y = v * torch.sigmoid(torch.tanh(w * x))
    (g,) = torch.autograd.grad(y, x)
    z1 = 1.3 * 0.7
    z2 = np.tanh(z1)
    by_hand = v * (1 / (1 + np.exp(-z2))) / (z2 + 1e-4) * np.tanh(z1) / (z1 + 1e-4) * w
    assert g.item() == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("scalar", ["l2norm", "mean"])
@pytest.mark.parametrize(("gain", "tolerance"), [(1e5, 1e-4), (1e3, 1e-3), (1.0, 0.1)])
def test_it_equals_grad_input_on_relu_networks(gain: float, tolerance: float, scalar: str) -> None:
    """Up to eps / |z| of a unit's share: nothing where inputs of units are far above eps."""
    network, canvas = seeded(ReluNet), canvases(4)
    for parameter in (*network.conv1.parameters(), network.conv2.bias):
        parameter *= gain
    layers = ["conv1", "conv2", "output"]
    config = {"scalar": scalar, "method": "grad_input"}
    plain = extract(network, layers, canvas, config=AttributionConfig.model_validate(config))
    config["method"] = "eps_lrp"
    found = extract(network, layers, canvas, config=AttributionConfig.model_validate(config))
    for layer in layers:
        one = plain.maps(layer) * plain.nodes[layer].norms_N[:, None]
        other = found.maps(layer) * found.nodes[layer].norms_N[:, None]
        error = np.linalg.norm(one - other, axis=1) / np.linalg.norm(one, axis=1)
        assert error.max() < tolerance, layer
