"""Checkpoints of usual training programs, and advice that works when it is followed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from depara.errors import WeightsError
from depara.models.readings import Reading, best_reading
from depara.models.state_dict import find_state_dict, strip_prefix

Wrap = Callable[[dict[str, Tensor]], object]


def _net(fill: float = 0.0) -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    for tensor in net.state_dict().values():
        tensor.fill_(fill)
    return net


OWN = _net().state_dict()
ONE = _net(1.0).state_dict()
TWO = _net(2.0).state_dict()


def _under(prefix: str, tensors: Mapping[str, Tensor] = ONE) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _reading(checkpoint: object, key: str | None = None, prefix: str | None = None) -> Reading:
    return best_reading(OWN, strip_prefix(find_state_dict(checkpoint, key), prefix))


@pytest.mark.parametrize(
    "checkpoint",
    [
        ONE,
        _under("module."),
        {"state_dict": _under("module."), "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
        {"model": ONE, "optimizer": {"exp_avg": torch.ones(3)}, "args": None},
        {"meta": {"epoch": 3}, "state_dict": ONE},
    ],
)
def test_what_everybody_writes_is_read_without_a_note(checkpoint: object) -> None:
    reading = _reading(checkpoint)
    assert all(torch.equal(reading.tensors[name], ONE[name]) for name in OWN)
    assert reading.notes == ()
    assert "prefix" not in reading.identity


@pytest.mark.parametrize(
    ("checkpoint", "prefix", "num_left_out"),
    [
        (_under("_orig_mod."), "_orig_mod.", 0),
        (_under("module._orig_mod."), "module._orig_mod.", 0),
        (_under("_orig_mod.module."), "_orig_mod.module.", 0),
        ({"state_dict": _under("model.") | {"criterion.weight": torch.ones(2)}}, "model.", 1),
        ({"state_dict": _under("module.encoder_q.") | {"module.queue": ONE["0.bias"]}}, None, 1),
        ({"n_averaged": torch.ones(1), **_under("module.")}, "module.", 1),
        (
            {"teacher": _under("module.backbone.") | _under("module.head.", {"w": torch.ones(1)})},
            "module.backbone.",
            1,
        ),
        ({"model": _under("net.") | {"net2.0.weight": ONE["0.weight"]}}, "net.", 1),
    ],
)
def test_the_one_reading_that_fits_is_taken_and_noted(
    checkpoint: object, prefix: str | None, num_left_out: int
) -> None:
    reading = _reading(checkpoint)
    assert reading.prefix == (prefix or "module.encoder_q.")
    assert all(torch.equal(reading.tensors[name], ONE[name]) for name in OWN)
    assert reading.tensors.keys() == OWN.keys()
    (note,) = reading.notes
    assert repr(reading.prefix) in note.message
    left_out = re.search(r"(\d+) tensors are left out", note.message)
    assert int(left_out[1] if left_out else 0) == num_left_out
    _follow(note.message, checkpoint, reading)


def _follow(message: str, checkpoint: object, expected: Reading) -> None:
    """Sets the fields as a message spells them, and gets the same tensors."""
    key = re.search(r"state_dict_key: '([^']*)'", message)
    prefix = re.search(r'strip_prefix: "([^"]*)"', message)
    assert prefix
    followed = _reading(checkpoint, key[1] if key else None, prefix[1])
    assert followed.notes == ()
    assert followed.identity == expected.identity
    assert all(torch.equal(followed.tensors[name], expected.tensors[name]) for name in OWN)


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"state_dict": ONE, "state_dict_ema": TWO},
        {"student": _under("module."), "teacher": _under("", TWO), "dino_loss": OWN["0.bias"]},
        {"run": ONE, "other": TWO},
    ],
)
def test_every_key_that_the_message_lists_works(checkpoint: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="2 readings of the checkpoint fit") as caught:
        _reading(checkpoint)
    keys = re.findall(r"'([^']+)'", str(caught.value).partition("one of ")[2])
    assert keys == list(checkpoint)[:2]
    values = [float(_reading(checkpoint, key).tensors["0.bias"][0]) for key in keys]
    assert values == [1.0, 2.0]


def test_every_prefix_that_the_message_lists_works_and_is_part_of_the_identity() -> None:
    moco = {"state_dict": _under("module.encoder_q.") | _under("module.encoder_k.", TWO)}
    with pytest.raises(WeightsError, match="set strip_prefix to one of") as caught:
        _reading(moco)
    prefixes = re.findall(r'"([^"]+)"', str(caught.value))
    assert prefixes == ["module.encoder_q.", "module.encoder_k."]
    readings = [_reading(moco, None, prefix) for prefix in prefixes]
    assert [float(each.tensors["0.bias"][0]) for each in readings] == [1.0, 2.0]
    assert len({each.identity for each in readings}) == 2


def test_keys_with_several_prefixes_are_listed_as_pairs_that_work() -> None:
    both = _under("a.") | _under("b.", TWO)
    checkpoint = {"student": both, "teacher": both}
    with pytest.raises(WeightsError, match="4 readings") as caught:
        _reading(checkpoint)
    pairs = re.findall(r"state_dict_key: '(\w+)', strip_prefix: \"([^\"]+)\"", str(caught.value))
    assert len(pairs) == 4
    values = {pair: float(_reading(checkpoint, *pair).tensors["0.bias"][0]) for pair in pairs}
    assert values[("student", "a.")] == 1.0
    assert values[("teacher", "b.")] == 2.0


def test_one_network_under_two_names_is_one_reading() -> None:
    assert _reading(_under("net.") | _under("alias.")).prefix == "net."


def test_a_state_dict_that_does_not_fit_is_passed_over_with_a_note() -> None:
    reading = _reading({"model": {"w": torch.ones(1)}, "ema": ONE})
    assert reading.state.key == "ema"
    assert "'model' do not fit" in reading.notes[0].message


def test_names_may_lack_what_the_architecture_puts_before_all_of_its_own() -> None:
    own = _under("backbone.", OWN)
    reading = best_reading(own, find_state_dict(_under("module."), None))
    assert reading.tensors.keys() == own.keys()
    assert "'backbone'" in reading.notes[0].message


def test_where_nothing_fits_the_nearest_reading_is_returned() -> None:
    resized = {**_under("a."), "a.2.weight": torch.zeros(7, 7), "b.0.weight": torch.ones(1)}
    assert _reading(resized).prefix == "a."
    assert _reading({"x": torch.ones(1)}).prefix == ""
