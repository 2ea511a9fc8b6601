"""Tensors into modules: every value taken over, every misfit listed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from depara.errors import WeightsError
from depara.models.state_dict import StateDict, find_state_dict, strip_prefix
from depara.models.weight_loading import load_strictly
from tests.models.networks import Tied


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


def test_a_named_prefix_is_taken_off_with_or_without_its_dot() -> None:
    for prefix in ("encoder.net.", "encoder.net"):
        net = _net()
        tensors = _state(net)
        wrapped = {f"encoder.net.{name}": tensor for name, tensor in tensors.items()}
        wrapped["decoder.weight"] = torch.zeros(2)
        load_strictly(net, strip_prefix(StateDict(wrapped), prefix))
        assert torch.equal(net.state_dict()["2.weight"], tensors["2.weight"])


def test_of_a_named_prefix_that_does_not_fit_no_other_is_tried() -> None:
    tensors = {f"a.{name}": tensor for name, tensor in _state(_net()).items()}
    tensors["b.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"without the prefix 'b\.' do not fit.*missing"):
        load_strictly(_net(), strip_prefix(StateDict(tensors), "b."))


def test_the_misfit_is_that_of_the_nearest_reading() -> None:
    tensors = {f"module.encoder_q.{name}": each for name, each in _state(_net()).items()}
    tensors |= {"module.encoder_q.2.weight": torch.zeros(5, 4), "module.queue": torch.zeros(3)}
    with pytest.raises(
        WeightsError,
        match=r"without the prefix 'module.encoder_q.' do not fit the architecture; 1 shape: "
        r"2.weight is \(5, 4\)",
    ):
        load_strictly(_net(), StateDict(tensors))


class _Counting(nn.Linear):
    """Keeps a number beside its tensors."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.count = 0

    def get_extra_state(self) -> object:
        return {"count": self.count}

    def set_extra_state(self, state: object) -> None:
        assert isinstance(state, dict)
        self.count = state["count"]


@pytest.mark.parametrize("prefix", ["", "module."])
def test_extra_state_goes_to_the_modules_that_keep_it(prefix: str) -> None:
    net = nn.Sequential(_Counting())
    net[0].count = 5
    saved = {f"{prefix}{name}": value for name, value in net.state_dict().items()}
    saved["metric._extra_state"] = None
    fresh = nn.Sequential(_Counting())
    load_strictly(fresh, find_state_dict({"state_dict": saved, "epoch": 1}, None))
    assert fresh[0].count == 5
    del saved[f"{prefix}0._extra_state"]
    with pytest.raises(WeightsError, match=r"1 missing: 0\._extra_state"):
        load_strictly(fresh, find_state_dict(saved, None))


def test_a_tied_weight_may_be_stored_once() -> None:
    net = Tied()
    tensors = {name: tensor + 1 for name, tensor in net.state_dict().items()}
    del tensors["second.weight"]
    load_strictly(net, StateDict(tensors, ""))
    assert torch.equal(net.second.weight, tensors["first.weight"])
