"""In-place operations, views and odd outputs around a chosen layer; the early stop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from depara.attribution.layer_pass import LayerPass, OverwrittenError, cotangent_of
from depara.errors import LayerError, ModelError
from tests.attribution.networks import SIDE, canvases, extract, preprocessing, seeded
from tests.oracle import attribution as oracle


class Recorded:
    """Features and gradients of one pass."""

    def __init__(self, network: nn.Module, layers: list[str], **options: object) -> None:
        torch.manual_seed(0)
        self.canvas = torch.rand(2, 3, SIDE, SIDE)
        self.network = network
        self.features: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        modules = {
            name: network if name == "output" else network.get_submodule(name) for name in layers
        }
        self.layer_pass = LayerPass(
            network, preprocessing(), modules, "l2norm", "flatten", "net", **options
        )

    def run(self) -> Recorded:
        self.is_finite = self.layer_pass.run(
            self.canvas,
            on_features=lambda name, value: self.features.update({name: value.clone()}),
            on_gradient=self.gradients.__setitem__,
        )
        return self

    def assert_equals_oracle(self) -> None:
        model, preprocess = oracle.float64_copy(self.network), oracle.float64_copy(preprocessing())
        for name, gradient in self.gradients.items():
            for row in range(len(self.canvas)):
                one = self.canvas[row : row + 1].double()
                output = oracle.layer_output(model, preprocess, name, one)
                torch.testing.assert_close(
                    self.features[name][row].double(), output.flatten(), rtol=1e-4, atol=1e-5
                )
                expected = oracle.gradient(model, preprocess, name, one, "l2norm")
                torch.testing.assert_close(
                    gradient[row : row + 1].double(), expected, rtol=1e-3, atol=1e-5
                )


class InPlace(nn.Module):
    """What follows each convolution overwrites its output, or the memory that it is a view of."""

    def __init__(self, follower: str) -> None:
        super().__init__()
        self.follower = follower
        self.conv = nn.Conv2d(3, 4, 3)
        self.view = nn.Flatten(2)
        self.second = nn.Conv2d(4, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv(images)
        flat = self.view(hidden)
        if self.follower == "relu":
            nnf.relu_(hidden)
        elif self.follower == "mul":
            hidden.mul_(2).add_(1)
        elif self.follower == "view":
            flat.clamp_(min=0)
        else:
            hidden[:, 0] = 0
        return self.second(hidden)


@pytest.mark.parametrize("follower", ["relu", "mul", "view", "slice"])
def test_in_place_operations_after_a_layer_change_neither_features_nor_gradient(
    follower: str,
) -> None:
    recorded = Recorded(seeded(InPlace(follower)), ["conv", "view", "output"]).run()
    recorded.assert_equals_oracle()
    assert (recorded.features["conv"] < 0).any()


class KeptValueOverwritten(nn.Module):
    """The sigmoid's backward needs its output, which the next line overwrites."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.gate = nn.Sigmoid()

    def forward(self, images: Tensor) -> Tensor:
        return self.gate(self.conv(images)).mul_(3)


class KeptValueReference(KeptValueOverwritten):
    def forward(self, images: Tensor) -> Tensor:
        return self.gate(self.conv(images)) * 3


def test_a_value_that_a_backward_needs_may_be_overwritten() -> None:
    with pytest.raises(OverwrittenError):
        Recorded(seeded(KeptValueOverwritten), ["gate", "output"]).run()
    kept = Recorded(
        seeded(KeptValueOverwritten), ["conv", "gate", "output"], keeps_copies=True
    ).run()
    reference = Recorded(seeded(KeptValueReference), ["conv", "gate", "output"]).run()
    for name in reference.gradients:
        torch.testing.assert_close(kept.features[name], reference.features[name])
        torch.testing.assert_close(kept.gradients[name], reference.gradients[name])


def test_the_extractor_falls_back_to_copies_by_itself() -> None:
    names = ["gate", "output"]
    one = extract(seeded(KeptValueOverwritten), names, canvases(5))
    other = extract(seeded(KeptValueReference), names, canvases(5))
    for name in names:
        np.testing.assert_array_equal(one.features_ND[name], other.features_ND[name])
        np.testing.assert_allclose(one.maps(name), other.maps(name), atol=1e-5)


