"""Activation checkpoints and compiled modules, as one forward pass shows them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from depara.models.dry_pass import recorded_firings, run_dry_pass


class Checkpointed(nn.Module):
    """Two convolutions, the second one in an activation checkpoint."""

    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.use_reentrant = use_reentrant
        self.one = nn.Conv2d(3, 4, 3)
        self.two = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(
            self.two, self.one(images), use_reentrant=self.use_reentrant
        )


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_modules_inside_a_checkpoint_can_be_cut_points(use_reentrant: bool) -> None:
    network = Checkpointed(use_reentrant).eval().requires_grad_(False)
    original = torch.utils.checkpoint.CheckpointFunction
    dry = run_dry_pass(network, nn.Identity(), 8)
    assert dry.qualified == ("one", "two.0", "two.1", "two", "output")
    assert torch.utils.checkpoint.CheckpointFunction is original


def test_a_module_that_a_backward_runs_again_has_fired_once() -> None:
    network = Checkpointed(False).eval()
    with recorded_firings(network) as firings:
        network(torch.rand(2, 3, 8, 8)).sum().backward()
    assert [one.name for one in firings] == ["one", "two.0", "two.1", "two", "output"]


def test_what_is_compiled_runs_as_written() -> None:
    def refuse(*_: object) -> Any:
        raise AssertionError("compiled")

    network = torch.compile(Checkpointed(False).eval().requires_grad_(False), backend=refuse)
    dry = run_dry_pass(network, nn.Identity(), 8)
    assert "_orig_mod.two.0" in dry.qualified
