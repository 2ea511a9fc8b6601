"""Which maps float32 resolves, measured against float64, and where a model cuts by itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from depara.models.conditioning import (
    FLOAT32_NOISE,
    RESOLVED,
    STEEP,
    STEEP_NOISE,
    conditioning,
    conditioning_notes,
    is_resolved,
    reference_shift,
)
from depara.models.dry_pass import run_dry_pass
from depara.models.layers import proven_layers
from depara.models.resolved_cuts import ResolvedCuts

SIDE = 32


class Transformer(nn.Module):
    """A small ViT; ``last`` is its final normalisation."""

    def __init__(self, last: str = "layer", *, norm_first: bool = True, gain: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.patch = nn.Conv2d(3, 32, 8, 8)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=norm_first
            )
            for _ in range(3)
        )
        self.norm = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}.get(last, nn.Identity)(32)
        self.is_unit = last == "unit"
        if gain:
            self.norm.weight.data += gain * torch.randn(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return nnf.normalize(x.mean(dim=1), dim=-1) if self.is_unit else x


def frozen(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)


def cuts(module: nn.Module, layers: object, output_layer: str | None = None) -> tuple[list, list]:
    """Names of the layers chosen, and the notes."""
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        dry = run_dry_pass(frozen(module), nn.Identity(), SIDE)
        own = ResolvedCuts(module, nn.Identity(), SIDE, dry)
        chosen = proven_layers(dry, module, layers, output_layer, "flatten", own)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    return [layer.name for layer in chosen], own.notes


@pytest.mark.parametrize("last", ["layer", "rms", "unit"])
def test_output_is_cut_before_a_final_normalisation(last: str) -> None:
    names, (note,) = cuts(Transformer(last), "output")
    assert names == ["blocks.2"]
    assert note.kind == "conditioning"
    assert note.layer == "blocks.2"
    assert "instead of 'output'" in note.message
    assert "layers: [output]" in note.message


@pytest.mark.parametrize("layers", [["output"], ["norm"]])
def test_a_layer_that_is_named_stays(layers: list[str]) -> None:
    assert cuts(Transformer(), layers) == (layers, [])
    assert cuts(Transformer(), "output", "output") == (["output"], [])


@pytest.mark.parametrize("last", ["layer", "none"])
def test_sound_cuts_do_not_move(last: str) -> None:
    assert cuts(Transformer(last), "blocks") == (["blocks.0", "blocks.1", "blocks.2"], [])
    assert cuts(Transformer("none"), "output") == (["output"], [])


def test_with_trained_gains_a_normalised_output_is_sound() -> None:
    assert cuts(Transformer(gain=0.2), "output") == (["output"], [])


def test_blocks_that_end_in_a_normalisation_are_cut_within() -> None:
    names, notes = cuts(Transformer("none", norm_first=False), "blocks")
    assert names == ["blocks.0.linear2", "blocks.1.linear2", "blocks.2.linear2"]
    assert [note.layer for note in notes] == names


def test_an_output_that_hardly_depends_on_the_input_is_not_taken_for_normalised() -> None:
    """A learned constant and a little of the input: nothing cancels, float32 resolves it."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return 1 + 1e-5 * self.last(torch.tanh(self.first(x)))

    assert cuts(Constant(), "output") == (["output"], [])


@pytest.mark.parametrize("gain", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("norm_first", [True, False])
def test_float32_agrees_with_float64_as_far_as_conditioning_says(
    gain: float, norm_first: bool
) -> None:
    module = frozen(Transformer("layer", norm_first=norm_first, gain=gain))
    k, map32 = map_of(module, torch.float32)
    k64, map64 = map_of(copy.deepcopy(module).double(), torch.float64)
    noise = float((map32.double() - map64).norm())
    assert noise <= 3 * FLOAT32_NOISE / k64
    if k64 > RESOLVED:
        assert k == pytest.approx(k64, rel=1e-2)


def map_of(module: nn.Module, dtype: torch.dtype) -> tuple[float, Tensor]:
    generator = torch.Generator().manual_seed(1)
    canvas = torch.rand(1, 3, SIDE, SIDE, generator=generator).to(dtype).requires_grad_()
    output = module(canvas)
    norm = output.flatten(1).norm(dim=1)
    (gradient,) = torch.autograd.grad(norm.sum(), canvas)
    shifted = reference_shift(canvas.detach())
    k = conditioning(shifted, gradient, norm.detach(), output[0].numel(), "l2norm")
    values = (shifted * gradient).sum(dim=1).flatten()
    return float(k), values / values.norm()


def test_it_is_free_of_the_scale_of_features_and_of_their_number() -> None:
    shifted, gradient = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    norms = torch.tensor([2.0, 0.0])
    one = conditioning(shifted, gradient, norms, 9, "l2norm")
    tiny = conditioning(shifted, gradient * 1e-30, norms * 1e-30, 9, "l2norm")
    torch.testing.assert_close(one, tiny, equal_nan=True)
    assert one[1].isnan()
    mean = conditioning(shifted, gradient, norms, 9, "mean")
    assert float(mean[0]) == pytest.approx(3 * float(one[0]))


def test_what_counts_as_resolved() -> None:
    assert is_resolved(None, 1.0)
    assert is_resolved(0.0, 1.0)
    assert is_resolved(float("nan"), 1.0)
    assert is_resolved(1e-2, 1.0)
    assert not is_resolved(1e-5, 0.5)
    assert is_resolved(1e-5, 1e-5)
    (note,) = conditioning_notes("a", 1e-5, 1.0)
    assert "rounding noise of float32 is about 3 %" in note.message
    assert conditioning_notes("a", None, 1.0) == conditioning_notes("a", STEEP, 1.0) == ()


@pytest.mark.parametrize("depth", [10, 20, 30, 40])
def test_deep_networks_magnify_rounding_as_their_conditioning_says(depth: int) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1)]
    for _ in range(depth):
        one = nn.Conv2d(16, 16, 3, padding=1)
        nn.init.normal_(one.weight, 0, 3 / 144**0.5)
        layers += [one, nn.Tanh()]
    module = frozen(nn.Sequential(*layers))
    _, map32 = map_of(module, torch.float32)
    k64, map64 = map_of(copy.deepcopy(module).double(), torch.float64)
    noise = float((map32.double() - map64).norm())
    assert 0.1 * STEEP_NOISE * k64 < noise < 3 * STEEP_NOISE * k64
    assert bool(conditioning_notes("a", k64, 1.0)) is (depth > 30)