class WithHead(nn.Module):
    """Whatever comes after the chosen layers must not run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        try:
            self.conv(images)
        except Exception as error:
            raise AssertionError("the model saw the early stop") from error
        raise AssertionError("the head ran")


def test_the_pass_ends_when_the_last_layer_has_fired() -> None:
    recorded = Recorded(seeded(WithHead), ["conv"]).run()
    assert recorded.is_finite.shape == (1, 2)
    assert bool(recorded.is_finite.all())


class Odd(nn.Module):
    """Layers with outputs that cannot be cut points, or only just."""

    def __init__(self) -> None:
        super().__init__()
        self.per_window = nn.Identity()
        self.constant = nn.Identity()
        self.pair = Pair()

    def forward(self, images: Tensor) -> Tensor:
        self.per_window(images.reshape(-1, 3, SIDE // 2, SIDE // 2))
        self.constant(torch.ones(len(images), 2))
        first, _ = self.pair(images)
        return first.mean(dim=(1, 2, 3))


class Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, int]]:
        return images * 2, {}


def test_a_layer_without_the_batch_first_is_an_error() -> None:
    with pytest.raises(LayerError, match=r"'per_window': gives shape \(8, 3, 8, 8\) for 2 probes"):
        Recorded(Odd(), ["per_window"]).run()


def test_a_layer_that_ignores_the_input_is_an_error() -> None:
    with pytest.raises(LayerError, match="'constant': does not depend on the input") as caught:
        Recorded(Odd(), ["constant"]).run()
    assert caught.value.layer == "constant"


def test_tuples_and_single_numbers_per_probe_are_layers() -> None:
    recorded = Recorded(Odd(), ["pair", "output"]).run()
    assert recorded.features["pair"].shape == (2, 3 * SIDE * SIDE)
    assert recorded.features["output"].shape == (2, 1)
    # |mean of 2 (x - mu) / sd| has a constant gradient of magnitude 2 / (sd * 3 * S * S).
    expected = 2 / (preprocessing().std * 3 * SIDE * SIDE)
    torch.testing.assert_close(
        recorded.gradients["output"].abs(), expected.expand(2, 3, SIDE, SIDE)
    )


class Undifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        raise RuntimeError("no derivative here")


class Stubborn(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return Undifferentiable.apply(images)


def test_a_failing_backward_names_the_layer() -> None:
    with pytest.raises(ModelError, match=r"layer 'output': the backward pass raised: .*no deriv"):
        Recorded(Stubborn(), ["output"]).run()


def test_a_preprocessing_that_does_nothing_leaves_the_canvas_alone() -> None:
    class Overwriting(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mul_(2)

    layer_pass = LayerPass(nn.Identity(), nn.Identity(), {}, "l2norm", "flatten", "net")
    layer_pass.module = Overwriting()
    layer_pass.layers = {"output": layer_pass.module}
    canvas = torch.rand(1, 3, 4, 4)
    before = canvas.clone()
    gradients: list[Tensor] = []
    layer_pass.run(canvas, on_gradient=lambda _, value: gradients.append(value))
    assert torch.equal(canvas, before)
    torch.testing.assert_close(gradients[0], 2 * before / before.norm())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_cotangent_is_the_derivative_of_the_scalar(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    values = torch.randn(3, 4, 5, 6).to(memory_format=memory_format)
    values[1] = 0
    norm_B = values.flatten(1).norm(dim=1)
    for scalar in ("l2norm", "mean"):
        leaf = values.double().requires_grad_()
        s = leaf.flatten(1).norm(dim=1) if scalar == "l2norm" else leaf.flatten(1).mean(dim=1)
        expected = torch.autograd.grad(s.sum(), leaf)[0].nan_to_num()
        found = cotangent_of(values, norm_B, scalar)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)
        assert found.stride() == values.stride()


def test_the_cotangent_of_tiny_outputs_is_finite() -> None:
    values = torch.full((1, 4), 1e-42)
    assert torch.isfinite(cotangent_of(values, values.norm(dim=1), "l2norm")).all()
