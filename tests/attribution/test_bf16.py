"""bfloat16 inside the model alone: what it changes, what stays float32, what it may not break."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

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

LAYERS = ["stem.0", "stem", "norm", "down", "output"]


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / norms


SEEN: list[tuple[torch.dtype, torch.dtype]] = []
"""Of the input and of a convolution; not the model's own, which is put back after each pass."""


class Watched(ConvNet):
    """Takes note of the dtypes that pass through it."""

    def forward(self, images: Tensor) -> Tensor:
        SEEN.append((images.dtype, self.conv(self.stem(images)).dtype))
        return super().forward(images)


def test_it_is_near_fp32_and_not_the_same() -> None:
    network, canvas = seeded(ConvNet), canvases(6)
    exact = extract(network, LAYERS, canvas)
    found = extract(network, LAYERS, canvas, precision="bf16")
    for layer in LAYERS:
        assert cosines(found.maps(layer), exact.maps(layer)).min() > 0.98, layer
        one, other = found.features_ND[layer], exact.features_ND[layer]
        share = np.linalg.norm(one - other) / np.linalg.norm(other)
        assert 1e-4 < share < 0.02, layer


def test_the_model_runs_in_it_and_what_surrounds_the_model_does_not() -> None:
    network, layers = seeded(Watched), layers_of(seeded(Watched), ["down", "output"])
    SEEN.clear()
    found = extract(network, [layer.name for layer in layers], canvases(4), precision="bf16")
    assert (torch.float32, torch.bfloat16) in SEEN, "the input is made in float32"
    assert found.features_ND["output"].dtype == np.float32
    assert not torch.is_autocast_enabled("cpu")
    SEEN.clear()
    extract(network, ["down", "output"], canvases(4))
    assert set(SEEN) == {(torch.float32, torch.float32)}


def test_scalars_are_summed_in_float32() -> None:
    """The norm of a map, a sum of thousands of values, has more digits than bfloat16 holds."""
    found = extract(seeded(ConvNet), ["output"], canvases(5), precision="bf16")
    norms_N = torch.from_numpy(found.nodes["output"].norms_N)
    assert (norms_N.bfloat16().float() != norms_N).any()
    np.testing.assert_allclose(np.linalg.norm(found.maps("output"), axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("is_fused", [True, False])
def test_a_convolution_and_its_norm_may_still_be_one(is_fused: bool) -> None:
    """Both forms agree with fp32 alike: none of them loses the gradient's digits on the way."""
    network, canvas = seeded(ConvNet), canvases(6)
    exact = extract(network, LAYERS, canvas)
    extractor = Extractor(
        network,
        preprocessing(),
        layers_of(network, LAYERS),
        AttributionConfig(),
        map_side=SIDE,
        batch_size=3,
        precision="bf16",
    )
    if not is_fused:
        plain = extractor._proof.allowed
        extractor._proof.allowed = type(plain)(plain.skips_graph, plain.channels_last, False, False)
    with extractor:
        nodes = extractor.extract(canvas, probe_names(6), lambda *_: None)
    assert extractor.notes == []
    for layer in LAYERS:
        maps = nodes[layer].maps_NP.astype(np.float64)
        assert cosines(maps, exact.maps(layer)).min() > 0.98, layer


@pytest.mark.parametrize("batch_size", [1, 2, 6, "auto"])
def test_the_size_of_batches_changes_no_more_than_rounding_does(batch_size: object) -> None:
    network, canvas = seeded(ConvNet), canvases(6)
    one = extract(network, LAYERS, canvas, precision="bf16", batch_size=3)
    other = extract(network, LAYERS, canvas, precision="bf16", batch_size=batch_size)
    for layer in LAYERS:
        assert cosines(one.maps(layer), other.maps(layer)).min() > 0.98, layer


class ByTheBatch(ConvNet):
    """Its code depends on how many others there are, a little."""

    def forward(self, images: Tensor) -> Tensor:
        stem = self.relu(self.norm(self.conv(self.stem(images))))
        code = self.down(stem).mean(dim=(2, 3))
        return self.head(code * (1 + 2e-3 * len(code)))


def test_what_fp32_has_found_of_the_model_holds_in_bf16() -> None:
    """What shows in fp32 alone, probes that change each other by 4e-3, is given up in both."""
    network, canvas = seeded(ByTheBatch), canvases(6)
    options = {"map_side": SIDE, "batch_size": 3}
    layers = layers_of(network, ["output"])
    first = Extractor(network, preprocessing(), layers, AttributionConfig(), **options)  # type: ignore[arg-type]
    with first:
        first.extract(canvas, probe_names(6), lambda *_: None)
    assert [note.kind for note in first.notes] == ["batch"]
    second = Extractor(
        network,
        preprocessing(),
        layers,
        AttributionConfig(),
        precision="bf16",
        proven=first,
        **options,  # type: ignore[arg-type]
    )
    features: dict[int, np.ndarray] = {}

    def keep(_layer: str, row0: int, values_BD: Tensor) -> None:
        assert values_BD.dtype == torch.float32
        features.update({row0 + i: row.numpy().copy() for i, row in enumerate(values_BD)})

    with second:
        second.extract(canvas, probe_names(6), keep)
        together = dict(features)
        for row in range(6):
            second.extract(canvas[row : row + 1], probe_names(6)[row : row + 1], keep)
            np.testing.assert_array_equal(features[0], together[row])
    assert second.notes[: len(first.notes)] == first.notes


def test_what_the_model_returns_is_handed_out_in_float32() -> None:
    network, found = seeded(ConvNet), []

    def take(layer: str, _row0: int, values_BD: Tensor) -> None:
        if layer == RETURNED:
            found.append(values_BD.dtype)

    extractor = Extractor(
        network,
        preprocessing(),
        layers_of(network, ["down"]),
        AttributionConfig(),
        map_side=SIDE,
        batch_size=3,
        precision="bf16",
        hands_return=True,
    )
    with extractor:
        extractor.extract(canvases(4), probe_names(4), take)
    assert set(found) == {torch.float32}
