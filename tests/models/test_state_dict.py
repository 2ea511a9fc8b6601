"""State dicts inside checkpoints of all usual forms, and values that are no numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from depara.errors import WeightsError
from depara.models.state_dict import (
    StateDict,
    check_finite,
    find_state_dict,
    strip_prefix,
)

TENSORS = {"w": torch.zeros(2), "b": torch.zeros(1)}
OTHERS = {"w": torch.ones(2)}


@pytest.mark.parametrize(
    ("checkpoint", "key", "found"),
    [
        (TENSORS, None, ""),
        ({"state_dict": TENSORS, "epoch": 3}, None, "state_dict"),
        ({"anything": TENSORS, "args": {"lr": 1}}, None, "anything"),
        ({"model": {"state_dict": TENSORS}, "epoch": 3}, None, "model.state_dict"),
        ({"model": TENSORS, "means": OTHERS}, None, "model"),
        ({"model": TENSORS, "optimizer": {"state": {0: OTHERS}}}, None, "model"),
        ({"state_dict": OTHERS, "ema": TENSORS}, "ema", "ema"),
        ({"a": {"b": TENSORS, "c": OTHERS}}, "a.b", "a.b"),
    ],
)
def test_the_state_dict_is_found_when_unambiguous(
    checkpoint: object, key: str | None, found: str
) -> None:
    state = find_state_dict(checkpoint, key)
    assert state.key == found
    assert state.tensors is TENSORS


def test_loose_tensors_beside_other_values_are_taken() -> None:
    assert find_state_dict({**TENSORS, "epoch": 3}, None).tensors == TENSORS


@pytest.mark.parametrize(
    ("checkpoint", "key", "message"),
    [
        ({"state_dict": TENSORS}, "statedict", "did you mean 'state_dict'"),
        (TENSORS, "state_dict", "is itself the state dict: leave state_dict_key out"),
        ({"epoch": 3}, "model", "the checkpoint holds none"),
        ({"epoch": 3}, None, r"holds no state dict: it has 'epoch' \(int\)"),
        ({}, None, "holds no state dict: it is an empty mapping"),
        ([1, 2], None, "holds no state dict: it is a list"),
    ],
)
def test_candidates_are_listed_otherwise(checkpoint: object, key: str | None, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        find_state_dict(checkpoint, key)


def test_further_state_dicts_are_kept_the_likeliest_first() -> None:
    checkpoint = {"means": OTHERS, "state_dict_ema": OTHERS, "state_dict": TENSORS, "epoch": 1}
    state = find_state_dict(checkpoint, None)
    assert [each.key for each in state.all] == ["state_dict_ema", "state_dict", "means"]
    assert [each.rank for each in state.all] == [0, 0, 1]


@pytest.mark.parametrize("value", [None, {"scale": torch.ones(1)}, b"bytes", 3])
def test_extra_state_among_the_tensors_is_kept_beside_them(value: object) -> None:
    for checkpoint in (
        {**TENSORS, "metric._extra_state": value},
        {"state_dict": {**TENSORS, "metric._extra_state": value}, "epoch": 2},
    ):
        state = find_state_dict(checkpoint, None)
        assert state.tensors == TENSORS
        assert state.extra == {"metric._extra_state": value}
        assert not state.others


@pytest.mark.parametrize("value", [7, 0.5, "name", None, [1], {"lr": 0.1}])
def test_other_values_among_the_tensors_are_left_out(value: object) -> None:
    state = find_state_dict({"model": {**TENSORS, "version": value}, "epoch": 2}, None)
    assert (state.key, state.tensors) == ("model", TENSORS)


def test_prefixes() -> None:
    mixed = StateDict(
        {**{f"module.{name}": each for name, each in TENSORS.items()}, "head": TENSORS["w"]}
    )
    assert strip_prefix(mixed, None) is mixed
    assert strip_prefix(mixed, "module.").strip_prefix == "module."
    with pytest.raises(WeightsError, match=r"starts with strip_prefix 'net\.': .*'module.w'"):
        strip_prefix(mixed, "net.")
    wrapped = StateDict({"module._orig_mod.w": TENSORS["w"]})
    with pytest.raises(WeightsError, match=r"did you mean 'module._orig_mod.'\?"):
        strip_prefix(wrapped, "_orig_mod.")
    several = StateDict({"w": TENSORS["w"]}, others=(wrapped,))
    assert strip_prefix(several, "module.").tensors is wrapped.tensors


def _net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_found(value: float) -> None:
    net = _net()
    check_finite(net)
    with torch.no_grad():
        net.get_parameter("0.weight")[1, 2, 0, 0] = value
    with pytest.raises(WeightsError, match=r"'0.weight' holds 1 values that are NaN or infinite"):
        check_finite(net)


def test_the_sum_of_weights_may_overflow_and_infinities_may_not_cancel() -> None:
    net = _net()
    with torch.no_grad():
        weight = net.get_parameter("0.weight").fill_(3e38)
        check_finite(net)
        weight[0, 0, 0, 0], weight[1, 0, 0, 0] = torch.inf, -torch.inf
    with pytest.raises(WeightsError, match=r"'0.weight' holds 2 values"):
        check_finite(net)


def test_attention_masks_may_hold_minus_infinity() -> None:
    net = _net()
    net.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    check_finite(net)
    net.register_buffer("mask", torch.tensor([0.0, torch.nan]))
    with pytest.raises(WeightsError, match="'mask'"):
        check_finite(net)
