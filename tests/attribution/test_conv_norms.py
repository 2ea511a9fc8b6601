"""Which convolutions and norms are taken as one, and that their derivative stays the same."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depara.attribution import Extractor
from depara.attribution.conv_norms import Pair, find_pairs
from depara.attribution.prepared import PreparedModel
from depara.config import AttributionConfig
from tests.attribution.networks import (
    SIDE,
    ConvNet,
    canvases,
    extract,
    layers_of,
    preprocessing,
    probe_names,
    seeded,
)
from tests.attribution.test_norms import NormAct

IMAGES = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """One convolution and one norm, with something in between or beside."""

    def __init__(self, wiring: Callable[[Block, Tensor], Tensor], **options: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, **options)  # type: ignore[arg-type]
        self.norm = nn.BatchNorm2d(4)
        self.box = nn.Identity()
        self.wiring = wiring

    def forward(self, images: Tensor) -> Tensor:
        return self.wiring(self, images)


def plain(block: Block, images: Tensor) -> Tensor:
    return block.norm(block.conv(images))


def read_twice(block: Block, images: Tensor) -> Tensor:
    output = block.conv(images)
    return block.norm(output) + output


def read_through_a_view(block: Block, images: Tensor) -> Tensor:
    output = block.conv(images)
    return block.norm(output) + output.flatten(1).sum(dim=1).view(-1, 1, 1, 1)


def changed_in_between(block: Block, images: Tensor) -> Tensor:
    return block.norm(block.conv(images).mul_(2))


def copied_in_between(block: Block, images: Tensor) -> Tensor:
    return block.norm(block.conv(images).clone())


def norm_twice(block: Block, images: Tensor) -> Tensor:
    return block.norm(block.norm(block.conv(images)))


def conv_twice(block: Block, images: Tensor) -> Tensor:
    return block.norm(block.conv(images)) + block.norm(block.conv(images * 2))


def in_a_box(block: Block, images: Tensor) -> Tensor:
    return block.norm(block.box(block.conv(images)))


def pairs_of(block: nn.Module, kept: tuple[nn.Module, ...] = ()) -> tuple[Pair, ...]:
    return find_pairs(block, lambda: block(IMAGES), kept)


@pytest.mark.parametrize(
    ("wiring", "count"),
    [
        (plain, 1),
        (in_a_box, 1),
        (read_twice, 0),
        (read_through_a_view, 0),
        (changed_in_between, 0),
        (copied_in_between, 0),
        (norm_twice, 0),
        (conv_twice, 0),
    ],
)
def test_only_pairs_that_nothing_else_reads_are_found(
    wiring: Callable[[Block, Tensor], Tensor], count: int
) -> None:
    block = seeded(Block(wiring))
    assert len(pairs_of(block)) == count
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())


def test_outputs_that_are_asked_for_are_kept() -> None:
    block = seeded(Block(in_a_box))
    assert pairs_of(block, (block.conv,)) == ()
    assert pairs_of(block, (block.box,)) == ()
    assert len(pairs_of(block, (block.norm,))) == 1


def test_modules_with_hooks_padding_of_their_own_or_another_forward_are_left_alone() -> None:
    class Own(nn.Conv2d):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * 2

    hooked = seeded(Block(plain))
    hooked.conv.register_forward_hook(lambda *_: None)
    own = seeded(Block(plain))
    own.conv = Own(3, 4, 3)
    for block in (hooked, own):
        assert pairs_of(block) == ()
    assert pairs_of(seeded(Block(plain, padding_mode="reflect", padding=1))) == ()
    assert pairs_of(seeded(Block(plain, padding="same"))) == ()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2, "padding": 1}, {"bias": False, "dilation": 2}, {"padding": (0, 2)}],
)
def test_values_are_the_same_to_the_bit_and_gradients_to_rounding(
    options: dict[str, object], channels_last: bool
) -> None:
    block = seeded(Block(plain, **options))
    plain_model, paired = (PreparedModel(block, nn.Identity()) for _ in range(2))
    assert paired.find_pairs(lambda: block(IMAGES), ()) == 1
    results = []
    for model in (plain_model, paired):
        leaf = IMAGES.clone().requires_grad_()
        with model.active(channels_last):
            value = block(leaf).relu_()
            results.append((value.detach(), torch.autograd.grad(value.norm(), leaf)[0]))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-6)
    assert results[0][0].stride() == results[1][0].stride()


def test_the_input_of_a_pair_may_be_overwritten_afterwards() -> None:
    def overwriting(block: Block, images: Tensor) -> Tensor:
        hidden = images * 1
        value = block.norm(block.conv(hidden))
        hidden.zero_()
        return value + hidden.mean()

    block = seeded(Block(overwriting))
    model = PreparedModel(block, nn.Identity())
    assert model.find_pairs(lambda: block(IMAGES), ()) == 1
    leaf = IMAGES.clone().requires_grad_()
    with model.active(False):
        found = torch.autograd.grad(block(leaf).sum(), leaf)[0]
    other = IMAGES.clone().requires_grad_()
    expected = torch.autograd.grad(block.norm(block.conv(other)).sum(), other)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_failure_between_the_two_leaves_nothing_behind() -> None:
    block = seeded(Block(plain))
    model = PreparedModel(block, nn.Identity())
    assert model.find_pairs(lambda: block(IMAGES), ()) == 1
    block.conv.weight, weight = nn.Parameter(torch.rand(5, 3, 3, 3)), block.conv.weight
    with pytest.raises(RuntimeError), model.active(False):
        block(torch.rand(2, 4, 9, 9))
    block.conv.weight = weight
    assert not any("forward" in vars(module) for module in block.modules())


def test_norms_that_call_their_activation_make_pairs_too() -> None:
    block = Block(plain)
    block.norm = NormAct(4)
    seeded(block)
    names = ["norm", "output"]
    paired = extract(block, names, canvases(3))
    unpaired = extract(block, ["conv", *names], canvases(3))
    assert len(pairs_of(block)) == 1
    for layer in names:
        np.testing.assert_array_equal(paired.features_ND[layer], unpaired.features_ND[layer])
        np.testing.assert_allclose(paired.maps(layer), unpaired.maps(layer), atol=2e-4)


def test_the_extractor_uses_them() -> None:
    extractor = Extractor(
        seeded(ConvNet),
        preprocessing(),
        layers_of(seeded(ConvNet), ["output"]),
        AttributionConfig(),
        map_side=SIDE,
    )
    extractor.extract(canvases(1), ["a"], lambda *_: None)
    assert len(extractor._model._pairs) == 2
    assert extractor._model._fused is not None
    assert extractor._model._fused[1].norms == []


def test_a_chosen_norm_of_a_pair_gives_its_own_values() -> None:
    network, canvas = seeded(ConvNet), canvases(4)
    alone = extract(network, ["norm", "output"], canvas)
    with_conv = extract(network, ["conv", "norm", "output"], canvas)  # no pair: conv is asked for
    for layer in ("norm", "output"):
        np.testing.assert_array_equal(alone.features_ND[layer], with_conv.features_ND[layer])
        np.testing.assert_allclose(alone.maps(layer), with_conv.maps(layer), atol=2e-4)


def test_no_tensor_waits_for_the_garbage_collector() -> None:
    def count_tensors() -> int:
        return sum(issubclass(type(one), Tensor) for one in gc.get_objects())

    network, canvas = seeded(ConvNet), canvases(6)
    extractor = Extractor(
        network,
        preprocessing(),
        layers_of(network, ["stem", "output"]),
        AttributionConfig(),
        map_side=SIDE,
        batch_size=3,
    )
    extractor.extract(canvas, probe_names(6), lambda *_: None)
    gc.collect()
    gc.disable()
    try:
        before = count_tensors()
        extractor.extract(canvas, probe_names(6), lambda *_: None)
        assert count_tensors() <= before
    finally:
        gc.enable()
