"""Sketched tangents: their inner products are near those of the gradients themselves."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.ntk import CELLS, grams_of, score_frame, tangents
from examples.digits.encoder import Encoder


def exact(network: torch.nn.Module, inputs: torch.Tensor) -> np.ndarray:
    rows = []
    for probe in inputs:
        network.zero_grad()
        network(probe[None]).norm().backward()
        rows.append(torch.cat([one.grad.ravel() for one in network.parameters()]).double().numpy())
    return np.stack(rows)


def test_the_kernel_of_sketches_is_that_of_the_gradients_within_its_error():
    torch.manual_seed(0)
    network, inputs = Encoder().eval(), torch.randn(6, 1, 32, 32)
    sketch, gradients = tangents(network, inputs).astype(np.float64), exact(network, inputs)
    assert sketch.shape == (6, CELLS)
    products, norms = gradients @ gradients.T, np.linalg.norm(gradients, axis=1)
    deviation = np.sqrt((np.outer(norms**2, norms**2) + products**2) / CELLS)
    assert (np.abs(sketch @ sketch.T - products) < 4 * deviation).all()


def test_every_pair_has_every_score_of_tangents():
    torch.manual_seed(0)
    inputs = torch.randn(12, 1, 32, 32)
    grams = {name: grams_of(tangents(Encoder().eval(), inputs)) for name in "ab"}
    frame = score_frame(grams)
    assert set(frame["target"] + frame["source"]) == {"ab", "ba"}
    assert frame.drop(columns=["target", "source"]).notna().all(axis=None)
    twins = score_frame({"a": grams["a"], "c": grams["a"]})
    np.testing.assert_allclose(twins["tangent edge"], 1.0, atol=1e-5)
