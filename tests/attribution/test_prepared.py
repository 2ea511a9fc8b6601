"""A model made ready, and put back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from depara.attribution.prepared import PreparedModel
from tests.attribution.networks import ConvNet, preprocessing, seeded


def test_weights_follow_the_memory_format_and_come_back() -> None:
    network = seeded(ConvNet).requires_grad_(True)
    weight = network.conv.weight
    prepared = PreparedModel(network, preprocessing())
    with prepared.active(True):
        stand_in = network.conv.weight
        assert stand_in is not weight
        assert stand_in.is_contiguous(memory_format=torch.channels_last)
        assert not stand_in.requires_grad
        assert torch.equal(stand_in, weight)
    assert network.conv.weight is weight
    assert weight.requires_grad
    assert weight.is_contiguous()


def test_memory_is_shared_where_nothing_changes() -> None:
    network = seeded(ConvNet)
    pointer = network.conv.weight.data_ptr()
    with PreparedModel(network, preprocessing()).active(False):
        assert network.conv.weight.data_ptr() == pointer


def test_weights_in_channels_last_become_contiguous_when_asked() -> None:
    network = seeded(ConvNet).to(memory_format=torch.channels_last)
    with PreparedModel(network, preprocessing()).active(False):
        assert network.conv.weight.is_contiguous()
    assert not network.conv.weight.is_contiguous()


def test_tied_weights_stay_tied() -> None:
    network = nn.ModuleDict({"a": nn.Conv2d(3, 3, 3), "b": nn.Conv2d(3, 3, 3)})
    network["b"].weight = network["a"].weight
    with PreparedModel(network, nn.Identity()).active(True):
        assert network["a"].weight is network["b"].weight


def test_recurrent_networks_use_the_stand_ins() -> None:
    network = nn.LSTM(3, 4).requires_grad_(True)
    images = torch.rand(5, 1, 3)
    expected = network(images)[0].detach()
    with PreparedModel(network, nn.Identity()).active(False):
        found = network(images)[0]
        assert not found.requires_grad
    torch.testing.assert_close(found, expected)
    assert network(images)[0].requires_grad


def test_an_exception_puts_everything_back() -> None:
    network = seeded(ConvNet).train()
    before = {name: id(one) for name, one in network.state_dict(keep_vars=True).items()}
    prepared = PreparedModel(network, preprocessing())
    with pytest.raises(RuntimeError), prepared.active(True):
        network(torch.rand(1, 4, 8, 8))  # one channel too many
    after = {name: id(one) for name, one in network.state_dict(keep_vars=True).items()}
    assert after == before
    assert network.training
    assert not any("forward" in vars(module) for module in network.modules())


def test_a_memory_format_matters_for_images_only() -> None:
    assert PreparedModel(seeded(ConvNet), nn.Identity()).has_images
    assert not PreparedModel(nn.Linear(2, 2), nn.Identity()).has_images
