"""Maps and norms of layers of any magnitude: those of the ordinary layer, and its norms scaled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depara.attribution import Extractor, FeatureBank
from depara.config import AttributionConfig
from tests.attribution.networks import layers_of, preprocessing, probe_names

SIDE, COUNT = 16, 5


class Scaled(nn.Module):
    """A small network whose output is multiplied by a power of two, maybe in another type."""

    def __init__(self, power: int = 0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, 2)
        self.power, self.dtype = power, dtype

    def forward(self, x: Tensor) -> Tensor:
        return (torch.tanh(self.conv(x)) * 2.0**self.power).to(self.dtype)


def extracted(
    network: nn.Module, scalar: str = "l2norm"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Maps, norms, conditioning and the raw Gram of the output."""
    canvas = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    layers = layers_of(network, ["output"], side=SIDE)
    with FeatureBank(COUNT, layers, memory_bytes=2**24) as bank:
        extractor = Extractor(
            network,
            preprocessing(SIDE),
            layers,
            AttributionConfig(scalar=scalar),
            map_side=SIDE,
            batch_size=2,
        )
        names = probe_names(COUNT)
        nodes = extractor.extract(canvas, names, bank.write)["output"]
        gram = bank.grams("output").raw_NN
    return nodes.maps_NP, nodes.norms_N, nodes.conditioning_N, gram


@pytest.mark.parametrize("scalar", ["l2norm", "mean"])
@pytest.mark.parametrize("power", [-100, -86, -73, -40, 40, 66, 100])
def test_only_norms_see_the_scale_of_features(power: int, scalar: str) -> None:
    maps, norms, conditioning, gram = extracted(Scaled().eval(), scalar)
    found = extracted(Scaled(power).eval(), scalar)
    cosines = np.einsum("np,np->n", found[0].astype(np.float64), maps.astype(np.float64))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    np.testing.assert_allclose(found[0].astype(float), maps.astype(float), atol=1e-3)
    np.testing.assert_allclose(found[1].astype(float), norms * 2.0**power, rtol=1e-5)
    np.testing.assert_allclose(found[2], conditioning, rtol=1e-5)
    np.testing.assert_allclose(found[3], gram * 4.0**power, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "power"), [(torch.float16, -14), (torch.float64, 0)])
def test_layers_of_other_types(dtype: torch.dtype, power: int) -> None:
    """float16 does not hold 1 / ||F|| of a small output."""
    maps, norms, _, _ = extracted(Scaled(power).eval())
    found = extracted(Scaled(power, dtype).eval())
    cosines = np.einsum("np,np->n", found[0].astype(np.float64), maps.astype(np.float64))
    np.testing.assert_allclose(cosines, 1, atol=2e-2)
    np.testing.assert_allclose(found[1], norms, rtol=5e-2)
