"""Nodes and features against the float64 oracle, and what must not change them."""

from __future__ import annotations

import copy
import itertools
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depara.attribution import Extractor
from depara.config import AttributionConfig
from depara.errors import LayerError, ModelError, NonFiniteError, OutOfMemoryError
from depara.types import LayerInfo
from tests.attribution.networks import (
    SIDE,
    ConvNet,
    Extraction,
    canvases,
    extract,
    layers_of,
    preprocessing,
    probe_names,
    seeded,
)
from tests.oracle import attribution as oracle

LAYERS = ["stem.0", "stem", "conv", "norm", "down", "output"]


def oracle_maps(
    network: nn.Module,
    layer: str,
    canvas_NSS3: np.ndarray,
    config: AttributionConfig,
    *,
    input_side: int = SIDE,
    map_side: int = SIDE,
) -> np.ndarray:
    model = oracle.float64_copy(network)
    if config.method == "eps_lrp":
        model = oracle.with_epsilon_rule(model, (nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.ReLU6))
    preprocess = oracle.float64_copy(preprocessing(input_side))
    maps = []
    for canvas_SS3, probe_id in zip(canvas_NSS3, probe_names(len(canvas_NSS3)), strict=True):
        values = oracle.attribution(
            config.method,
            lambda x: oracle.gradient(model, preprocess, layer, x, config.scalar),
            oracle.canvas_tensor(canvas_SS3),
            steps=config.steps,
            noise=config.noise,
            probe_id=probe_id,
        )
        maps.append(oracle.node_map(values, config.channels, map_side))
    return np.stack(maps)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / norms


METHOD_SETTINGS = [
    {"method": method, "scalar": scalar, "channels": channels, "steps": 4}
    for method, scalar, channels in itertools.product(
        ("grad_input", "saliency", "integrated_gradients", "smoothgrad", "eps_lrp"),
        ("l2norm", "mean"),
        ("mean", "abs"),
    )
]


@pytest.mark.parametrize(
    "settings", METHOD_SETTINGS, ids=lambda one: "-".join(map(str, one.values()))
)
def test_nodes_equal_the_oracle(settings: dict[str, object]) -> None:
    network, canvas = seeded(ConvNet), canvases(4)
    config = AttributionConfig.model_validate(settings)
    found = extract(network, LAYERS, canvas, config=config)
    for layer in LAYERS:
        expected = oracle_maps(network, layer, canvas, config)
        assert cosines(found.maps(layer), expected).min() >= 0.99999, layer


def test_features_equal_the_oracle_and_survive_in_place_operations() -> None:
    network, canvas = seeded(ConvNet), canvases(4)
    found = extract(network, LAYERS, canvas)
    model, preprocess = oracle.float64_copy(network), oracle.float64_copy(preprocessing())
    for layer in LAYERS:
        expected = np.stack(
            [
                oracle.layer_output(model, preprocess, layer, oracle.canvas_tensor(one))
                .flatten()
                .numpy()
                for one in canvas
            ]
        )
        np.testing.assert_allclose(found.features_ND[layer], expected, rtol=1e-4, atol=1e-5)
    # "stem.0" and "norm" are overwritten by what follows them: their values are still negative.
    assert found.features_ND["down"].min() < 0
    assert found.features_ND["norm"].min() < 0


def test_maps_are_pooled_by_summation_after_the_channel_reduction() -> None:
    network, canvas = seeded(ConvNet), canvases(3)
    config = AttributionConfig(channels="abs")
    found = extract(network, ["output"], canvas, config=config, map_side=4)
    expected = oracle_maps(network, "output", canvas, config, map_side=4)
    assert found.nodes["output"].maps_NP.shape == (3, 16)
    assert cosines(found.maps("output"), expected).min() >= 0.99999


