"""Agreement with captum, an independent implementation, on the same scalar of the same layer."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depara.config import AttributionConfig
from depara.types import IMAGENET_MEAN
from tests.attribution.networks import ConvNet, canvases, extract, preprocessing, seeded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # captum's own imports
    from captum.attr import InputXGradient, IntegratedGradients, Saliency

MU = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)


class ScalarOfLayer(nn.Module):
    """``s(F(u + mu))`` per probe, so that captum's input * gradient is (x - mu) * gradient."""

    def __init__(self, network: nn.Module, layer: str, scalar: str) -> None:
        super().__init__()
        self.network, self.layer, self.scalar = network, layer, scalar
        self.preprocess = preprocessing()

    def forward(self, shifted: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        module = self.network.get_submodule(self.layer)
        handle = module.register_forward_hook(lambda _m, _i, out: outputs.append(out.clone()))
        self.network(self.preprocess(shifted + MU))
        handle.remove()
        flat = outputs[0].flatten(1)
        return flat.norm(dim=1) if self.scalar == "l2norm" else flat.mean(dim=1)


CAPTUM = {
    "grad_input": lambda model, u: InputXGradient(model).attribute(u),
    "saliency": lambda model, u: Saliency(model).attribute(u, abs=True),
    "integrated_gradients": lambda model, u: IntegratedGradients(model).attribute(
        u, baselines=torch.zeros_like(u), method="gausslegendre", n_steps=12
    ),
}


@pytest.mark.parametrize("layer", ["stem", "norm", "head"])
@pytest.mark.parametrize("scalar", ["l2norm", "mean"])
@pytest.mark.parametrize("method", CAPTUM)
def test_captum_gives_the_same_maps(method: str, scalar: str, layer: str) -> None:
    network, canvas = seeded(ConvNet), canvases(3)
    config = AttributionConfig.model_validate({"method": method, "scalar": scalar, "steps": 12})
    found = extract(network, [layer], canvas, config=config).nodes[layer]
    images = torch.tensor(canvas).permute(0, 3, 1, 2).float() / 255
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum sets requires_grad on its inputs
        theirs = CAPTUM[method](ScalarOfLayer(network, layer, scalar), images - MU)
    expected = theirs.detach().mean(dim=1).flatten(1).double().numpy()
    maps = found.maps_NP.astype(np.float64) * found.norms_N[:, None]
    error = np.linalg.norm(maps - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 1e-3


def test_integrated_gradients_are_complete() -> None:
    """The sum of attributions is s(x) - s(mu) (Sundararajan et al., Axiom of completeness)."""
    network, canvas = seeded(ConvNet), canvases(3)
    config = AttributionConfig(method="integrated_gradients", steps=256)
    found = extract(network, ["head"], canvas, config=config).nodes["head"]
    sums = 3 * (found.maps_NP.astype(np.float64) * found.norms_N[:, None]).sum(axis=1)
    scalar = ScalarOfLayer(network, "head", "l2norm")
    images = torch.tensor(canvas).permute(0, 3, 1, 2).float() / 255
    expected = scalar(images - MU) - scalar(torch.zeros_like(images))
    np.testing.assert_allclose(sums, expected.numpy(), rtol=2e-2, atol=2e-3)
