"""Batch normalisation as a multiplication and an addition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from depara.attribution.norms import affine_norms, replaced
from tests.attribution.networks import seeded


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(6), (4, 6)),
        (nn.BatchNorm1d(6), (4, 6, 5)),
        (nn.BatchNorm2d(6), (2, 6, 5, 4)),
        (nn.BatchNorm2d(6, eps=1e-2, affine=False), (2, 6, 5, 4)),
        (nn.BatchNorm3d(6), (2, 6, 3, 2, 2)),
    ],
)
def test_values_and_gradients_are_those_of_the_norm(
    norm: nn.Module, shape: tuple[int, ...]
) -> None:
    if norm.affine:
        seeded(norm)
    norm = norm.eval().requires_grad_(False)
    torch.manual_seed(1)
    value = torch.randn(shape) * 3 + 1
    exact = norm.double()(value.double())
    norm.float()
    leaf, other = value.clone().requires_grad_(), value.clone().requires_grad_()
    plain = norm(leaf)
    with replaced(affine_norms(norm)):
        found = norm(other)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)
    cotangent = torch.randn_like(plain)
    torch.testing.assert_close(
        torch.autograd.grad(found, other, cotangent), torch.autograd.grad(plain, leaf, cotangent)
    )


def test_the_memory_format_is_kept() -> None:
    norm = seeded(nn.BatchNorm2d(6))
    value = torch.randn(2, 6, 5, 4).to(memory_format=torch.channels_last)
    with replaced(affine_norms(norm)):
        assert norm(value).is_contiguous(memory_format=torch.channels_last)


def test_hooks_fire_and_the_module_is_put_back() -> None:
    norm = seeded(nn.BatchNorm2d(3))
    seen: list[Tensor] = []
    norm.register_forward_hook(lambda _m, _i, out: seen.append(out))
    norms = affine_norms(norm)
    with pytest.raises(RuntimeError), replaced(norms):
        norm(torch.rand(1, 4, 2, 2))  # one channel too many
    assert "forward" not in vars(norm)
    with replaced(norms):
        assert vars(norm)["forward"] is norms[0]
        norm(torch.rand(1, 3, 2, 2))
    assert len(seen) == 1
    assert "forward" not in vars(norm)


class OwnForward(nn.BatchNorm2d):
    def forward(self, value: Tensor) -> Tensor:
        return super().forward(value).relu()


class NormAct(nn.BatchNorm2d):
    """The shape of timm's BatchNormAct2d."""

    def __init__(self, num_features: int, gain: float = 1.0) -> None:
        super().__init__(num_features)
        self.gain = gain
        self.drop = nn.Identity()
        self.act = nn.SiLU(inplace=True)

    def forward(self, value: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(value) * self.gain))


def test_a_norm_that_calls_its_activation_is_taken_when_it_proves_to_be_one() -> None:
    norm = seeded(NormAct(6))
    found = affine_norms(norm)
    assert [one.followers for one in found] == [(norm.drop, norm.act)]
    leaf, other = (torch.randn(2, 6, 5, 4).requires_grad_() for _ in range(2))
    other.data.copy_(leaf.data)
    expected = norm(leaf)
    with replaced(found):
        value = norm(other)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        torch.autograd.grad(value.norm(), other), torch.autograd.grad(expected.norm(), leaf)
    )
    assert affine_norms(seeded(NormAct(6, gain=1.1))) == ()


@pytest.mark.parametrize(
    "norm", [OwnForward(3), nn.BatchNorm2d(3, track_running_stats=False), nn.InstanceNorm2d(3)]
)
def test_other_norms_are_left_alone(norm: nn.Module) -> None:
    assert affine_norms(norm.eval()) == ()