def test_maps_have_unit_norm_and_the_norm_taken_out_is_that_of_the_map() -> None:
    network, canvas = seeded(ConvNet), canvases(3)
    found = extract(network, ["output"], canvas)
    np.testing.assert_allclose(np.linalg.norm(found.maps("output"), axis=1), 1, atol=1e-3)
    model, preprocess = oracle.float64_copy(network), oracle.float64_copy(preprocessing())
    for row, one in enumerate(canvas):
        x = oracle.canvas_tensor(one)
        values = (x - oracle.MU) * oracle.gradient(model, preprocess, "output", x, "l2norm")
        norm = float(values.mean(dim=1).norm())
        assert found.nodes["output"].norms_N[row] == pytest.approx(norm, rel=1e-4)


def test_gap_features_are_the_mean_over_positions() -> None:
    network, canvas = seeded(ConvNet), canvases(3)
    flat = extract(network, ["conv"], canvas).features_ND["conv"]
    pooled = extract(network, ["conv"], canvas, features="gap").features_ND["conv"]
    np.testing.assert_allclose(pooled, flat.reshape(3, 8, -1).mean(axis=2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("input_side", [SIDE, 24, 11])
def test_sum_of_attributions_on_the_canvas_is_that_at_the_models_own_input(input_side: int) -> None:
    """Resize and normalisation are linear, so the sum of gradient * (x - mu) is conserved."""
    network, canvas = seeded(ConvNet), canvases(3)
    config = AttributionConfig(channels="mean")
    found = extract(network, ["output"], canvas, config=config, input_side=input_side, map_side=1)
    model, preprocess = oracle.float64_copy(network), oracle.float64_copy(preprocessing(input_side))
    for row, one in enumerate(canvas):
        images = preprocess(oracle.canvas_tensor(one)).detach().requires_grad_()
        score = oracle.scalar_of(model(images), "l2norm")
        total = float((torch.autograd.grad(score, images)[0] * images.detach()).sum()) / 3
        # One cell: the map is the sign of the total, its norm the magnitude.
        node = found.nodes["output"]
        assert node.norms_N[row] * float(node.maps_NP[row, 0]) == pytest.approx(total, rel=1e-3)


def assert_same(one: Extraction, other: Extraction, order: list[int] | None = None) -> None:
    for layer, features in one.features_ND.items():
        rows = order or list(range(len(features)))
        np.testing.assert_allclose(
            other.features_ND[layer], features[rows], rtol=1e-4, atol=1e-5, err_msg=layer
        )
        assert cosines(other.maps(layer), one.maps(layer)[rows]).min() >= 0.99999, layer


@pytest.mark.parametrize("method", ["grad_input", "smoothgrad"])
@pytest.mark.parametrize("batch_size", [1, 2, 5, "auto"])
def test_results_do_not_depend_on_the_batch_size(method: str, batch_size: int | str) -> None:
    network, canvas = seeded(ConvNet), canvases(9)
    config = AttributionConfig.model_validate({"method": method, "steps": 2})
    reference = extract(network, LAYERS, canvas, config=config, batch_size=9)
    assert_same(reference, extract(network, LAYERS, canvas, config=config, batch_size=batch_size))


@pytest.mark.parametrize("method", ["grad_input", "smoothgrad"])
def test_results_do_not_depend_on_the_order(method: str) -> None:
    network, canvas = seeded(ConvNet), canvases(6)
    config = AttributionConfig.model_validate({"method": method, "steps": 2})
    order = [4, 0, 5, 2, 1, 3]
    names = probe_names(6)
    reference = extract(network, LAYERS, canvas, config=config)
    other = extract(
        network, LAYERS, canvas[order], config=config, probe_ids=[names[i] for i in order]
    )
    assert_same(reference, other, order)


def test_smoothgrad_depends_on_the_probe_id() -> None:
    network, canvas = seeded(ConvNet), canvases(2)
    config = AttributionConfig(method="smoothgrad", steps=2)
    one = extract(network, ["output"], canvas, config=config)
    other = extract(network, ["output"], canvas, config=config, probe_ids=["x", "y"])
    assert cosines(one.maps("output"), other.maps("output")).max() < 0.9999


def is_proof(images: Tensor) -> bool:
    """Whether one probe is run by itself, or beside its copy: what the others are compared with."""
    return len(images) == 1 or (len(images) == 2 and torch.equal(images[0], images[1]))


def test_without_maps_the_features_are_the_same_and_nothing_is_differentiated() -> None:
    network, canvas = seeded(ConvNet), canvases(5)
    with_maps = extract(network, LAYERS, canvas)
    seen: list[bool] = []
    handle = network.head.register_forward_hook(
        lambda _m, _i, out: None if is_proof(out) else seen.append(out.requires_grad)
    )
    without = extract(network, LAYERS, canvas, with_maps=False)
    handle.remove()
    assert without.nodes == {}
    assert seen
    assert not any(seen)
    for layer in LAYERS:
        np.testing.assert_array_equal(without.features_ND[layer], with_maps.features_ND[layer])


def test_a_read_only_canvas_is_accepted() -> None:
    canvas = canvases(2)
    canvas.flags.writeable = False
    assert extract(seeded(ConvNet), ["output"], canvas).nodes["output"].maps_NP.any()


class DeadEnd(nn.Module):
    """Gives zeros for dark images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.head = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        bright = (images.mean(dim=(1, 2, 3), keepdim=True) > 0).float()
        return self.head(self.conv(images) * bright)


@pytest.mark.parametrize("scalar", ["l2norm", "mean"])
def test_an_all_zero_output_gives_an_all_zero_map(scalar: str) -> None:
    canvas = canvases(3)
    canvas[1] = 0
    config = AttributionConfig.model_validate({"scalar": scalar})
    node = extract(seeded(DeadEnd), ["output"], canvas, config=config).nodes["output"]
    assert node.norms_N[1] == 0
    assert not node.maps_NP[1].any()
    np.testing.assert_allclose(
        np.linalg.norm(node.maps_NP[[0, 2]].astype(np.float64), axis=1), 1, atol=1e-3
    )


def test_the_model_is_left_as_it_was() -> None:
    network = seeded(ConvNet)
    network.train()
    network.norm.eval()
    network.conv.weight.requires_grad_(True)
    handle = network.conv.register_forward_hook(lambda *_: None)
    before = copy.deepcopy(network.state_dict())
    parameters = {name: id(one) for name, one in network.named_parameters()}
    extract(network, LAYERS, canvases(9), batch_size="auto")
    assert {name: id(one) for name, one in network.named_parameters()} == parameters
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert value.stride() == before[name].stride(), name
    assert [m.training for m in (network, network.norm, network.conv)] == [True, False, True]
    assert network.conv.weight.requires_grad
    assert network.conv.weight.grad is None
    assert list(network.conv._forward_hooks.values()) != []
    handle.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert not any("forward" in vars(m) for m in network.modules())


class Grumbling(ConvNet):
    """Raises in the end when it is differentiated."""

    def forward(self, images: Tensor) -> Tensor:
        output = super().forward(images)
        if images.requires_grad:
            raise ValueError("no more")
        return output


def test_hooks_and_weights_are_put_back_after_an_exception() -> None:
    network = seeded(Grumbling)
    weight = network.conv.weight
    with pytest.raises(ModelError, match=r"net: raised on images of shape .*ValueError: no more"):
        extract(network, ["conv", "output"], canvases(2))
    assert network.conv.weight is weight
    assert not any(m._forward_hooks or "forward" in vars(m) for m in network.modules())


def test_an_error_of_the_sink_is_not_blamed_on_the_model() -> None:
    network = seeded(ConvNet)
    extractor = Extractor(
        network, preprocessing(), layers_of(network, ["conv"]), AttributionConfig(), map_side=SIDE
    )

    def full(*_: object) -> None:
        raise OSError("disk is full")

    with pytest.raises(OSError, match="disk is full"):
        extractor.extract(canvases(1), ["a"], full)
    assert not any(m._forward_hooks for m in network.modules())


class Poison(ConvNet):
    """Gives NaN for a black probe."""

    def forward(self, images: Tensor) -> Tensor:
        is_black = images.mean(dim=(1, 2, 3), keepdim=True) < -1
        return super().forward(torch.where(is_black, torch.nan, images))


def test_non_finite_features_name_model_layer_and_probe() -> None:
    canvas = canvases(3)
    canvas[1] = 0
    with pytest.raises(NonFiniteError, match="net: layer 'conv': features of probe p5 ") as caught:
        extract(
            seeded(Poison),
            ["conv", "down"],
            canvas,
            batch_size=3,
            probe_ids=["p4", "p5", "p6"],
        )
    assert (caught.value.layer, caught.value.probe_id) == ("conv", "p5")


def test_nan_weights_are_found() -> None:
    network = seeded(ConvNet)
    network.down.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"'down'.*check the model's weights"):
        extract(network, LAYERS, canvases(2))


def test_a_non_finite_map_is_found() -> None:
    class RootOfZero(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images - images).abs().sqrt() + images.abs()

    with pytest.raises(NonFiniteError, match="attribution map of probe probe-0"):
        extract(seeded(RootOfZero), ["output"], canvases(1))


class Hungry(ConvNet):
    """Has memory for a few probes only."""

    limit = 3
    message_type: type[Exception] = torch.OutOfMemoryError

    batches: ClassVar[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        if not is_proof(images):
            self.batches.append(len(images))
        stem = self.stem(images)
        if len(images) > self.limit:
            raise self.message_type("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return self.head(self.relu(self.down(self.relu(self.norm(self.conv(stem))))).mean((2, 3)))


@pytest.mark.parametrize("error_type", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_out_of_memory_halves_the_batch_and_every_row_comes_once(
    error_type: type[Exception],
) -> None:
    network = seeded(Hungry)
    network.message_type = error_type
    Hungry.batches.clear()
    canvas = canvases(11)
    names = ["stem", "output"]
    found = extract(network, names, canvas, batch_size=7)
    assert Hungry.batches == [7, 3, 3, 3, 2]
    assert_same(extract(network, names, canvas, batch_size=1), found)


def test_out_of_memory_with_one_probe_names_the_model() -> None:
    network = seeded(Hungry)
    extract(network, ["output"], canvases(1))
    network.stem.register_forward_hook(_no_memory)
    network.limit = 0
    extractor = Extractor(
        network,
        preprocessing(),
        [LayerInfo("output", 0, 1.0, 5, (5,))],
        AttributionConfig(),
        map_side=SIDE,
        model_id="hungry",
    )
    with pytest.raises(OutOfMemoryError, match="hungry: out of memory with a single probe"):
        extractor.extract(canvases(4), probe_names(4), lambda *_: None)


def _no_memory(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_layer_that_fires_twice_or_never_is_an_error() -> None:
    network, canvas = seeded(ConvNet), canvases(1)
    with pytest.raises(LayerError, match="layer 'relu': fires twice"):
        extract(network, ["relu", "output"], canvas)
    network.unused = nn.Linear(2, 2)
    extractor = Extractor(
        network,
        preprocessing(),
        [LayerInfo("unused", 0, 1.0, 2, (2,))],
        AttributionConfig(),
        map_side=SIDE,
    )
    with pytest.raises(LayerError, match="'unused': never fires"):
        extractor.extract(canvas, ["a"], lambda *_: None)


def test_auto_keeps_its_choice_for_later_calls() -> None:
    network = seeded(ConvNet)
    layers = layers_of(network, ["conv"])
    extractor = Extractor(
        network, preprocessing(), layers, AttributionConfig(), map_side=SIDE, memory_bytes=2**28
    )
    sizes: list[int] = []
    extractor.extract(canvases(400), probe_names(400), lambda _l, _r, f: sizes.append(len(f)))
    assert set(sizes) >= {2, 16}
    later: list[int] = []
    extractor.extract(canvases(64), probe_names(64), lambda _l, _r, f: later.append(len(f)))
    assert len(set(later)) == 1


def test_auto_respects_the_memory_limit() -> None:
    sizes: list[int] = []
    network = seeded(ConvNet)
    extractor = Extractor(
        network,
        preprocessing(),
        layers_of(network, ["conv"]),
        AttributionConfig(),
        map_side=SIDE,
        memory_bytes=2**18,
    )
    extractor.extract(canvases(1), probe_names(1), lambda *_: None)  # too few to measure
    extractor.extract(canvases(60), probe_names(60), lambda _l, _r, f: sizes.append(len(f)))
    assert max(sizes) <= 4
