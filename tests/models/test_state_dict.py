from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from depara.errors import WeightsError
from depara.models.state_dict import (
    StateDict,
    check_finite,
    find_state_dict,
    load_strictly,
    strip_prefix,
)
from tests.models.networks import Tied

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
        (
            {"state_dict": TENSORS, "state_dict_ema": OTHERS},
            None,
            "holds 2 state dicts: set state_dict_key to one of 'state_dict', 'state_dict_ema'",
        ),
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


def test_prefixes() -> None:
    parallel = StateDict({f"module.{name}": tensor for name, tensor in TENSORS.items()}, "")
    assert strip_prefix(parallel, None).tensors == TENSORS
    mixed = StateDict({**parallel.tensors, "head": TENSORS["w"]}, "")
    assert strip_prefix(mixed, None) is mixed
    assert strip_prefix(mixed, "module.").tensors == TENSORS
    with pytest.raises(WeightsError, match=r"starts with strip_prefix 'net\.': .*'module.w'"):
        strip_prefix(mixed, "net.")


def _net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def _state(net: nn.Module) -> dict[str, Tensor]:
    return {name: torch.rand_like(tensor.float()) for name, tensor in net.state_dict().items()}


def test_loading_takes_every_value_over() -> None:
    net = _net()
    tensors = _state(net)
    del tensors["1.num_batches_tracked"]
    load_strictly(net, StateDict({**tensors, "0.weight": tensors["0.weight"].half()}, ""))
    loaded = net.state_dict()
    assert torch.equal(loaded["2.weight"], tensors["2.weight"])
    assert torch.equal(loaded["0.weight"], tensors["0.weight"].half().float())
    assert loaded["0.weight"].dtype == torch.float32


def test_what_does_not_fit_is_listed() -> None:
    net = _net()
    tensors = _state(net)
    missing = {name: tensor for name, tensor in tensors.items() if not name.startswith("2.")}
    with pytest.raises(WeightsError, match=r"2 missing: 2.weight, 2.bias$"):
        load_strictly(net, StateDict(missing, ""))
    extra = {f"head.{number}": torch.zeros(1) for number in range(7)}
    with pytest.raises(WeightsError, match=r"7 unexpected: head.0, .*head.4, and 2 more$"):
        load_strictly(net, StateDict({**tensors, **extra}, ""))
    resized = {**tensors, "2.weight": torch.zeros(5, 4)}
    with pytest.raises(
        WeightsError, match=r"1 shape: 2.weight is \(5, 4\), the model has \(2, 4\)"
    ):
        load_strictly(net, StateDict(resized, ""))


def test_a_prefix_that_would_fit_is_named() -> None:
    net = _net()
    wrapped = {f"encoder.net.{name}": tensor for name, tensor in _state(net).items()}
    wrapped["decoder.weight"] = torch.zeros(2)
    with pytest.raises(WeightsError, match=r'strip_prefix: "encoder.net." would fit'):
        load_strictly(net, StateDict(wrapped, ""))
    load_strictly(net, strip_prefix(StateDict(wrapped, ""), "encoder.net."))


def test_a_tied_weight_may_be_stored_once() -> None:
    net = Tied()
    tensors = {name: tensor + 1 for name, tensor in net.state_dict().items()}
    del tensors["second.weight"]
    load_strictly(net, StateDict(tensors, ""))
    assert torch.equal(net.second.weight, tensors["first.weight"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_found(value: float) -> None:
    net = _net()
    check_finite(net)
    with torch.no_grad():
        net.get_parameter("0.weight")[1, 2, 0, 0] = value
    with pytest.raises(WeightsError, match=r"'0.weight' holds 1 values that are NaN or infinite"):
        check_finite(net)


def test_attention_masks_may_hold_minus_infinity() -> None:
    net = _net()
    net.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    check_finite(net)
    net.register_buffer("mask", torch.tensor([0.0, torch.nan]))
    with pytest.raises(WeightsError, match="'mask'"):
        check_finite(net)
